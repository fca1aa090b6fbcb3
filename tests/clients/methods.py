"""Calls every method of the Docker SDK for Python at DOCKER_HOST, and prints what each call returned or raised, one JSON
document a line. Two runs at the same kind of engine print the same, but for ids, times and figures.

The methods are taken from the SDK itself: each one must be called, or be in NOT_CALLED with a reason. The engine must have the
image `base:1`, and nothing else. Arguments: a registry, and a folder with a plugin (`config.json`, `rootfs`)."""

import inspect
import io
import json
import os
import pkgutil
import struct
import sys
import tarfile
import time
import traceback

import docker
import docker.models
from docker.models.resource import Model

REGISTRY, PLUGIN = sys.argv[1:]

# Methods that send the engine nothing, or that this engine cannot serve, with the reason.
NOT_CALLED = {
    "DockerClient.from_context": "reads the contexts of the docker command, then does what from_env does",
    "Collection.create": "abstract",
    "Collection.get": "abstract",
    "Collection.list": "abstract",
}

SCALARS = (str, int, float, bool, type(None))

called, depth = set(), 0


def emit(document):
    print(json.dumps(document, sort_keys=True))


def shown(value):
    """A returned value as JSON."""
    if isinstance(value, Model):
        return {"class": type(value).__name__, "attrs": shown(value.attrs)}
    if isinstance(value, docker.models.images.RegistryData):
        return {"class": "RegistryData", "attrs": shown(value.attrs)}
    if isinstance(value, bytes):
        return archive(value) or value.decode(errors="backslashreplace")
    if isinstance(value, dict):
        return {str(key): shown(member) for key, member in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [shown(element) for element in value]
    return value if isinstance(value, SCALARS) else f"<{type(value).__name__}>"


def archive(value):
    """The members of a tar archive, or None."""
    try:
        with tarfile.open(fileobj=io.BytesIO(value)) as tar:
            members = [(member.name, member.size, member.linkname) for member in tar]
    except tarfile.TarError:
        return None
    # The names of blobs are digests, and stand in their order.
    return [["blobs/sha256/*"] if name.startswith("blobs/sha256/") else [name, *rest] for name, *rest in members] or None


def failure(error):
    text = getattr(error, "explanation", None)
    status = getattr(error, "status_code", None)
    return {"class": type(error).__name__, "status": status, "text": shown(text) if text is not None else str(error)}


def traced(name, function):
    """The function, with a record of what it returns or raises. Values that it yields are recorded when they have ended. Of
    calls that the SDK makes itself, only the first of each method is recorded."""

    def wrapper(*arguments, **keywords):
        global depth
        told = depth == 0 or name not in called
        called.add(name)
        depth += 1
        try:
            value = function(*arguments, **keywords)
        except Exception as error:
            if told:
                emit({"call": name, "raised": failure(error)})
            raise
        finally:
            depth -= 1
        if inspect.isgenerator(value) and told:
            return yielded(name, value)
        if told:
            emit({"call": name, "returned": shown(value)})
        return value

    wrapper.__signature__ = inspect.signature(function)
    wrapper.__doc__ = function.__doc__
    return wrapper


def yielded(name, generator):
    values = []
    try:
        for value in generator:
            values.append(value)
            yield value
        joined = b"".join(values) if values and all(isinstance(value, bytes) for value in values) else values
        emit({"call": name, "yielded": shown(joined)})
    except Exception as error:
        emit({"call": name, "yielded": shown(values), "raised": failure(error)})
        raise


def classes():
    """The classes of the SDK whose methods are its interface."""
    yield docker.DockerClient
    yield from (one for one in docker.APIClient.__mro__ if one.__module__.startswith("docker."))
    for module in pkgutil.iter_modules(docker.models.__path__):
        module = __import__(f"docker.models.{module.name}", fromlist=["*"])
        for _, one in inspect.getmembers(module, inspect.isclass):
            if one.__module__ == module.__name__:
                yield one


def trace():
    """Wraps every public method and property. Returns their names."""
    names = set()
    for one in classes():
        owner = "APIClient" if one.__module__.startswith("docker.api.") else one.__name__
        for method, value in list(vars(one).items()):
            name = f"{owner}.{method}"
            if method.startswith("_"):
                continue
            if inspect.isfunction(value):
                setattr(one, method, traced(name, value))
            elif isinstance(value, classmethod):
                setattr(one, method, classmethod(traced(name, value.__func__)))
            elif isinstance(value, property):
                setattr(one, method, property(traced(name, value.fget)))
            else:
                continue
            names.add(name)
    return names


def fails(call):
    """Runs a call that must raise an error, which the trace shows."""
    try:
        value = call()
        list(value) if inspect.isgenerator(value) else None
    except (docker.errors.DockerException, OSError):
        return
    raise AssertionError(f"no error: {inspect.getsource(call)}")


def note(what, value):
    emit({"note": what, "value": shown(value)})


def read(socket):
    """What a socket of the SDK gives until its end."""
    read = socket.recv if hasattr(socket, "recv") else socket.read
    return b"".join(iter(lambda: read(4096), b""))


def outputs(frames):
    """Both outputs of a multiplexed stream."""
    both = {1: b"", 2: b""}
    while frames:
        stream, length = struct.unpack(">BxxxL", frames[:8])
        both[stream] += frames[8:8 + length]
        frames = frames[8 + length:]
    return list(both.values())


def tar(files):
    """A tar archive with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def wait_until(condition):
    """Waits without a trace: nobody knows how often it asks."""
    global emit
    saved, emit = emit, lambda document: None
    deadline = time.monotonic() + 20
    try:
        while not condition():
            assert time.monotonic() < deadline, inspect.getsource(condition)
            time.sleep(0.05)
    finally:
        emit = saved


def system(client):
    api = client.api
    client.version()
    client.info()
    client.ping()
    client.df()
    api.login("somebody", password="secret", registry=REGISTRY)
    client.login("somebody", password="secret", registry=REGISTRY, reauth=True)
    fails(lambda: api.login("somebody", password="secret", registry="127.0.0.1:9"))
    api.reload_config()
    api.api_version
    api.get_adapter(api.base_url)
    client.from_env().close()


def images(client):
    api = client.api
    data = tar({"file": b"content"})
    with open(os.path.join(os.environ["DOCKER_CONFIG"], "image.tar"), "wb") as file:
        file.write(data)
    api.import_image_from_data(data, repository="imported", tag="data")
    api.import_image_from_file(file.name, repository="imported", tag="file", changes=["ENV A=1"])
    api.import_image_from_stream(iter([data]), repository="imported", tag="stream")
    # The SDK sends the length of a file in memory, and says that it is chunked.
    fails(lambda: api.import_image_from_stream(io.BytesIO(data), repository="imported", tag="broken"))
    api.import_image(file.name, repository="imported", tag="any")
    fails(lambda: api.import_image_from_url("http://127.0.0.1:9/image.tar", repository="imported", tag="url"))
    note("build", list(api.build(fileobj=io.BytesIO(b"FROM base:1\nENV A=1\nRUN sleep 0.3; echo built; sleep 0.3\n"), tag="built:1", decode=True,
                                 network_mode="none", rm=True)))
    image, log = client.images.build(fileobj=io.BytesIO(b"FROM base:1\nARG B\nLABEL b=$B\n"), tag="built:2",
                                     buildargs={"B": "2"}, labels={"c": "3"}, rm=True)
    list(log)
    fails(lambda: client.images.build(fileobj=io.BytesIO(b"FROM base:1\nRUN exit 3\n"), network_mode="none", rm=True))
    fails(lambda: client.images.build(fileobj=io.BytesIO(b"NONSENSE\n")))
    fails(lambda: client.images.build(fileobj=io.BytesIO(b"FROM absent:1\n"), network_mode="none"))
    image.id, image.short_id, image.tags, image.labels
    image.history()
    image.reload()
    repository = f"{REGISTRY}/shop/base"
    image.tag(repository, tag="1")
    api.tag("base:1", "more", "2", force=True)
    fails(lambda: api.tag("base:1", "Not A Repository"))
    fails(lambda: api.tag("absent:1", "more"))
    note("push", list(client.images.push(repository, tag="1", stream=True, decode=True)))
    client.images.push(f"{REGISTRY}/absent")
    api.inspect_distribution(f"{repository}:1")
    fails(lambda: api.inspect_distribution(f"{REGISTRY}/absent:1"))
    registry = client.images.get_registry_data(f"{repository}:1")
    registry.id, registry.short_id
    registry.has_platform("linux/amd64")
    registry.reload()
    client.images.remove(f"{repository}:1")
    client.images.remove("built:2")
    registry.pull()
    client.images.pull(repository, tag="1")
    note("pull", list(api.pull(repository, tag="1", stream=True, decode=True)))
    api.import_image_from_image(f"{repository}:1")
    fails(lambda: client.images.pull(f"{REGISTRY}/absent", tag="1"))
    fails(lambda: client.images.pull(repository, tag="absent"))
    fails(lambda: client.images.search(f"{REGISTRY}/base"))
    api.inspect_image("base:1")
    api.history("built:1")
    fails(lambda: api.inspect_image("absent:1"))
    fails(lambda: client.images.get("absent:1"))
    client.images.get("built:1")
    note("images", sorted(client.images.list(), key=lambda image: str(image.attrs["RepoTags"])))
    api.images(quiet=True, filters={"reference": "base:1"})
    saved = b"".join(client.images.get("built:1").save(named=True))
    client.images.remove("built:1")
    client.images.load(saved)
    list(api.load_image(saved))
    fails(lambda: client.images.load(b"no archive"))
    fails(lambda: list(api.get_image("absent:1")))
    fails(lambda: client.images.remove("absent:1"))
    fails(lambda: client.images.get("more:2").remove())
    client.images.get("built:1").remove()
    for tag in ["imported:data", "imported:file", "imported:stream", "imported:any", "more:2"]:
        api.remove_image(tag)
    client.images.prune(filters={"dangling": True})
    client.images.prune_builds()


def containers(client):
    api = client.api
    idle = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & until read name </proc/$!/comm && [ x$name = xsleep ]; do :; done; echo ready; wait; done"]
    one = client.containers.create("base:1", idle, name="one", labels={"a": "1"}, environment={"TOKEN": "secret"},
                                   stop_signal="TERM", ports={"80/tcp": None}, restart_policy={"Name": "on-failure"})
    fails(lambda: client.containers.create("base:1", name="one"))
    fails(lambda: client.containers.create("absent:1"))
    fails(lambda: client.containers.create("base:1", name="not a name"))
    fails(lambda: client.containers.get("absent"))
    fails(lambda: api.attach_socket("absent"))
    fails(lambda: one.exec_run("true"))
    fails(lambda: one.kill())
    fails(lambda: one.pause())
    one.start()
    one.start()
    wait_until(lambda: b"ready" in one.logs())
    one.reload()
    one.id, one.short_id, one.name, one.status, one.health, one.labels, one.ports, one.image
    note("containers", client.containers.list(all=True, filters={"name": "^/one$"}))
    client.containers.list(sparse=True)
    api.containers(size=True, latest=True)
    api.port("one", 80)
    one.top(ps_args="-o pid,args")
    fails(lambda: one.top(ps_args="-Z nonsense"))
    one.exec_run(["sh", "-c", "echo out; echo error >&2; exit 3"], demux=True)
    one.exec_run("cat", tty=True, detach=True)
    one.exec_run("absent")
    note("exec stream", b"".join(one.exec_run(["sh", "-c", "echo 1; echo 2"], stream=True)[1]))
    started = api.exec_create("one", ["sh", "-c", "cat; stty size"], stdin=True, tty=True)
    socket = api.exec_start(started, tty=True, socket=True)
    api.exec_resize(started, height=33, width=99)
    socket._sock.sendall(b"typed\n\x04")
    note("exec socket", read(socket))
    wait_until(lambda: not api.exec_inspect(started)["Running"])
    fails(lambda: api.exec_inspect("absent"))
    fails(lambda: api.exec_create("absent", "true"))
    one.put_archive("/tmp", tar({"put": b"content"}))
    fails(lambda: one.put_archive("/absent", tar({"put": b"content"})))
    chunks, stat = one.get_archive("/tmp/put", encode_stream=True)
    note("archive", [b"".join(chunks), stat])
    fails(lambda: one.get_archive("/absent"))
    one.diff()
    note("export", len(archive(b"".join(one.export()))))
    one.commit("committed", tag="1", message="why", author="who", changes="ENV B=2")
    one.stats(stream=False)
    samples = one.stats(decode=True)
    note("stats", next(samples))
    samples.close()
    one.pause()
    fails(lambda: one.exec_run("true"))
    one.unpause()
    one.update(mem_limit="64m", memswap_limit="64m")
    fails(lambda: one.update(mem_limit="1k"))
    one.rename("other")
    one.rename("one")
    fails(lambda: one.rename(""))
    one.resize(height=33, width=99)
    fails(lambda: one.remove())
    one.restart(timeout=0)
    # A signal that comes before the shell has its trap is lost.
    wait_until(lambda: one.logs().count(b"ready") == 2)
    one.kill(signal="USR1")
    fails(lambda: one.kill(signal="NONSENSE"))
    client.containers.create("base:1", "true", name="two")
    one.stop(timeout=20)
    one.stop()
    one.wait()
    api.wait("one", condition="not-running")
    api.inspect_container("one")
    streams(client, one)
    client.containers.get("two").remove(v=True)
    one.remove()
    fails(lambda: one.remove())
    fails(lambda: one.wait())
    fails(lambda: one.logs())
    runs(client)
    links(client)
    client.containers.prune()
    client.images.remove("committed:1")


def streams(client, one):
    """Logs, attaching and events."""
    one.logs(stdout=True, stderr=False, tail=1)
    note("logs", list(one.logs(stream=True, follow=True)))
    echo = client.containers.create("base:1", ["sh", "-c", "cat; echo error >&2"], name="echo", stdin_open=True)
    socket = echo.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    echo.start()
    stream = echo.attach(logs=True, stream=True)
    socket._sock.sendall(b"typed\n")
    socket._sock.shutdown(1)
    note("attached", outputs(read(socket)))
    note("attach", sorted(stream))
    echo.remove()
    until = int(time.time()) + 1
    for event in client.events(since=until - 60, until=until, decode=True, filters={"container": "echo"}):
        note("event", {key: event[key] for key in ["Type", "Action", "Actor"]})


def runs(client):
    """Containers that are created, started and awaited in one call."""
    client.containers.run("base:1", ["sh", "-c", "sleep 0.3; echo out"], remove=True, name="ran")
    fails(lambda: client.containers.run("base:1", ["sh", "-c", "sleep 0.3; echo out; echo error >&2; exit 3"], name="ran", remove=True))
    fails(lambda: client.containers.run("base:1", "absent", name="ran"))
    client.containers.get("ran").remove()
    fails(lambda: client.containers.run("base:1", "/etc/passwd", name="ran"))
    client.containers.get("ran").remove()
    # The SDK pulls an image only if the engine says that there is no such image.
    client.containers.run(f"{REGISTRY}/shop/base:1", "true", name="ran", remove=True)
    client.images.remove(f"{REGISTRY}/shop/base:1")
    client.containers.run(f"{REGISTRY}/shop/base:1", "true", name="ran", remove=True)
    client.containers.run("base:1", "true", name="ran", detach=True).wait()
    client.containers.get("ran").remove()


def links(client):
    """The parts that the low-level interface makes a container of, and a link between two."""
    api = client.api
    network = api.create_network("links")
    config = api.create_container_config("base:1", ["sleep", "1000"], stop_signal="KILL", host_config=api.create_host_config(network_mode="links"))
    api.create_container_from_config(config, "first")
    api.start("first")
    networking = api.create_networking_config({"links": api.create_endpoint_config(aliases=["b"], links={"first": "one"})})
    api.create_container("base:1", "true", name="second", networking_config=networking)
    fails(lambda: api.remove_container("second/absent", link=True))
    fails(lambda: api.start("second", links={"first": "one"}))
    api.remove_container("second")
    fails(lambda: api.remove_network(network["Id"]))
    api.remove_container("first", force=True)
    api.remove_network(network["Id"])


def networks(client):
    api = client.api
    pool = docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet="172.31.77.0/24")])
    shop = client.networks.create("shop", driver="bridge", ipam=pool, labels={"a": "1"}, options={"b": "2"})
    fails(lambda: client.networks.create("shop"))
    fails(lambda: client.networks.get("absent"))
    note("networks", sorted(client.networks.list(), key=lambda network: network.attrs["Name"]))
    api.networks(names=["shop"])
    api.inspect_network("shop", verbose=True)
    member = client.containers.create("base:1", "sleep 1000", name="member", stop_signal="KILL")
    shop.connect(member, ipv4_address="172.31.77.7", aliases=["a"])
    member.start()
    shop.reload()
    shop.containers, shop.name, shop.id
    fails(lambda: shop.connect(member))
    fails(lambda: shop.remove())
    shop.disconnect(member)
    fails(lambda: shop.disconnect(member))
    member.remove(force=True)
    shop.remove()
    client.networks.create("unused")
    client.networks.prune()


def volumes(client):
    api = client.api
    data = client.volumes.create("data", labels={"a": "1"}, driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=1m"})
    client.volumes.create("data")
    fails(lambda: client.volumes.get("absent"))
    data.name, data.id
    data.reload()
    client.volumes.get("data")
    client.volumes.list(filters={"name": "data"})
    api.volumes()
    user = client.containers.create("base:1", "true", name="user", volumes={"data": {"bind": "/data", "mode": "rw"}})
    fails(lambda: data.remove())
    user.remove()
    data.remove()
    fails(lambda: data.remove())
    api.create_volume(None)
    client.volumes.prune(filters={"all": True})


def plugins(client):
    api = client.api
    name = f"{REGISTRY}/shop/plugin:1"
    made = client.plugins.create(name, PLUGIN)
    made.name, made.enabled, made.settings
    made.configure({"DEBUG": "1"})
    fails(lambda: made.configure({"ABSENT": "1"}))
    made.enable(timeout=10)
    fails(lambda: made.enable())
    fails(lambda: made.remove())
    fails(lambda: made.configure({"DEBUG": "0"}))
    client.plugins.list()
    made.reload()
    made.disable()
    fails(lambda: made.disable())
    # The SDK asks for a path that the engine does not have.
    fails(lambda: made.push())
    list(made.upgrade())
    made.remove()
    fails(lambda: client.plugins.get(name))
    api.plugin_privileges(name)
    api.plugin_privileges(f"{REGISTRY}/absent:1")
    installed = client.plugins.install(name, local_name="local:1")
    installed.remove(force=True)
    fails(lambda: api.remove_plugin("local:1"))
    fails(lambda: list(api.pull_plugin(f"{REGISTRY}/absent:1", [])))


def swarm(client):
    api = client.api
    fails(lambda: client.swarm.reload())
    fails(lambda: client.services.list())
    fails(lambda: client.swarm.leave())
    fails(lambda: client.swarm.join(["127.0.0.1:9"], "SWMTKN-1-nonsense-nonsense"))
    client.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377", task_history_retention_limit=1)
    fails(lambda: client.swarm.init(advertise_addr="127.0.0.1"))
    fails(lambda: client.swarm.join(["127.0.0.1:9"], "SWMTKN-1-nonsense-nonsense"))
    client.swarm.version
    client.swarm.update(autolock_managers=True, rotate_worker_token=True)
    fails(lambda: api.update_swarm(1, {"Name": "default"}))
    client.swarm.get_unlock_key()
    fails(lambda: client.swarm.unlock(client.swarm.get_unlock_key()))
    client.swarm.reload()
    api.inspect_swarm()
    node = client.nodes.list()[0]
    node.id
    in_sequence(node, lambda: node.update({"Availability": "active", "Role": "manager", "Labels": {"a": "1"}}))
    fails(lambda: api.update_node(node.id, 1, {"Role": "manager"}))
    fails(lambda: client.nodes.get("absent"))
    fails(lambda: node.remove())
    secrets_and_configs(client)
    services(client)
    fails(lambda: client.swarm.leave())
    client.swarm.leave(force=True)


def secrets_and_configs(client):
    api = client.api
    for collection, inspected, listed in [
        (client.secrets, api.inspect_secret, api.secrets),
        (client.configs, api.inspect_config, api.configs),
    ]:
        made = collection.create(name="made", data=b"content", labels={"a": "1"})
        fails(lambda: collection.create(name="made", data=b"content"))
        fails(lambda: collection.create(name="not a name", data=b"content"))
        made = collection.get(made.id)
        made.name, made.id, made.short_id
        made.reload()
        collection.list(filters={"name": "made"})
        fails(lambda: inspected("absent"))
        listed()
        made.remove()
        fails(lambda: made.remove())


def services(client):
    api = client.api
    web = client.services.create("base:1", ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & until read name </proc/$!/comm && [ x$name = xsleep ]; do :; done; echo ready; wait; done"],
                                 name="web", labels={"a": "1"}, env=["TOKEN=secret"], stop_grace_period=1_000_000_000,
                                 container_labels={"b": "2"})
    fails(lambda: client.services.create("base:1", name="web"))
    fails(lambda: client.services.get("absent"))
    fails(lambda: client.services.create("base:1", name="not a name"))
    web = client.services.get("web")
    web.name, web.version, web.id
    running = lambda count: lambda: len([task for task in web.tasks() if task["Status"]["State"] == "running"]) == count
    wait_until(running(1))
    client.services.list(filters={"name": "web"}, status=True)
    api.inspect_service("web", insert_defaults=True)
    task = api.tasks(filters={"service": "web"})[0]
    api.inspect_task(task["ID"])
    fails(lambda: api.inspect_task("absent"))
    wait_until(lambda: b"ready" in b"".join(web.logs(stdout=True)))
    note("service logs", list(web.logs(stdout=True, stderr=True)))
    fails(lambda: api.service_logs("absent", stdout=True))
    web.scale(0)
    web.reload()
    web.update(labels={"a": "2"}, fetch_current_spec=True)
    web.reload()
    web.force_update()
    fails(lambda: api.update_service("web", 1, name="web"))
    web.remove()
    fails(lambda: web.remove())


def in_sequence(model, update):
    """Updates an object that the engine updates too. The trace shows the attempt that the engine did not get ahead of."""
    global emit, called
    saved, before = emit, called
    while True:
        documents, called = [], set(before)
        emit = documents.append
        try:
            model.reload()
            model.version
            update()
            break
        except docker.errors.APIError as error:
            assert "out of sequence" in error.explanation
        finally:
            emit = saved
    for document in documents:
        emit(document)


PARTS = [system, images, containers, networks, volumes, plugins, swarm]


def succeeds(part, client):
    """Runs one part. The others run in any case: the trace shows them too."""
    emit({"part": part.__name__})
    try:
        part(client)
    except Exception:
        traceback.print_exc()
        return False
    return True


def main():
    methods = trace()
    client = docker.DockerClient(base_url=os.environ["DOCKER_HOST"], version="auto", timeout=30)
    failed = [part.__name__ for part in PARTS if not succeeds(part, client)]
    client.close()
    missing = sorted(methods - called - set(NOT_CALLED))
    stale = sorted(name for name in NOT_CALLED if name in called or name not in methods)
    if failed or missing or stale:
        sys.exit(f"failed: {failed}; not called, and without a reason: {missing}; with a reason, but called or unknown: {stale}")
    emit({"methods": len(methods), "excluded": len(NOT_CALLED)})


main()
