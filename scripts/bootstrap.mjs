// Makes a fresh clone runnable: installs the locked dependencies and builds `dist/`, each only where
// it is missing or older than what it is made from. Plain JavaScript, because it runs before anything
// is installed.
import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `error: Node ${process.versions.node} is too old\nhint: install Node 20.19 or later`,
  );
  process.exit(1);
}

/** Runs a command in the project's root and returns its exit code; its output goes to stderr. */
export function run(command, args, env = {}) {
  const child = spawnSync(command, args, {
    cwd: root,
    stdio: ["ignore", 2, 2],
    env: { ...process.env, ...env },
  });
  if (child.error) throw child.error;
  return child.status ?? 1;
}

function mustRun(command, args) {
  const status = run(command, args);
  if (status !== 0) {
    console.error(`error: ${command} ${args.join(" ")} failed with exit code ${status}`);
    process.exit(1);
  }
}

function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

/** Installs `node_modules` where it is missing or older than the lock file. */
export function ensureInstalled() {
  // npm empties what a link leads to, which belongs to somebody else.
  if (lstatSync(join(root, "node_modules"), { throwIfNoEntry: false })?.isSymbolicLink()) return;
  const marker = join(root, "node_modules", ".package-lock.json");
  const lock = join(root, "package-lock.json");
  if (existsSync(marker) && statSync(marker).mtimeMs >= statSync(lock).mtimeMs) return;
  console.error("installing dependencies (npm ci), once ...");
  mustRun("npm", ["ci", "--no-audit", "--no-fund"]);
}

/** Compiles TypeScript to `dist/` where a source is newer than the last build. */
export function ensureBuilt() {
  const marker = join(root, "dist", ".built");
  const sources = [
    "proxy",
    "crypto-store",
    "cli",
    "playground",
    "bench",
    "tsconfig.json",
    "tsconfig.build.json",
  ];
  const sourceTime = Math.max(...sources.map((name) => newest(join(root, name))));
  if (existsSync(marker) && statSync(marker).mtimeMs >= sourceTime) return;
  console.error("building ...");
  mustRun(process.execPath, [
    join(root, "node_modules/typescript/bin/tsc"),
    "-p",
    "tsconfig.build.json",
  ]);
  mustRun(process.execPath, [
    "-e",
    `require("node:fs").writeFileSync(${JSON.stringify(marker)}, "")`,
  ]);
}
