import { parseArgs } from "node:util";
import { startPlayground } from "./server.ts";

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "8008" },
    "server-name": { type: "string", default: "playground" },
  },
});
const playground = await startPlayground({
  port: Number(values.port),
  serverName: values["server-name"],
});
process.stdout.write(`playground homeserver ${playground.serverName} at ${playground.url}\n`);
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void playground.stop());
}
