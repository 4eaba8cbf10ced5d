// Runs the emulator on a free port of this machine alone, says which, and ends with whoever started it.
// It reads one line of JSON: {"module": …, "baseUrl": …, "seed": …}.
import net from "node:net";
import readline from "node:readline";

const lines = readline.createInterface({ input: process.stdin });
lines.on("close", () => process.exit(0));
const start = await new Promise((resolve) => lines.once("line", (line) => resolve(JSON.parse(line))));

// The emulator takes a port and listens everywhere: a port that was free a moment ago may not be.
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function () {
  this.once("listening", () => console.log(JSON.stringify({ port: this.address().port })));
  return listen.call(this, 0, "127.0.0.1");
};
const { createEmulator } = await import(start.module);
await createEmulator({ service: "github", port: 4001, baseUrl: start.baseUrl, seed: start.seed });
