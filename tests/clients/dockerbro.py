"""Reads the engine at DOCKER_HOST through dockerbro, as an agent does over the server's standard input, and prints what it
shows as JSON: the tools, the lists of containers and images, the containers named as arguments, and the outcomes of calls that a
profile may deny."""

import json
import sys

from agent import Server

names = sys.argv[1:]
server = Server("dockerbro")
hello = server.greet()


def text(tool, **arguments):
    return server.call(tool, **arguments)["result"]["content"][0]["text"]


shown = {
    "server": hello["serverInfo"]["name"],
    "tools": len(server.ask("tools/list", {})["result"]["tools"]),
    "containers": sorted(text("list_containers").splitlines()),
    "images": sorted(text("list_images").splitlines()),
    "inspected": {name: text("inspect_container", container=name).splitlines() for name in names},
    "denied": {
        "logs": text("logs_container", container=names[0], tail=5),
        # The container runs, so that nothing happens if this is allowed.
        "start": text("start_container", container=names[0]),
        "exec": text("exec_container", container=names[0], command="true"),
    },
}
server.end()
json.dump(shown, sys.stdout)
