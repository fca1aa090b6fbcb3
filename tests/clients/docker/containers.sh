# What people do with containers. Each line is a step of its own.
docker version
docker import --change 'ENV FROM=import' --message 'a base' base.tar base:1
docker image inspect base:1
# A busy Docker 28.5 loses what a process has printed if it ends at once, through a proxy or not: 4 times in 686.
docker run --rm base:1 sh -c 'sleep 0.3; echo hello'
docker run --name absent base:1 nosuchcommand
docker run --name folder base:1 /etc
docker run --name refused --nosuchflag base:1
docker run --rm 127.0.0.1:5000/nosuch/image:1 true
docker run --rm --network nosuchnetwork base:1 true
docker run --rm --runtime nosuchruntime base:1 true
docker run --rm -v nosuch/path:/x base:1 true
docker run --rm -w relative base:1 true
docker run --rm --entrypoint /nosuch base:1
docker run --rm --user nosuchuser base:1 true
docker run --rm --log-opt nosuch=1 base:1 true
docker run --rm --memory 1k base:1 true
docker run --rm base:1 sh -c 'sleep 0.3; echo out; echo error >&2; exit 7'
docker run --rm base:1 sh -c 'kill -9 $$'
echo piped | docker run --rm -i base:1 sh -c 'cat; sleep 0.3'
head -c 3000000 /dev/zero | docker run --rm -i base:1 cat | cksum
terminal -- docker run --rm -it base:1 sh -c 'sleep 0.3; tty; stty size; exit 3'
terminal ready 'typed\n' 'got typed' '5\n' -- docker run --rm -it base:1 sh -c 'echo ready; read line; echo got $line; read code; exit $code'
docker create --name made --hostname made -e SECRET=hunter2 -l owner=me -l com.example.token=abc --publish 127.0.0.1:8080:80 --restart unless-stopped --cap-add NET_ADMIN --tmpfs /t -v data:/data --ulimit nofile=64 base:1 sh -c 'echo started; while :; do sleep 1000; done'
docker create --name made base:1 true
docker start made
docker start nosuch
docker port made
docker port made 81
docker ps
docker ps --all --no-trunc --format json
docker ps --size --filter name=made --format '{{.Names}} {{.Labels}} {{.Mounts}} {{.Networks}} {{.Ports}}'
docker ps --filter nosuch=1
docker inspect made
docker inspect --size --format '{{.Name}} {{.SizeRootFs}}' made
docker inspect nosuch
docker inspect --type volume data
docker container inspect made nosuch
docker top made | awk '{print $1, $NF}'
docker top made -o pid,comm | tr -d '0-9 '
docker top absent
docker stats --no-stream --format '{{.Name}} {{.PIDs}}' made
docker stats --no-stream nosuch
docker pause made
docker exec made true
docker unpause made
docker unpause made
docker rename made renamed
docker rename renamed folder
docker update --memory 64m --memory-swap 128m --restart no renamed
docker restart -t 0 renamed
docker exec renamed sh -c 'echo out; echo error >&2; exit 3'
docker exec renamed nosuchcommand
docker exec renamed /etc
docker exec -w /nosuch renamed true
docker exec -e X=y -u 1000 renamed sh -c 'echo $X'
docker exec nosuch true
docker exec absent true
docker exec -d renamed true
echo piped | docker exec -i renamed cat
head -c 3000000 /dev/zero | docker exec -i renamed cat | cksum
terminal -- docker exec -it renamed sh -c 'tty; stty size; exit 4'
terminal ready 'typed\n' 'got typed' '\x04' -- docker exec -it renamed sh -c 'echo ready; while read line; do echo got $line; done; exit 2'
printf content >file.txt && docker cp file.txt renamed:/tmp/in.txt
docker cp renamed:/tmp/in.txt out.txt && cat out.txt
mkdir -p tree/sub && echo a >tree/a && echo b >tree/sub/b && docker cp tree renamed:/tmp/
docker cp renamed:/tmp/tree - | tar t | sort
tar c tree | docker cp - renamed:/data
docker cp -a renamed:/data/tree copied && find copied | sort
docker cp renamed:/nosuch .
docker cp file.txt renamed:/nosuch/folder/ 2>error.txt; echo $?; tail -n 1 error.txt
docker cp file.txt nosuch:/tmp
docker cp nosuch:/etc .
docker exec renamed ls /tmp/tree /data/tree
docker diff renamed | sort
docker diff nosuch
docker export renamed | tar t | grep -E 'tmp|data' | sort
docker export nosuch
docker commit --author me --message 'a commit' --change 'CMD ["echo", "committed"]' renamed committed:1
docker run --rm committed:1
docker commit nosuch x
docker logs renamed
docker logs --timestamps --tail 1 renamed
docker logs --details --since 1h renamed
docker logs nosuch
docker run --detach --name counting base:1 sh -c 'for n in 1 2 3; do echo $n; echo error $n >&2; sleep 0.2; done'
docker logs --follow counting
docker wait counting
docker wait nosuch
docker run --detach --name ended base:1 sh -c 'exit 9'
docker wait ended counting
docker start --attach counting
docker run --detach --interactive --name reader base:1 sh -c 'read line; echo got $line; read line; exit 6'
(echo one; until docker logs reader | grep -q one; do :; done; echo two) | docker attach reader
docker attach reader
docker attach nosuch
docker run --detach --interactive --tty --name shell base:1 sh -c 'while read line; do echo got $line; done'
terminal '' 'typed\n' 'got typed' '\x10\x11' -- docker attach shell
terminal '' 'again\n' 'got again' 'xy' -- docker attach --detach-keys x,y shell
docker attach --detach-keys nonsense, shell
docker ps --filter name=shell --format '{{.Names}} {{.State}}'
docker run --detach --name healthy --health-cmd 'echo fine' --health-interval 1h --health-start-period 1h --health-start-interval 100ms base:1 sleep 1000
until docker inspect healthy | grep -q '"healthy"'; do sleep 0.1; done; docker inspect --format '{{.State.Health.Status}} {{(index .State.Health.Log 0).Output}}' healthy
docker kill --signal nosuch healthy
docker kill healthy
docker kill healthy
docker stop -t 0 renamed
docker stop nosuch
docker rm shell
docker rm -f shell reader
docker rm nosuch
docker rm -f nosuch
docker rm ended counting folder absent
docker container prune --force
docker container prune --force --filter nosuch=1
docker events --since 1 --until "$(date +%s.%N)" --filter container=counting --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}'
docker events --since 1 --until "$(date +%s.%N)" --filter container=renamed --format json | grep -c Attributes
