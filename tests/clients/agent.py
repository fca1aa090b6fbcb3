"""An agent's side of the Model Context Protocol."""

import json
import pathlib
import subprocess
import sys


class Server:
    """An MCP server over its standard input, and the requests that it has been sent."""

    def __init__(self, name):
        program = pathlib.Path(sys.executable).with_name(name)
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
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

    def greet(self):
        """What the server says of itself."""
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "0"}}
        hello = self.ask("initialize", hello)["result"]
        self.send({"method": "notifications/initialized"})
        return hello

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)

    @staticmethod
    def outcome(answer):
        """The outcome of a request that a profile may deny."""
        if "error" in answer:
            return f"error: {answer['error']['message']}"
        result = answer["result"]
        return "error: " + result["content"][0]["text"] if result.get("isError") else "done"
