// `npm start`: the demo; `npm start -- --config FILE`: the daemon. Does all the set-up it needs.
import { ensureBuilt, ensureInstalled } from "./bootstrap.mjs";

ensureInstalled();
ensureBuilt();
const args = process.argv.slice(2);
if (args.length === 0) {
  await import("../dist/playground/demo.js");
} else {
  process.argv.splice(2, process.argv.length, "run", ...args);
  await import("../dist/cli/main.js");
}
