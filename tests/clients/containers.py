"""Runs containers with testcontainers for Python at DOCKER_HOST, and prints what each step showed, one JSON document a line. The
engine must have the image `base:1`."""

import json
import os
import urllib.request

import docker
from testcontainers.core.container import DockerContainer
from testcontainers.core.image import DockerImage
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import HttpWaitStrategy, LogMessageWaitStrategy

SERVER = ["sh", "-c", "busybox mkdir /tmp/www; echo $TEXT >/tmp/www/index.html; echo ready; exec busybox httpd -f -p 80 -h /tmp/www"]


def tell(step, value):
    print(json.dumps({"call": step, "returned": value}, sort_keys=True, default=bytes.decode))


def serves():
    """A container with a published port, awaited by its log and by its answer."""
    container = DockerContainer("base:1", command=SERVER, env={"TEXT": "hello"}, ports=[80])
    with container.waiting_for(LogMessageWaitStrategy("ready")) as server:
        address = f"http://{server.get_container_host_ip()}:{server.get_exposed_port(80)}/index.html"
        container.waiting_for(HttpWaitStrategy(80, "/index.html").for_status_code(200))
        tell("http", urllib.request.urlopen(address, timeout=10).read().decode())
        tell("logs", list(server.get_logs()))
        tell("exec", list(server.exec(["sh", "-c", "cat /tmp/www/index.html; exit 3"])))
        tell("status", server.get_wrapped_container().status)


def talks():
    """Two containers in a network."""
    with Network() as network:
        server = DockerContainer("base:1", command=SERVER, env={"TEXT": "hello"}, network=network, network_aliases=["server"])
        with server.waiting_for(LogMessageWaitStrategy("ready")):
            wrapped = server.get_wrapped_container()
            wrapped.reload()
            attached = wrapped.attrs["NetworkSettings"]["Networks"][network.name]
            tell("aliases", "server" in attached["Aliases"])
            with DockerContainer("base:1", command="sleep 1000", network=network) as client:
                # It may not listen yet.
                fetch = f"wget -q -O - http://{attached['IPAddress']}/index.html"
                attempts = f"for _ in $(seq 100); do {fetch} && exit; sleep 0.1; done; exit 1"
                tell("network", list(client.exec(["sh", "-c", attempts])))


def builds(folder):
    """A container of an image that is built first."""
    with open(f"{folder}/Dockerfile", "w") as file:
        file.write("FROM base:1\nENV A=1\n")
    with DockerImage(path=folder, tag="built:1") as image:
        with DockerContainer(str(image), command="sh -c 'echo A is $A; sleep 1000'").waiting_for(LogMessageWaitStrategy("A is")) as container:
            tell("build", container.get_logs()[0])


def main():
    serves()
    talks()
    builds(os.environ["DOCKER_CONFIG"])
    tell("left", [container.name for container in docker.from_env().containers.list(all=True)])


main()
