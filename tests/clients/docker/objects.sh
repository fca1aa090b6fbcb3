# Networks, volumes, events, disk use, plugins and contexts. Each line is a step of its own.
docker import --change 'ENV FROM=import' --message 'a base' base.tar base:1
docker info --format '{{.ServerVersion}} {{.Driver}} {{.Swarm.LocalNodeState}} {{json .Plugins}} {{json .SecurityOptions}} {{json .RegistryConfig}}'
docker network create --subnet 10.9.0.0/24 --label owner=me --opt com.docker.network.bridge.name=made0 made
docker network create made
docker network ls
docker network ls --filter type=custom --format json
docker network inspect made bridge nosuch
docker run --detach --name first --network made --ip 10.9.0.9 --network-alias alias base:1 sleep 1000
docker run --rm --network made base:1 wget -T 1 -q -O - http://nosuch/
docker network connect --alias also bridge first
docker network connect bridge first
docker network connect nosuch first
docker network inspect --format '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}' made
docker network disconnect bridge first
docker network rm made
docker rm -f first
docker network rm made nosuch
docker network prune --force
docker volume create --label owner=me --opt type=tmpfs --opt device=tmpfs --opt o=size=1m made
docker volume create --opt nosuch=1 other
docker volume ls
docker volume ls --filter dangling=true --quiet
docker volume inspect made nosuch
docker run --rm -v made:/v base:1 sh -c 'echo x >/v/x; cat /v/x'
docker volume rm made nosuch
docker volume prune --force --all
docker events --since 1 --until "$(date +%s.%N)" --filter container=first --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}'
docker events --since 1 --until "$(date +%s.%N)" --filter type=network --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}' | sort | uniq -c
docker events --since 1 --until "$(date +%s.%N)" --filter container=first --format json | grep -c Attributes
docker events --filter nosuch
docker system df
docker system df --verbose
docker system df --format json
docker system prune --force --volumes
docker checkpoint ls first
docker plugin ls
docker plugin inspect nosuch
docker plugin rm nosuch
docker search nosuch
docker login --username a --password b 127.0.0.1:5000
docker logout 127.0.0.1:5000
docker context create other --docker "host=$DOCKER_HOST" --description 'a context'
docker context ls --format '{{.Name}} {{.Description}} {{.DockerEndpoint}}'
docker context inspect other
docker --context other ps --format '{{.Names}}'
docker context rm other
docker context use nosuch
