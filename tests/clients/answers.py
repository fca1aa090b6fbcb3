"""Starts and stops a container twice, asks for what does not exist, and prints what docker-py makes of each answer."""

import io
import json
import re
import sys
import tarfile

import docker

NAME, IMAGE = sys.argv[1:3]
client = docker.from_env(version="1.41")


def outcome(call):
    try:
        result = call()
    except docker.errors.APIError as error:
        kind, text = type(error).__name__, error.explanation or ""
        text = re.sub("[0-9a-f]{64}", "ID", text)
        return [kind, error.status_code, text.replace(NAME, "NAME")]
    return "done" if result is None else result


container = client.containers.create(IMAGE, ["sleep", "60"], name=NAME)
archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    entry = tarfile.TarInfo("file")
    entry.size = 5
    tar.addfile(entry, io.BytesIO(b"hello"))

steps = {
    "ping": client.ping,
    "start": container.start,
    "start again": container.start,
    "create again": lambda: client.containers.create(IMAGE, name=NAME),
    "put": lambda: container.put_archive("/", archive.getvalue()),
    "get": lambda: len(b"".join(container.get_archive("/file")[0])),
    "get nothing": lambda: container.get_archive("/nosuch"),
    "remove running": container.remove,
    "rename": lambda: container.rename(NAME),
    "no such container": lambda: client.containers.get("nosuch"),
    "no such image": lambda: client.images.get("nosuch"),
    "create without image": lambda: client.containers.create("nosuch:1"),
    "no such network": lambda: client.networks.get("nosuch"),
    "no such volume": lambda: client.volumes.get("nosuch"),
    "no swarm": lambda: client.services.list(),
    "stop": lambda: container.stop(timeout=0),
    "stop again": lambda: container.stop(timeout=0),
    "exec stopped": lambda: container.exec_run("true"),
    "remove": container.remove,
    "remove again": container.remove,
}
print(json.dumps({step: outcome(call) for step, call in steps.items()}, indent=1))
