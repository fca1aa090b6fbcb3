# The classic builder, BuildKit and buildx. Each line is a step of its own.
docker import base.tar base:1
mkdir context && printf 'FROM base:1\nARG WHO=world\nENV GREETING=hello\nLABEL made=here\nCOPY file.txt /file.txt\nRUN echo built for $WHO >/built\nCMD ["cat", "/built"]\n' >context/Dockerfile && echo content >context/file.txt
DOCKER_BUILDKIT=0 docker build -t classic:1 --build-arg WHO=me --label extra=1 context
DOCKER_BUILDKIT=0 docker build -t classic:1 --build-arg WHO=me --label extra=1 context
docker run --rm classic:1
DOCKER_BUILDKIT=0 docker build --quiet --no-cache --memory 64m --network none context
tar c -C context . | DOCKER_BUILDKIT=0 docker build -t classic:2 -
docker run --detach --name user --volume /data classic:2 sleep 1000
docker rmi classic:2
docker rmi --force classic:2
docker rm -f user
printf 'FROM base:1\nRUN exit 3\n' | DOCKER_BUILDKIT=0 docker build -
printf 'FROM nosuch:1\n' | DOCKER_BUILDKIT=0 docker build -
printf 'NOSUCH\n' | DOCKER_BUILDKIT=0 docker build -
DOCKER_BUILDKIT=0 docker build --file nosuch context
DOCKER_BUILDKIT=0 docker build --target nosuch context
docker build --quiet -t built:1 --build-arg WHO=buildkit context
docker run --rm built:1
docker build --progress plain -t built:2 context 2>&1 | sed -n 's/^#[0-9]* \(\[.*\]\)/\1/p; s/^\(ERROR: failed to build: \)failed to [a-zA-Z ]*: /\1/; s/^ERROR/&/p' | sort -u
docker build --progress plain -t built:2 context 2>&1 | sed -n 's/^#[0-9]* \(\[.*\]\)/\1/p; s/^\(ERROR: failed to build: \)failed to [a-zA-Z ]*: /\1/; s/^ERROR/&/p' | sort -u
docker build --quiet --no-cache --iidfile id.txt context && cat id.txt
echo secret >secret.txt && printf 'FROM base:1\nRUN --mount=type=secret,id=s cat /run/secrets/s >/seen\n' | docker build --quiet --secret id=s,src=secret.txt -t secret:1 - && docker run --rm secret:1 sh -c 'sleep 0.3; cat /seen'
# Two parts of the client tell of an error, each in words of its own, and the first one wins.
printf 'FROM base:1\nRUN exit 3\n' | docker build --progress plain - 2>&1 | sed -n 's/^#[0-9]* \(\[.*\]\)/\1/p; s/^\(ERROR: failed to build: \)failed to [a-zA-Z ]*: /\1/; s/^ERROR/&/p' | sort -u
printf 'FROM 127.0.0.1:5000/nosuch:1\n' | docker build --progress plain - 2>&1 | sed -n 's/^#[0-9]* \(\[.*\]\)/\1/p; s/^\(ERROR: failed to build: \)failed to [a-zA-Z ]*: /\1/; s/^ERROR/&/p' | sort -u
docker build --file nosuch context 2>&1 | sed -n 's/^#[0-9]* \(\[.*\]\)/\1/p; s/^\(ERROR: failed to build: \)failed to [a-zA-Z ]*: /\1/; s/^ERROR/&/p' | sort -u
docker build --quiet --output out context && cat out/built
docker buildx ls --format '{{.Name}} {{.DriverEndpoint}} {{.Status}}'
docker buildx inspect
docker buildx version
docker buildx build --load --quiet -t buildx:1 --build-arg WHO=buildx context && docker run --rm buildx:1
docker buildx build --quiet --output type=tar,dest=image.tar context && tar tf image.tar | grep built
docker buildx build --quiet --push -t 127.0.0.1:5000/made/buildx:1 context
docker buildx imagetools inspect 127.0.0.1:1/nosuch:1
printf 'target "default" {\n  context = "context"\n  tags = ["baked:1"]\n  args = { WHO = "bake" }\n}\n' >docker-bake.hcl && docker buildx bake --progress quiet && docker run --rm baked:1
docker buildx bake --print --progress quiet
docker buildx du --format '{{.Type}}' | sort | uniq -c
docker buildx history ls --format '{{.Name}} {{.Status}}' | sort -u
docker buildx prune --force --filter nosuch=1
docker buildx create --name other --driver docker-container
docker builder prune --force --all | tail -n 1 | cut -d: -f1
docker image prune --force --all --filter label=made=here | grep -c .
