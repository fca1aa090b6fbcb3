// Runs containers with testcontainers for Node at DOCKER_HOST, and prints what each step showed, one JSON document a line. The
// engine must have the image `base:1`.

const fs = require("node:fs");
const path = require("node:path");
const { GenericContainer, Network, Wait } = require("testcontainers");

const SERVER = [
  "sh", "-c", "busybox mkdir /tmp/www; echo $TEXT >/tmp/www/index.html; echo ready; exec busybox httpd -f -p 80 -h /tmp/www",
];

const tell = (step, value) => console.log(JSON.stringify({ call: step, returned: value }));

const server = () => new GenericContainer("base:1").withCommand(SERVER).withEnvironment({ TEXT: "hello" }).withLabels({ a: '"{|}' });

// A container with a published port, awaited by its log and by its answer.
async function serves() {
  const waits = Wait.forAll([Wait.forLogMessage("ready"), Wait.forHttp("/index.html", 80)]);
  const container = await server().withExposedPorts(80).withWaitStrategy(waits).start();
  const answer = await fetch(`http://${container.getHost()}:${container.getMappedPort(80)}/index.html`);
  tell("http", await answer.text());
  const { output, exitCode } = await container.exec(["sh", "-c", "cat /tmp/www/index.html; exit 3"]);
  tell("exec", [output, exitCode]);
  await container.copyContentToContainer([{ content: "copied", target: "/tmp/copied" }]);
  const copied = await container.exec(["cat", "/tmp/copied"]);
  tell("copy", [copied.output, copied.exitCode]);
  const archive = await container.copyArchiveFromContainer("/tmp/copied");
  const bytes = [];
  for await (const chunk of archive) bytes.push(chunk);
  tell("archive", Buffer.concat(bytes).includes("copied"));
  const logs = await container.logs();
  for await (const line of logs) {
    tell("logs", line.toString());
    break;
  }
  await container.restart({ timeout: 1 });
  tell("restart", await (await fetch(`http://${container.getHost()}:${container.getMappedPort(80)}/index.html`)).text());
  await container.stop({ timeout: 1 });
}

// Two containers in a network.
async function talks() {
  const network = await new Network().start();
  const first = await server().withNetwork(network).withNetworkAliases("server").withWaitStrategy(Wait.forLogMessage("ready")).start();
  const client = await new GenericContainer("base:1").withCommand(["sleep", "1000"]).withNetwork(network).start();
  const { output, exitCode } = await client.exec(["wget", "-q", "-O", "-", `http://${first.getIpAddress(network.getName())}/index.html`]);
  tell("network", [output, exitCode]);
  await client.stop({ timeout: 1 });
  await first.stop({ timeout: 1 });
  await network.stop();
}

// A container of an image that is built first.
async function builds(folder) {
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, "Dockerfile"), "FROM base:1\nENV A=1\n");
  const image = await GenericContainer.fromDockerfile(folder).withCache(false).build("built:1", { deleteOnExit: false });
  const container = await image.withCommand(["sh", "-c", "echo A is $A; sleep 1000"]).withWaitStrategy(Wait.forLogMessage("A is 1")).start();
  tell("build", "started");
  await container.stop({ timeout: 1 });
}

async function main() {
  await serves();
  await talks();
  await builds(path.join(process.env.DOCKER_CONFIG, "context"));
}

// The log of a container keeps the program from nothing: testcontainers has told its connection so.
setInterval(() => {}, 1000);
main().then(
  () => process.exit(),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
