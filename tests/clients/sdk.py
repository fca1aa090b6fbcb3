"""Reads the engine at DOCKER_HOST with the Docker SDK for Python, and prints what it shows as JSON: the containers named as
arguments, other objects, and the outcomes of calls that a profile may deny."""

import json
import sys

import docker


def outcome(call):
    """The outcome of a call that a profile may deny."""
    try:
        call()
    except docker.errors.APIError as error:
        return f"{error.status_code}: {error.explanation}"
    return "done"


def usage(container):
    """The figures of a sample of statistics that are the same in every sample."""
    sample = container.stats(stream=False)
    return {
        "name": sample["name"],
        "limit": sample["memory_stats"]["limit"],
        "cpus": sample["cpu_stats"]["online_cpus"],
        "networks": sorted(sample.get("networks", {})),
    }


def top(container):
    """The first process of a container, without what differs between two reads."""
    processes = container.top()
    row = processes["Processes"][0]
    return {"titles": processes["Titles"], "user": row[0], "pid": row[1], "command": row[7] if len(row) > 7 else None}


client = docker.from_env()
containers = [client.containers.get(name) for name in sys.argv[1:]]
web = containers[0]
version = client.version()
shown = {
    "version": {key: version[key] for key in ["ApiVersion", "MinAPIVersion", "Version", "Os", "Arch"]},
    "ping": client.ping(),
    "info": {key: client.info()[key] for key in ["NCPU", "MemTotal", "OSType", "Driver", "ServerVersion"]},
    "containers": [
        {
            "id": container.id,
            "name": container.name,
            "status": container.status,
            "health": container.health,
            "image": container.image.tags,
            "ports": container.ports,
            "project": container.labels.get("com.docker.compose.project"),
            "labels": container.labels,
        }
        for container in containers
    ],
    "inspect": web.attrs,
    "list": sorted(container.name for container in client.containers.list(filters={"name": "web"})),
    "usage": usage(web),
    "top": top(web),
    "logs": [container.logs(stream=False).decode() for container in containers if container.status == "exited"],
    "images": sorted(tag for image in client.images.list() for tag in image.tags),
    "image": client.images.get("shop/web:1").attrs,
    "networks": sorted(network.name for network in client.networks.list()),
    "network": client.networks.get("shop").attrs["IPAM"],
    "volumes": sorted(volume.name for volume in client.volumes.list()),
    "denied": {
        "exec": outcome(lambda: web.exec_run("true")),
        "archive": outcome(lambda: web.get_archive("/etc/passwd")),
    },
}
json.dump(shown, sys.stdout)
