"""Reads the engine at DOCKER_HOST through aiodocker, with the calls that the integration "Monitor Docker" of Home Assistant
makes, and prints what it shows as JSON: the containers named as arguments, the first events of the last one since a time given as
the first argument, and the outcomes of the switches, which a profile denies."""

import asyncio
import json
import sys

import aiodocker


async def outcome(call):
    try:
        await call
        return "done"
    except aiodocker.DockerError as error:
        return f"{error.status}: {error.message}"


async def events(api, since, count, name):
    """The first events of one container in a stream that stays open."""
    subscriber = api.events.subscribe(filters=json.dumps({"type": ["container"]}), since=since)
    found = []
    while len(found) < count:
        event = await asyncio.wait_for(subscriber.get(), 20)
        if event["Actor"]["Attributes"]["name"] == name:
            found.append(event)
    return [[event["Type"], event["Action"], event["Actor"]["Attributes"]["name"]] for event in found]


async def main(since, names):
    async with aiodocker.Docker() as api:
        shown = {"version": (await api.version())["Version"]}
        info = await api.system.info()
        shown["info"] = {name: info[name] for name in ["ServerVersion", "MemTotal", "NCPU", "OperatingSystem", "KernelVersion"]}
        found = await api.containers.list(all=True)
        shown["list"] = sorted(container._container["Names"][0] for container in found)
        containers = [await api.containers.get(name) for name in names]
        shown["containers"] = {name: await one.show() for name, one in zip(names, containers)}
        sample = (await containers[0].stats(stream=False))[0]
        shown["usage"] = [sample["cpu_stats"]["online_cpus"], sample["memory_stats"]["limit"], sorted(sample["networks"])]
        shown["events"] = await events(api, since, 2, names[-1])
        last = containers[-1]
        calls = {"stop": last.stop, "start": last.start, "restart": last.restart}
        shown["denied"] = {name: await outcome(call()) for name, call in calls.items()}
        return shown


print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2:]))))
