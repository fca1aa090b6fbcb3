# A swarm of one node. Each line is a step of its own. The engine updates a swarm's objects, too: what gets ahead of a step is waited
# for, and a change that it was ahead of is made again.
docker import base.tar base:1
docker node ls
docker service ls
docker swarm join --token nosuch 127.0.0.1:1
docker swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:2377 --task-history-limit 2
docker swarm init --advertise-addr 127.0.0.1
docker swarm join --token nosuch 127.0.0.1:1
docker swarm join-token worker
in-sequence docker swarm join-token --quiet --rotate manager
in-sequence docker swarm update --autolock=true
docker swarm unlock-key --quiet
in-sequence docker swarm update --autolock=false --task-history-limit 3
docker swarm ca | head -n 1
until docker node ls | grep -q 'Ready .* Leader'; do sleep 0.1; done
docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}} {{.Swarm.Nodes}} {{.Swarm.Managers}} {{json .Swarm.Cluster.Spec.Orchestration}}'
docker node ls
docker node ls --format '{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}'
docker node inspect self --format '{{.Spec.Role}} {{.Status.State}} {{json .Spec.Labels}}'
docker node inspect --pretty self | head -n 3
docker node inspect nosuch
in-sequence docker node update --label-add zone=here --label-add token=abc "$(docker node ls --quiet)"
in-sequence docker node update --label-rm zone "$(docker node ls --quiet)"
in-sequence docker node update --availability nosuch "$(docker node ls --quiet)"
docker node inspect self --format '{{json .Spec}}'
in-sequence docker node demote "$(docker node ls --quiet)"
docker node rm "$(docker node ls --quiet)"
docker node rm nosuch
echo one | docker secret create --label owner=me first -
echo two | docker secret create first -
docker secret create other nosuch.txt
docker secret ls --format '{{.Name}} {{.Driver}}'
docker secret inspect first nosuch
docker secret inspect --pretty first | head -n 2
echo conf | docker config create --label owner=me settings -
docker config create settings base.tar
docker config ls --format '{{.Name}} {{.Labels}}'
docker config inspect settings --format '{{json .Spec}}'
docker config inspect --pretty settings | tail -n 2
docker network create --driver overlay --attachable --subnet 10.7.0.0/24 over
docker network ls --filter scope=swarm --format '{{.Name}} {{.Driver}} {{.Scope}}' | sort
docker network inspect over --format '{{.Driver}} {{.Attachable}} {{json .IPAM.Config}}'
docker service create --detach --quiet --name nosuch --network nosuch base:1 true
docker service create --detach --name 'Not Valid' base:1 true
docker service create --detach --no-resolve-image --name web --replicas 1 --env A=b --env TOKEN=hunter2 --label owner=me --container-label inner=label --secret first --config settings --network over --mount type=volume,source=data,target=/data --stop-signal KILL --health-cmd true --health-interval 1h --health-start-period 1h --health-start-interval 100ms --update-delay 0 --update-monitor 1ms --rollback-monitor 1ms --stop-grace-period 1s base:1 sh -c 'cat /run/secrets/first /settings; sleep 1000'
docker service create --detach --quiet --name web base:1 true
until docker service ls | grep -q 1/1; do sleep 0.1; done; docker service ls --format '{{.Name}} {{.Mode}} {{.Replicas}} {{.Image}} {{.Ports}}'
docker service ps web --format '{{.Name}} {{.Image}} {{.DesiredState}} {{.Error}}'
docker service ps nosuch
docker service inspect web --format '{{json .Spec}}'
docker service inspect --pretty web | tail -n +3
docker service inspect nosuch
until docker service logs --raw web | grep conf; do sleep 0.1; done
docker service logs nosuch
in-sequence docker service scale web=2 | grep -v '^overall\|^[0-9]/\|^verify'
docker service scale --detach nosuch=2
docker service ls --format '{{.Name}} {{.Replicas}}'
docker service inspect web --format '{{json .Spec}}'
in-sequence docker service update --quiet --env-add TOKEN=changed --env-rm A --label-add extra=1 --limit-memory 32m --replicas 1 web
docker service inspect web --format '{{json .Spec}}'
in-sequence docker service update --quiet --args 'sh -c "echo updated; sleep 1000"' --secret-rm first --config-rm settings --health-timeout 9s web
docker service inspect web --format '{{json .Spec.TaskTemplate.ContainerSpec}}'
in-sequence docker service rollback --quiet web
docker service inspect web --format '{{json .Spec.TaskTemplate.ContainerSpec}}'
in-sequence docker service update --detach --force web
docker service update --detach --image nosuch@x web
until docker service inspect --format '{{.UpdateStatus.State}}' web | grep completed; do sleep 0.1; done
docker service ps --filter desired-state=running --format '{{.DesiredState}}' web
docker inspect "$(docker service ps --filter desired-state=running --quiet web)" --format '{{.DesiredState}} {{json .Spec.ContainerSpec.Env}}'
docker ps --filter label=com.docker.swarm.service.name=web --format '{{.Image}} {{.State}}' | sort -u
docker secret rm nosuch
docker config rm nosuch
docker service create --quiet --no-resolve-image --mode replicated-job --name job base:1 true
docker service ps job --format '{{.Name}} {{.DesiredState}}'
docker service create --detach --no-resolve-image --mode global --name everywhere --stop-grace-period 1s base:1 sleep 1000
docker service rm web job everywhere nosuch
printf 'services:\n  web:\n    image: base:1\n    command: [sh, -c, "cat /run/secrets/file /inline; sleep 1000"]\n    environment: {A: b, TOKEN: hunter2}\n    secrets: [file]\n    configs: [{source: inline, target: /inline}]\n    deploy: {replicas: 1, labels: {owner: me}}\n    stop_signal: SIGKILL\nsecrets:\n  file: {file: ./secret.txt}\nconfigs:\n  inline: {file: ./inline.txt}\n' >stack.yaml && echo secret >secret.txt && echo inline >inline.txt && docker stack config -c stack.yaml
in-sequence docker stack deploy --detach=true --resolve-image never -c stack.yaml shop | sort
docker stack ls
docker stack services shop --format '{{.Name}} {{.Mode}} {{.Image}}'
until docker service ls | grep -q 1/1; do sleep 0.1; done; docker stack ps shop --format '{{.Name}} {{.DesiredState}}'
until docker service logs --raw shop_web | grep inline; do sleep 0.1; done
in-sequence docker stack deploy --detach=true --resolve-image never -c stack.yaml shop | sort
docker stack services nosuch
docker stack ps nosuch
docker stack rm shop 2>error.txt | sort; while grep -q 'in use by task' error.txt; do docker stack rm shop >again.txt 2>error.txt; done; cat error.txt
docker stack rm nosuch
docker secret rm first
docker config rm settings
docker events --since 1 --until "$(date +%s)" --filter scope=swarm --filter event=create --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}' | sort -u
until docker network rm over 2>error.txt; do sleep 0.1; done
in-sequence docker node update --availability drain "$(docker node ls --quiet)"
docker swarm leave
docker swarm leave --force
docker swarm leave --force
docker node ls
docker info --format '{{.Swarm.LocalNodeState}}'
