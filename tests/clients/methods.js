// Calls every method of dockerode at DOCKER_HOST, and prints what each call returned or raised, one JSON document a line. Two runs
// at the same kind of engine print the same, but for ids, times and figures.
//
// The methods are taken from dockerode itself: each one must be called, or be in NOT_CALLED with a reason. The engine must have
// the image `base:1`, and nothing else. Argument: a registry with a plugin, `shop/plugin:1`.

const fs = require("node:fs");
const path = require("node:path");
const { PassThrough, Readable } = require("node:stream");
const Docker = require("dockerode");

const [REGISTRY] = process.argv.slice(2);

// Methods that send the engine nothing, or that this engine cannot serve, with the reason.
const NOT_CALLED = {
  "Container.copy": "for an operation that engines do not have since Docker 25: its answer is a page that is not found",
  "Container.createCheckpoint": "needs an experimental engine with CRIU",
  "Container.deleteCheckpoint": "needs an experimental engine with CRIU",
};

const called = new Set();
let [depth, quiet] = [0, false];

const emit = (document) => quiet || console.log(JSON.stringify(document));

// A value that a method returned, as JSON.
function shown(value) {
  if (Buffer.isBuffer(value)) return value.toString();
  if (value && typeof value.pipe === "function") return "<stream>";
  if (value && value.modem) return { class: value.constructor.name, id: value.id || value.name };
  if (Array.isArray(value)) return value.map(shown);
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, shown(member)]));
  return value === undefined ? null : value;
}

function failure(error) {
  const text = error.json ? error.json.message || error.json : error.message;
  return { class: error.name, status: error.statusCode, reason: error.reason, text };
}

// Records what the methods of a class do. Of calls that dockerode makes itself, only the first of each method is recorded.
function trace(owner, prototype, names) {
  for (const method of Object.getOwnPropertyNames(prototype).filter((name) => name !== "constructor")) {
    const name = `${owner}.${method}`;
    names.add(name);
    const original = prototype[method];
    prototype[method] = function (...values) {
      const told = depth === 0 || !called.has(name);
      if (!quiet) called.add(name);
      depth += 1;
      let value;
      try {
        value = original.apply(this, values);
      } finally {
        depth -= 1;
      }
      if (!told) return value;
      if (!value || typeof value.then !== "function") {
        emit({ call: name, returned: shown(value) });
        return value;
      }
      return value.then(
        (result) => {
          emit({ call: name, returned: shown(result) });
          return result;
        },
        (error) => {
          emit({ call: name, raised: failure(error) });
          throw error;
        },
      );
    };
  }
}

// Awaits a call that must raise an error, which the trace shows.
async function fails(call) {
  try {
    await call();
  } catch {
    return;
  }
  throw new Error(`no error: ${call}`);
}

const note = (what, value) => emit({ note: what, value: shown(value) });

// The bytes of a stream until its end.
async function read(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

// What a progress stream says.
const progress = (docker, stream) =>
  new Promise((resolve, reject) =>
    docker.modem.followProgress(stream, (error, output) => (error ? reject(error) : resolve(output))),
  );

// Both outputs of a multiplexed stream.
async function outputs(docker, stream) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(stream, stdout, stderr);
  const ended = new Promise((resolve) => stream.on("close", resolve).on("end", resolve));
  await ended;
  stdout.end();
  stderr.end();
  return [(await read(stdout)).toString(), (await read(stderr)).toString()];
}

// Tries without a trace until a condition is true: nobody knows how often it asks.
async function until(condition) {
  quiet = true;
  for (let attempt = 0; attempt < 400; attempt += 1) {
    if (await condition()) {
      quiet = false;
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`never true: ${condition}`);
}

// A tar archive (POSIX ustar) with these files.
function tar(files) {
  const blocks = [];
  for (const [name, text] of Object.entries(files)) {
    const head = Buffer.alloc(512);
    const put = (at, value) => head.write(value, at, "latin1");
    put(0, name);
    put(100, "0000755\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, `${text.length.toString(8).padStart(11, "0")}\0`);
    put(136, "00000000000\0");
    put(148, "        0ustar\0");
    put(263, "00");
    const sum = head.reduce((total, byte) => total + byte, 0);
    put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
    blocks.push(head, Buffer.from(text), Buffer.alloc((512 - (text.length % 512)) % 512));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

// The names in a tar archive. Those of blobs are digests.
function names(archive) {
  const found = [];
  for (let at = 0; at + 512 <= archive.length && archive[at]; ) {
    const text = (start, length) => archive.toString("latin1", at + start, at + start + length).split("\0")[0];
    found.push(text(0, 100).replace(/^(blobs\/sha256\/).+/, "$1*"));
    at += 512 + Math.ceil(parseInt(text(124, 12), 8) / 512) * 512;
  }
  return found;
}

async function system(docker) {
  await docker.version();
  await docker.info();
  await docker.ping();
  await docker.df();
  await docker.checkAuth({ username: "somebody", password: "secret", serveraddress: REGISTRY });
  await fails(() => docker.checkAuth({ username: "somebody", password: "secret", serveraddress: "127.0.0.1:9" }));
}

async function images(docker) {
  const context = tar({ Dockerfile: "FROM base:1\nENV A=1\nRUN sleep 0.3; echo built; sleep 0.3\n" });
  const built = await docker.buildImage(Readable.from([context]), { t: "built:1", networkmode: "none", rm: true });
  await new Promise((resolve) =>
    docker.followProgress(built, (error, output) => {
      note("build", [error, output]);
      resolve();
    }),
  );
  const failing = tar({ Dockerfile: "FROM base:1\nRUN exit 3\n" });
  const stream = await docker.buildImage(Readable.from([failing]), { networkmode: "none", rm: true });
  note("build", await progress(docker, stream).catch((error) => failure(error)));
  await fails(() => docker.buildImage(Readable.from([tar({ Dockerfile: "NONSENSE\n" })])));
  const files = { context: process.env.DOCKER_CONFIG, src: ["Dockerfile"] };
  fs.writeFileSync(path.join(files.context, "Dockerfile"), "FROM base:1\nLABEL a=1\n");
  note("build", await progress(docker, await docker.buildImage(files, { t: "built:2" })));
  const withBuildKit = await docker.buildImage(files, { t: "built:3", version: "2" });
  await new Promise((resolve) => docker.followProgress(withBuildKit, (error) => resolve(note("BuildKit", error))));
  await docker.getImage("built:3").inspect();
  note("import", (await read(await docker.importImage(Readable.from([tar({ file: "content" })]), { repo: "imported", tag: "1" }))));
  const repository = `${REGISTRY}/shop/base`;
  const base = docker.getImage("base:1");
  await base.inspect();
  await base.history();
  await base.tag({ repo: repository, tag: "1" });
  await fails(() => base.tag({ repo: "Not A Repository" }));
  const image = docker.getImage(`${repository}:1`);
  note("push", await progress(docker, await image.push({ authconfig: { username: "a", password: "b" } })));
  await image.distribution();
  await fails(() => docker.getImage(`${REGISTRY}/absent:1`).distribution());
  await image.remove();
  note("pull", await progress(docker, await docker.pull(`${repository}:1`)));
  await fails(() => docker.pull(`${REGISTRY}/absent:1`));
  note("pull", await progress(docker, await docker.pullAll(repository)));
  note("create", await progress(docker, await docker.createImage({ fromImage: repository, tag: "1" })));
  await fails(() => docker.searchImages({ term: `${REGISTRY}/base` }));
  await docker.listImages();
  await docker.listImages({ all: true, digests: true, filters: { reference: ["base"] } });
  await fails(() => docker.getImage("absent:1").inspect());
  await fails(() => docker.getImage("absent:1").get());
  note("get", names(await read(await docker.getImage("built:1").get())));
  const saved = await read(await docker.getImages({ names: ["built:1", "built:2"] }));
  note("saved", names(saved).sort());
  await docker.getImage("built:1").remove();
  note("load", (await progress(docker, await docker.loadImage(Readable.from([saved])))).map(JSON.stringify).sort());
  note("load", (await read(await docker.loadImage(Readable.from(["no archive"])).catch((error) => [JSON.stringify(failure(error))]))));
  await fails(() => docker.getImage("absent:1").remove());
  for (const name of ["built:1", "built:2", "built:3", "imported:1"]) await docker.getImage(name).remove();
  await docker.pruneImages({ filters: { dangling: { true: true } } });
  await docker.pruneBuilder();
}

const IDLE = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & until read name </proc/$!/comm && [ x$name = xsleep ]; do :; done; echo ready; wait; done"];

async function containers(docker) {
  const one = await docker.createContainer({
    Image: "base:1",
    name: "one",
    Cmd: IDLE,
    Env: ["TOKEN=secret", 'QUOTED="{|}^`ü"'],
    Labels: { a: "1", quoted: '"{|}^`ü' },
    ExposedPorts: { "80/tcp": {} },
    HostConfig: { PortBindings: { "80/tcp": [{ HostPort: "" }] } },
  });
  await fails(() => docker.createContainer({ Image: "base:1", name: "one" }));
  await fails(() => docker.createContainer({ Image: "absent:1" }));
  await fails(() => docker.createContainer({ Image: "base:1", name: "not a name" }));
  await fails(() => one.exec({ Cmd: ["true"] }));
  await fails(() => one.kill());
  await one.start();
  await fails(() => one.start());
  await until(async () => (await one.logs({ stdout: true })).includes("ready"));
  await one.inspect({ size: true });
  await fails(() => docker.getContainer("absent").inspect());
  await docker.listContainers({ all: true, size: true, filters: { name: ["one"] } });
  await one.top({ ps_args: "-o pid,args" });
  await execs(docker, one);
  await one.putArchive(tar({ put: "content" }), { path: "/tmp" });
  await fails(() => one.putArchive(tar({ put: "content" }), { path: "/absent" }));
  note("archive", names(await read(await one.getArchive({ path: "/tmp/put" }))));
  await fails(() => one.getArchive({ path: "/absent" }));
  const info = await one.infoArchive({ path: "/tmp/put" });
  note("info", JSON.parse(Buffer.from(info.headers["x-docker-container-path-stat"], "base64")));
  await fails(() => one.infoArchive({ path: "/absent" }));
  await one.changes();
  note("export", names(await read(await one.export())).length > 5);
  await one.commit({ repo: "committed", tag: "1", comment: "why", author: "who", changes: "ENV B=2" });
  await one.stats({ stream: false });
  const samples = await one.stats();
  note("stats", await new Promise((resolve) => samples.once("data", (sample) => resolve(JSON.parse(sample)))));
  samples.destroy();
  await one.pause();
  await fails(() => one.pause());
  await one.unpause();
  await one.update({ Memory: 64 * 1024 * 1024, MemorySwap: 64 * 1024 * 1024 });
  await fails(() => one.update({ Memory: 1 }));
  await one.rename({ name: "other" });
  await fails(() => one.rename({ name: "" }));
  await one.resize({ h: 33, w: 99 });
  await fails(() => one.listCheckpoint());
  await fails(() => one.remove());
  await one.restart({ t: 0 });
  // A signal that comes before the shell has its trap is lost.
  await until(async () => (await one.logs({ stdout: true })).toString().split("ready").length === 3);
  await fails(() => one.kill({ signal: "NONSENSE" }));
  await one.kill({ signal: "USR1" });
  await one.stop({ t: 20 });
  await fails(() => one.stop());
  await one.wait();
  await fails(() => docker.getContainer("absent").wait());
  await attached(docker);
  const now = Math.floor(Date.now() / 1000) + 1;
  const events = (await read(await docker.getEvents({ since: now - 60, until: now, filters: { container: ["echo"] } }))).toString();
  for (const line of events.trim().split("\n")) {
    const { Type, Action, Actor } = JSON.parse(line);
    note("event", { Type, Action, Actor });
  }
  await one.remove({ v: true });
  await fails(() => one.remove());
  await runs(docker);
  await docker.pruneContainers();
  await docker.getImage("committed:1").remove();
}

async function execs(docker, one) {
  const both = await one.exec({ Cmd: ["sh", "-c", "echo out; echo error >&2; exit 3"], AttachStdout: true, AttachStderr: true });
  note("exec", await outputs(docker, await both.start({})));
  await until(async () => !(await both.inspect()).Running);
  await both.inspect();
  const input = await one.exec({ Cmd: ["cat"], AttachStdin: true, AttachStdout: true });
  const hijacked = await input.start({ hijack: true, stdin: true });
  hijacked.end("typed\n");
  note("exec", await outputs(docker, hijacked));
  const terminal = await one.exec({ Cmd: ["sh", "-c", "read line; stty size"], AttachStdin: true, AttachStdout: true, Tty: true });
  const screen = await terminal.start({ hijack: true, stdin: true, Tty: true });
  await terminal.resize({ h: 33, w: 99 });
  screen.write("typed\n");
  note("exec", await read(screen));
  const absent = await one.exec({ Cmd: ["absent"], AttachStdout: true });
  note("exec", await absent.start({}).then(read, failure));
  await fails(() => docker.getExec("absent").inspect());
  await fails(() => docker.getExec("absent").start({}));
}

async function attached(docker) {
  const echo = await docker.createContainer({
    Image: "base:1", name: "echo", Cmd: ["sh", "-c", "cat; echo error >&2"], OpenStdin: true, StdinOnce: true,
  });
  const stream = await echo.attach({ stream: true, hijack: true, stdin: true, stdout: true, stderr: true });
  await echo.start();
  stream.end("typed\n");
  note("attached", await outputs(docker, stream));
  await echo.wait();
  note("logs", await outputs(docker, await echo.logs({ stdout: true, stderr: true, follow: true })));
  await echo.remove();
}

async function runs(docker) {
  const output = new PassThrough();
  const ran = docker.run("base:1", ["sh", "-c", "sleep 0.3; echo out"], output, { name: "removed", HostConfig: { AutoRemove: true } });
  await ran;
  note("run", await read(output));
  await fails(() => docker.run("absent:1", ["true"], new PassThrough()));
  await fails(() => docker.run("base:1", ["absent"], new PassThrough(), { name: "ran" }));
  await docker.getContainer("ran").remove();
  await fails(() => docker.run("base:1", ["/etc/passwd"], new PassThrough(), { name: "ran" }));
  await docker.getContainer("ran").remove();
  await new Promise((resolve) =>
    docker.run("base:1", ["true"], new PassThrough(), { name: "ran" }, {}, (error, data) => resolve(note("run", [error, data]))),
  );
  await docker.getContainer("ran").remove();
}

async function networks(docker) {
  const shop = await docker.createNetwork({
    Name: "shop", Labels: { a: "1" }, Options: { b: "2" }, IPAM: { Config: [{ Subnet: "172.31.77.0/24" }] },
  });
  await fails(() => docker.createNetwork({ Name: "shop" }));
  await fails(() => docker.getNetwork("absent").inspect());
  note("networks", (await docker.listNetworks({ filters: { type: ["custom"] } })).map((network) => network.Name));
  const member = await docker.createContainer({ Image: "base:1", name: "member", Cmd: ["sleep", "1000"] });
  await member.start();
  await shop.connect({ Container: "member", EndpointConfig: { Aliases: ["a"], IPAMConfig: { IPv4Address: "172.31.77.7" } } });
  await fails(() => shop.connect({ Container: "member" }));
  await shop.inspect({ verbose: true });
  await fails(() => shop.remove());
  await shop.disconnect({ Container: "member", Force: true });
  await fails(() => shop.disconnect({ Container: "member" }));
  await member.remove({ force: true });
  await shop.remove();
  await docker.createNetwork({ Name: "unused" });
  await docker.pruneNetworks();
}

async function volumes(docker) {
  const data = await docker.createVolume({ Name: "data", Labels: { a: "1" }, DriverOpts: { type: "tmpfs", device: "tmpfs", o: "size=1m" } });
  await data.inspect();
  await docker.listVolumes({ filters: { name: ["data"] } });
  await fails(() => docker.getVolume("absent").inspect());
  const user = await docker.createContainer({ Image: "base:1", Cmd: ["true"], HostConfig: { Binds: ["data:/data"] } });
  await fails(() => data.remove());
  await user.remove();
  await data.remove();
  await fails(() => data.remove());
  await docker.createVolume({ Name: "unused" });
  await docker.pruneVolumes({ filters: { all: { true: true } } });
}

async function plugins(docker) {
  const name = `${REGISTRY}/shop/plugin:1`;
  const copy = `${REGISTRY}/shop/copy:1`;
  const made = docker.getPlugin(name, name);
  // It cannot send an archive.
  await fails(() => docker.createPlugin({ name: "made:1" }));
  const privileges = await made.privileges();
  note("pull", await progress(docker, await made.pull({ _query: { remote: name, name: copy }, _body: privileges })));
  const local = docker.getPlugin(copy, name);
  await local.inspect();
  await local.configure({ _query: {}, _body: ["DEBUG=1"] });
  await fails(() => local.configure({ _query: {}, _body: ["ABSENT=1"] }));
  await local.enable({ timeout: 10 });
  await fails(() => local.enable({ timeout: 10 }));
  await docker.listPlugins();
  await fails(() => local.remove());
  await local.disable();
  await fails(() => local.disable());
  await local.upgrade({}, { _query: { remote: name }, _body: privileges });
  await local.push({ authconfig: {} });
  await local.remove({ force: true });
  await fails(() => local.inspect());
}

async function swarm(docker) {
  await fails(() => docker.swarmInspect());
  await fails(() => docker.listServices());
  await fails(() => docker.swarmLeave());
  await fails(() => docker.swarmJoin({ RemoteAddrs: ["127.0.0.1:9"], ListenAddr: "127.0.0.1:2377", JoinToken: "SWMTKN-1-nonsense-nonsense" }));
  await docker.swarmInit({ ListenAddr: "127.0.0.1:2377", AdvertiseAddr: "127.0.0.1", ForceNewCluster: false, Spec: {} });
  await fails(() => docker.swarmInit({ AdvertiseAddr: "127.0.0.1" }));
  await fails(() => docker.swarmJoin({ RemoteAddrs: ["127.0.0.1:9"], JoinToken: "SWMTKN-1-nonsense-nonsense" }));
  const { Version, Spec } = await docker.swarmInspect();
  await docker.swarmUpdate({ version: Version.Index, ...Spec, TaskDefaults: {} });
  await fails(() => docker.swarmUpdate({ version: 1, ...Spec }));
  const [{ ID }] = await docker.listNodes();
  const node = docker.getNode(ID);
  // The engine updates nodes too.
  await until(async () => {
    const { Version, Spec } = await node.inspect();
    return node.update({ version: Version.Index, ...Spec, Labels: { a: "1" } }).then(() => true, () => false);
  });
  await node.inspect();
  await fails(() => node.update({ version: 1, Role: "manager", Availability: "active" }));
  await fails(() => node.remove());
  await fails(() => docker.getNode("absent").inspect());
  await kept(docker, "Secret", (one) => docker.createSecret(one), () => docker.listSecrets(), (id) => docker.getSecret(id));
  await kept(docker, "Config", (one) => docker.createConfig(one), () => docker.listConfigs(), (id) => docker.getConfig(id));
  await services(docker);
  await fails(() => docker.swarmLeave());
  await docker.swarmLeave({ force: true });
}

// Secrets and configs.
async function kept(docker, kind, create, list, get) {
  const one = { Name: "made", Labels: { a: "1" }, Data: Buffer.from(`content of a ${kind}`).toString("base64") };
  const { id } = await create(one);
  await fails(() => create(one));
  await list();
  const { Version, Spec } = await get(id).inspect();
  await get(id).update({ version: Version.Index, ...Spec, Labels: { b: "2" } });
  await fails(() => get(id).update({ version: 1, ...Spec }));
  await fails(() => get("absent").inspect());
  await get(id).remove();
  await fails(() => get(id).remove());
}

async function services(docker) {
  const spec = {
    Name: "web",
    Labels: { a: "1" },
    TaskTemplate: { ContainerSpec: { Image: "base:1", Command: IDLE, Env: ["TOKEN=secret"], StopGracePeriod: 1e9 } },
    Mode: { Replicated: { Replicas: 1 } },
  };
  const web = await docker.createService(spec);
  await fails(() => docker.createService(spec));
  await fails(() => docker.getService("absent").inspect());
  const tasks = () => docker.listTasks({ filters: { service: ["web"] } });
  await until(async () => (await tasks()).some((task) => task.Status.State === "running"));
  await docker.listServices({ filters: { name: ["web"] } });
  const [task] = await tasks();
  await docker.getTask(task.ID).inspect();
  await fails(() => docker.getTask("absent").inspect());
  await until(async () => (await web.logs({ stdout: true, follow: false })).includes("ready"));
  await web.logs({ stdout: true, stderr: true });
  await docker.getTask(task.ID).logs({ stdout: true });
  await until(async () => {
    const { Version, Spec } = await web.inspect();
    return web.update({ version: Version.Index, ...Spec, Labels: { a: "2" } }).then(() => true, () => false);
  });
  await web.inspect({ insertDefaults: true });
  await fails(() => web.update({ version: 1, ...spec }));
  await web.remove();
  await fails(() => web.remove());
}

async function main() {
  const methods = new Set();
  for (const name of ["docker", "container", "image", "volume", "network", "service", "plugin", "secret", "config", "task", "node", "exec"]) {
    const one = require(`dockerode/lib/${name}`);
    trace(name[0].toUpperCase() + name.slice(1), one.prototype, methods);
  }
  const docker = new Docker();
  const failed = [];
  for (const part of [system, images, containers, networks, volumes, plugins, swarm]) {
    emit({ part: part.name });
    try {
      await part(docker);
    } catch (error) {
      quiet = false;
      console.error(part.name, error);
      failed.push(part.name);
    }
  }
  const missing = [...methods].filter((name) => !called.has(name) && !(name in NOT_CALLED)).sort();
  const stale = Object.keys(NOT_CALLED).filter((name) => called.has(name) || !methods.has(name));
  emit({ methods: methods.size, excluded: Object.keys(NOT_CALLED).length });
  if (failed.length || missing.length || stale.length) {
    console.error({ failed, "not called, and without a reason": missing, "with a reason, but called or unknown": stale });
    process.exitCode = 1;
  }
  setImmediate(() => process.exit());
}

main();
