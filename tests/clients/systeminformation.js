// Reads the engine at DOCKER_HOST with the functions for Docker of systeminformation, and prints what it shows as JSON: the
// usage of the container named as an argument, its processes, and everything else.

process.env.DOCKER_SOCKET = process.env.DOCKER_HOST.slice("unix://".length);
const information = require("systeminformation");

async function main(name) {
  const info = await information.dockerInfo();
  const containers = await information.dockerContainers(true);
  const byName = Object.fromEntries(containers.map((container) => [container.name, container]));
  const images = await information.dockerImages(false);
  const [usage] = await information.dockerContainerStats(byName[name].id);
  return {
    info,
    containers: byName,
    images: Object.fromEntries(images.map((image) => [String(image.repoTags), image])),
    volumes: Object.fromEntries((await information.dockerVolumes()).map((volume) => [volume.name, volume])),
    usage: { limit: usage.memLimit, used: usage.memUsage > 0, restarts: usage.restartCount, interfaces: Object.keys(usage.networks) },
    processes: await information.dockerContainerProcesses(byName[name].id),
  };
}

main(process.argv[2]).then((shown) => console.log(JSON.stringify(shown)));
