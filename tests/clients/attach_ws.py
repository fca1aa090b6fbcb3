"""Attaches to a running container at DOCKER_HOST over a WebSocket, sends it a line, and prints what comes back as JSON: by
the SDK for Python if the host is TCP, and by its WebSocket client, which cannot reach Unix sockets by itself, if not."""

import json
import os
import socket
import sys

import docker
import websocket

name = sys.argv[1]
host = os.environ["DOCKER_HOST"]
parameters = {"stdin": 1, "stdout": 1, "stream": 1}
if host.startswith("tcp://"):
    connection = docker.from_env().api.attach_socket(name, params=parameters, ws=True)
else:
    unix = socket.socket(socket.AF_UNIX)
    unix.connect(host.removeprefix("unix://"))
    query = "&".join(f"{key}={value}" for key, value in parameters.items())
    connection = websocket.create_connection(f"ws://localhost/v1.41/containers/{name}/attach/ws?{query}", socket=unix)
connection.settimeout(20)
connection.send("a line\n")
seen = b""
while not seen.endswith(b"a line\n"):
    opcode, data = connection.recv_data()
    seen += data
kind = {websocket.ABNF.OPCODE_TEXT: "text", websocket.ABNF.OPCODE_BINARY: "binary"}.get(opcode, opcode)
print(json.dumps({"status": connection.status, "kind": kind, "seen": seen.decode(), "protocol": connection.subprotocol}))
connection.close()
