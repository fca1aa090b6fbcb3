// Asks the engine at DOCKER_HOST what Uptime Kuma 2.5 asks, with the release of axios that it uses and the options that it sets
// (server/docker.js, server/model/monitor.js), and prints as JSON what it makes of the answers: the number of containers, and the
// state of each container named as an argument.

const axios = require("axios");

const socketPath = process.env.DOCKER_HOST.slice("unix://".length);
const ask = (url) => axios.request({ url, timeout: 48000, headers: { Accept: "*/*" }, socketPath });

async function main(names) {
  const list = (await ask("/containers/json?all=true")).data;
  const isDocker = Array.isArray(list) && list.length > 1 && "ImageID" in list[0];
  const states = {};
  for (const name of names) {
    try {
      const { State } = (await ask(`/containers/${name}/json`)).data;
      states[name] = [State.Running, State.Paused, State.Restarting, State.Status, State.Health && State.Health.Status];
    } catch (error) {
      states[name] = `${error.response.status}: ${error.response.data.message}`;
    }
  }
  return { isDocker, containers: list.length, states, answer: list };
}

main(process.argv.slice(2)).then((shown) => console.log(JSON.stringify(shown)));
