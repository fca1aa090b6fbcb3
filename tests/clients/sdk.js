// Reads the engine at DOCKER_HOST with dockerode, and prints what it shows as JSON: the containers named as arguments, other
// objects, and the outcomes of calls that a profile may deny.

const { createHash } = require("node:crypto");

const Docker = require("dockerode");

// The outcome of a call that a profile may deny.
async function outcome(call) {
  try {
    await call();
    return "done";
  } catch (error) {
    return `${error.statusCode}: ${error.json && error.json.message}`;
  }
}

// The first process of a container, without what differs between two reads.
function first({ Titles, Processes: [[user, pid, , , , , , command]] }) {
  return { titles: Titles, user, pid, command };
}

// A digest, which is short in the report of a failure.
function digest(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

async function main(names) {
  const docker = new Docker({ socketPath: process.env.DOCKER_HOST.slice("unix://".length) });
  const [web] = names.map((name) => docker.getContainer(name));
  const version = await docker.version();
  const sample = await web.stats({ stream: false });
  return {
    version: { ApiVersion: version.ApiVersion, Version: version.Version },
    ping: String(await docker.ping()),
    info: await docker.info().then(({ NCPU, MemTotal, Driver }) => ({ NCPU, MemTotal, Driver })),
    containers: await Promise.all(
      names.map(async (name) => {
        const { Id, Name, State, Config, NetworkSettings } = await docker.getContainer(name).inspect();
        return { Id, Name, status: State.Status, tty: Config.Tty, image: Config.Image, ports: NetworkSettings.Ports };
      }),
    ),
    list: (await docker.listContainers({ all: true, filters: { name: ["web"] } })).map((row) => ({ ...row, Status: "" })),
    inspect: await web.inspect(),
    usage: { name: sample.name, limit: sample.memory_stats.limit, networks: Object.keys(sample.networks) },
    top: first(await web.top()),
    logs: digest(await docker.getContainer("story").logs({ stdout: true, stderr: true, follow: false })),
    images: (await docker.listImages()).flatMap((image) => image.RepoTags || []).sort(),
    networks: (await docker.listNetworks()).map((network) => network.Name).sort(),
    volumes: (await docker.listVolumes()).Volumes.map((volume) => volume.Name).sort(),
    denied: {
      exec: await outcome(() => web.exec({ Cmd: ["true"] })),
      archive: await outcome(() => web.getArchive({ path: "/etc/passwd" })),
    },
  };
}

main(process.argv.slice(2)).then(
  // An archive that is not read would keep the program from ending.
  (shown) => process.stdout.write(JSON.stringify(shown), () => process.exit(0)),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
