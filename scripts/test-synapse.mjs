// `npm run test:synapse`: the integration suite and the scenarios against a real Synapse, once with
// limits lifted and once on Synapse's default settings. Installs that Synapse from Debian's packages
// into .synapse/ (root on Linux); with KIRJAVA_TEST_HOMESERVER=URL and KIRJAVA_TEST_SHARED_SECRET it
// takes a running homeserver instead. Arguments go to vitest; `--only synapse` or `--only
// synapse-defaults` runs one of the two. KIRJAVA_TEST_REPORTS=FOLDER keeps vitest's JSON reports.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { SynapseUnavailable, ensureChroot, readReady } from "../tests/support/synapse/chroot.mjs";
import { readCounts } from "../tests/support/synapse/report.mjs";
import { SynapseServer } from "../tests/support/synapse/server.mjs";
import { ensureBuilt, ensureInstalled, root } from "./bootstrap.mjs";

const SUITES = ["tests/integration", "tests/scenarios"];
/** Longer than any good run: a run that hangs must end as a failure, not as the CI's timeout. */
const RUN_DEADLINE_MS = 20 * 60_000;
const SYNAPSE_FOLDER = join(root, ".synapse");

const running = new Set();
let interrupted = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    interrupted = true;
    for (const child of running) endGroup(child);
  });
}

/** Ends the test runner with everything that its tests have started: they share its process group. */
function endGroup(child) {
  const signal = (name) => {
    try {
      process.kill(-child.pid, name);
    } catch {
      // Gone already.
    }
  };
  signal("SIGTERM");
  globalThis.setTimeout(() => signal("SIGKILL"), 3_000);
}

/** Runs the suites with the connection in the environment; returns what the runner counted. */
async function runSuites(name, environment, args, synapse) {
  const kept = process.env.KIRJAVA_TEST_REPORTS ?? "";
  const folder = kept === "" ? mkdtempSync(join(tmpdir(), "kirjava-report-")) : kept;
  const report = join(folder, `${name}.json`);
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const selected = args.length === 0 ? SUITES : args;
  const child = spawn(process.execPath, [vitest, "run", ...selected], {
    cwd: root,
    stdio: ["ignore", 2, 2],
    detached: true,
    env: { ...process.env, ...environment, KIRJAVA_TEST_REPORT: report },
  });
  running.add(child);
  const timer = globalThis.setTimeout(() => {
    console.error(`error: the tests did not end within ${RUN_DEADLINE_MS / 60_000} minutes`);
    endGroup(child);
  }, RUN_DEADLINE_MS);
  let done = false;
  void synapse?.exited.then(() => {
    if (done) return;
    console.error(`error: Synapse ended during the tests:\n${synapse.logTail()}`);
    endGroup(child);
  });
  const code = await new Promise((resolve) => {
    child.once("error", () => resolve(1));
    child.once("exit", (status) => resolve(status ?? 1));
  });
  done = true;
  running.delete(child);
  globalThis.clearTimeout(timer);
  const counts = readCounts(report);
  if (kept === "") rmSync(folder, { recursive: true, force: true });
  return { ...counts, code };
}

/** Starts a Synapse of this variant, runs the suites and always stops it. */
async function runOnSynapse(chroots, variant, args) {
  const synapse = await SynapseServer.start(chroots.synapse, variant);
  try {
    return await runSuites(
      variant,
      {
        KIRJAVA_TEST_HOMESERVER: variant,
        KIRJAVA_TEST_CONNECTION: JSON.stringify(synapse.connection),
        KIRJAVA_TEST_NIO_CHROOT: chroots.nio,
      },
      args,
      synapse,
    );
  } finally {
    await synapse.stop();
  }
}

/** The runs to do: a name and a function that does it. */
async function planRuns(args, only) {
  const wanted = process.env.KIRJAVA_TEST_HOMESERVER ?? "";
  if (/^https?:\/\//.test(wanted)) {
    if ((process.env.KIRJAVA_TEST_SHARED_SECRET ?? "") === "") {
      throw new SynapseUnavailable(
        "KIRJAVA_TEST_HOMESERVER is a URL: KIRJAVA_TEST_SHARED_SECRET is needed to register users",
      );
    }
    const nio = readReady(SYNAPSE_FOLDER)?.nio ?? "";
    return [[wanted, () => runSuites("url", { KIRJAVA_TEST_NIO_CHROOT: nio }, args, null)]];
  }
  const chroots = await ensureChroot(SYNAPSE_FOLDER);
  return [
    ["synapse", "limits lifted"],
    ["synapse-defaults", "default settings"],
  ]
    .filter(([variant]) => only === null || only === variant)
    .map(([variant, title]) => [`Synapse, ${title}`, () => runOnSynapse(chroots, variant, args)]);
}

async function main() {
  ensureInstalled();
  ensureBuilt();
  const args = process.argv.slice(2);
  const at = args.indexOf("--only");
  const only = at === -1 ? null : args.splice(at, 2)[1];
  const runs = await planRuns(args, only);
  if (runs.length === 0)
    throw new SynapseUnavailable(`--only: expected synapse or synapse-defaults, got ${only}`);
  const lines = [];
  let failed = false;
  for (const [name, run] of runs) {
    if (interrupted) break;
    console.error(`running ${(args.length === 0 ? SUITES : args).join(" ")} against ${name} ...`);
    const counts = await run();
    lines.push(
      `${name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`,
    );
    if (counts.code !== 0 || counts.failed > 0) failed = true;
    if (counts.passed + counts.failed === 0) {
      lines.push(`error: no test was executed against ${name}`);
      failed = true;
    }
  }
  for (const line of lines) console.log(line);
  return failed || interrupted ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof SynapseUnavailable)) throw error;
  console.error(`error: no Synapse to test against: ${error.message}`);
  process.exitCode = 1;
}
