"""Reads the engine at DOCKER_HOST through mcp-server-docker, as an agent does over the server's standard input, and prints
what it shows as JSON: the tools, the containers named as arguments, lists of other objects, a sample of statistics of the
first container, and the outcomes of calls that a profile may deny."""

import json
import pathlib
import subprocess
import sys

PROGRAM = pathlib.Path(sys.executable).with_name("mcp-server-docker")


class Server:
    """A server and the requests that it has been sent."""

    def __init__(self):
        self.process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.last = 0

    def send(self, message):
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message) + "\n")
        self.process.stdin.flush()

    def ask(self, method, parameters):
        """The response to a request. Notifications before it are skipped."""
        self.last += 1
        self.send({"id": self.last, "method": method, "params": parameters})
        for line in self.process.stdout:
            answer = json.loads(line)
            if answer.get("id") == self.last:
                return answer
        raise EOFError(method)

    def call(self, tool, **arguments):
        return self.ask("tools/call", {"name": tool, "arguments": arguments})

    def listed(self, tool, **arguments):
        """The rows of a tool that lists objects, by their names or tags."""
        rows = self.call(tool, **arguments)["result"]["structuredContent"]["result"]
        return {row.get("name") or ",".join(sorted(row["tags"])): row for row in rows}

    @staticmethod
    def outcome(answer):
        """The outcome of a request that a profile may deny."""
        if "error" in answer:
            return f"error: {answer['error']['message']}"
        result = answer["result"]
        return "error: " + result["content"][0]["text"] if result.get("isError") else "done"


names = sys.argv[1:]
server = Server()
hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "0"}}
hello = server.ask("initialize", hello)["result"]
server.send({"method": "notifications/initialized"})
resource = f"docker://containers/{names[0]}"
stats = server.ask("resources/read", {"uri": f"{resource}/stats"})["result"]["contents"][0]
sample = json.loads(stats["text"])
compose = {"name": "docker_compose", "arguments": {"name": "shop", "containers": "a web server"}}
containers = server.listed("list_containers", all=True)
shown = {
    "server": hello["serverInfo"]["name"],
    "tools": sorted(tool["name"] for tool in server.ask("tools/list", {})["result"]["tools"]),
    "containers": {name: containers[name] for name in names},
    "labelled": sorted(server.listed("list_containers", filters={"label": ["com.docker.compose.project=shop"]})),
    "images": server.listed("list_images"),
    "networks": server.listed("list_networks"),
    "volumes": server.listed("list_volumes"),
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
server.process.stdin.close()
server.process.wait(10)
json.dump(shown, sys.stdout)
