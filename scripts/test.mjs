// `npm test`: install, build, lint, type-check and all hermetic tests. Extra arguments go to vitest
// and skip the lint and the type check (`npm test -- tests/unit/config`).
import { ensureBuilt, ensureInstalled, run } from "./bootstrap.mjs";

ensureInstalled();
ensureBuilt();
const args = process.argv.slice(2);
const node = process.execPath;
const steps = [
  ["type check", ["node_modules/typescript/bin/tsc", "-p", "tsconfig.json"]],
  ["lint", ["node_modules/eslint/bin/eslint.js", ".", "--max-warnings", "0"]],
  ["format", ["node_modules/prettier/bin/prettier.cjs", "--check", "--log-level", "warn", "."]],
];
let failed = false;
for (const [name, command] of args.length === 0 ? steps : []) {
  console.error(`${name} ...`);
  if (run(node, command) !== 0) {
    console.error(`error: ${name} failed`);
    failed = true;
  }
}
if (run(node, ["node_modules/vitest/vitest.mjs", "run", ...args]) !== 0) failed = true;
process.exit(failed ? 1 : 0);
