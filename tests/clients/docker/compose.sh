# Compose. Each line is a step of its own.
docker import base.tar base:1
echo secret >secret.txt && mkdir context && printf 'FROM base:1\nARG WHO=world\nRUN echo built for $WHO >/built\nCMD ["cat", "/built"]\n' >context/Dockerfile
printf 'name: made\nservices:\n  web:\n    image: base:1\n    command: [sh, -c, "cat /config /run/secrets/secret; sleep 1000"]\n    environment: {A: b, TOKEN: hunter2}\n    labels: {owner: me}\n    configs: [{source: inline, target: /config}]\n    secrets: [secret]\n    volumes: ["data:/data"]\n    stop_signal: SIGKILL\n    healthcheck: {test: [CMD, "true"], interval: 1h, start_period: 1h, start_interval: 100ms}\n  built:\n    build: {context: context, args: {WHO: compose}}\n    depends_on: {web: {condition: service_healthy}}\nconfigs:\n  inline: {content: "a config\\n"}\nsecrets:\n  secret: {file: secret.txt}\nvolumes:\n  data: {}\n' >compose.yaml && docker compose config --hash web
docker compose --progress plain up --detach --quiet-build 2>&1 | sort -u; docker wait made-built-1
docker compose ps --format '{{.Name}} {{.Service}} {{.State}} {{.Health}}'
docker compose ps --all --format '{{.Name}} {{.Image}} {{.State}} {{.ExitCode}}'
docker compose ps --quiet --status exited
docker compose ls
docker compose events --json --since 1 --until "$(date +%s.%N)" | grep -c '"action":"create"'
docker compose images --format json web
docker compose logs --no-color web
docker compose logs --no-color built
docker compose top web | grep -c sleep
docker compose exec -T web sh -c 'echo $A; exit 4'
terminal -- docker compose exec web sh -c 'tty; exit 3'
echo again >file.txt && docker compose cp file.txt web:/tmp/copied.txt
docker compose cp web:/tmp/copied.txt back.txt && cat back.txt
docker compose run --rm --no-deps -T built 2>/dev/null
docker compose run --rm --no-deps -T web sh -c 'exit 5'
docker compose --progress plain up --detach --no-build 2>&1 | sort -u
docker compose --progress plain up --build --detach 2>&1 | grep -c Built
docker compose config --images | sort
docker compose port web 80
docker compose pause web && docker compose unpause web
docker compose stop -t 0 web
docker compose start web
docker compose restart -t 0 web
docker compose kill web
docker compose wait built
docker compose pull --quiet web
docker compose create --quiet-pull web
docker compose rm --force --stop web
docker compose volumes --format '{{.Name}}'
docker compose --progress plain down --volumes --rmi local -t 0 2>&1 | sort -u
docker compose ps
docker compose up nosuch
printf 'services:\n  broken:\n    image: base:1\n    command: [nosuch]\n' | docker compose -f - -p broken up --detach
docker compose -p broken down
docker system df --format '{{.Type}} {{.TotalCount}}'
docker system prune --force --all --volumes | grep -c .
