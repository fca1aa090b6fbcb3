"""Reads the engine at DOCKER_HOST through mcp-server-docker, as an agent does over the server's standard input, and prints
what it shows as JSON: the tools, the containers named as arguments, lists of other objects, a sample of statistics of the
first container, and the outcomes of calls that a profile may deny."""

import json
import sys

from agent import Server


def listed(tool, **arguments):
    """The rows of a tool that lists objects, by their names or tags."""
    rows = server.call(tool, **arguments)["result"]["structuredContent"]["result"]
    return {row.get("name") or ",".join(sorted(row["tags"])): row for row in rows}


names = sys.argv[1:]
server = Server("mcp-server-docker")
hello = server.greet()
resource = f"docker://containers/{names[0]}"
stats = server.ask("resources/read", {"uri": f"{resource}/stats"})["result"]["contents"][0]
sample = json.loads(stats["text"])
compose = {"name": "docker_compose", "arguments": {"name": "shop", "containers": "a web server"}}
containers = listed("list_containers", all=True)
shown = {
    "server": hello["serverInfo"]["name"],
    "tools": sorted(tool["name"] for tool in server.ask("tools/list", {})["result"]["tools"]),
    "containers": {name: containers[name] for name in names},
    "labelled": sorted(listed("list_containers", filters={"label": ["com.docker.compose.project=shop"]})),
    "images": listed("list_images"),
    "networks": listed("list_networks"),
    "volumes": listed("list_volumes"),
    "usage": {
        "limit": sample["memory_stats"]["limit"],
        "cpus": sample["cpu_stats"]["online_cpus"],
        "networks": sorted(sample.get("networks", {})),
    },
    "prompt": server.outcome(server.ask("prompts/get", compose)),
    "denied": {
        "fetch_container_logs": server.outcome(server.call("fetch_container_logs", container_id=names[0])),
        "logs": server.outcome(server.ask("resources/read", {"uri": f"{resource}/logs"})),
        # The container runs, so that nothing happens if this is allowed.
        "start_container": server.outcome(server.call("start_container", container_id=names[0])),
    },
}
server.end()
json.dump(shown, sys.stdout)
