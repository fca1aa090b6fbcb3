# Images, archives of them, and a registry. Each line is a step of its own.
docker import base.tar base:1
docker import --change 'CMD ["echo", "from a pipe"]' - piped:1 <base.tar
docker import nosuch.tar x
docker import http://127.0.0.1:1/nosuch x
docker images | sort
docker images --digests --no-trunc --all | sort
docker images --format json base
docker images --filter dangling=true --quiet
docker images --filter nosuch=1
docker image ls --filter reference='b*' --format '{{.Repository}}:{{.Tag}} {{.Size}}'
docker history --no-trunc piped:1
docker history nosuch
docker image inspect nosuch
docker tag base:1 other:2
docker tag base:1 'Not Valid'
docker tag nosuch x:1
docker save base:1 other:2 -o saved.tar && tar tf saved.tar | grep -c .
docker save base:1 | tar t | grep manifest.json
docker save nosuch
docker rmi other:2
docker rmi nosuch
docker load -i saved.tar | sort
docker load -q <saved.tar | sort
docker load <base.tar
docker load -i nosuch.tar
docker tag base:1 127.0.0.1:5000/made/base:1
docker push 127.0.0.1:5000/made/base:1
docker push --quiet 127.0.0.1:5000/made/base:1
docker push 127.0.0.1:5000/nosuch
docker push 127.0.0.1:1/made/base:1
docker rmi 127.0.0.1:5000/made/base:1
docker pull 127.0.0.1:5000/made/base:1
docker pull --quiet 127.0.0.1:5000/made/base:1
docker pull 127.0.0.1:5000/made/base:nosuch
docker pull 127.0.0.1:5000/nosuch
docker pull --platform linux/arm64 127.0.0.1:5000/made/base:1
docker pull 'Not Valid'
docker manifest inspect --insecure 127.0.0.1:1/nosuch:1
docker images --digests 127.0.0.1:5000/made/base
docker run --rm --pull always --quiet 127.0.0.1:5000/made/base:1 echo pulled
docker rmi --force 127.0.0.1:5000/made/base:1
docker run --rm 127.0.0.1:5000/made/base:1 echo pulled
docker image prune --force --filter nosuch=1
docker system prune --force --all --volumes | grep -c .
