/**
 * How fast a proxy is, in front of a stub homeserver that is faster: pass-through, encrypted sends, a backlog sync, processor time
 * and memory. Every round goes through every way (the stub directly, each proxy) before the next one begins, so that what else
 * the machine does falls on all of them alike; medians are printed. Run with `--help` for the options.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { startDaemon } from "./daemon.ts";
import type { Job, JobResult } from "./load/job.ts";
import { type BenchOptions, readOptions, USAGE } from "./options.ts";
import { memoryOf, usageOf } from "./process-usage.ts";
import { type Sample, table } from "./report.ts";
import { ROOMS, type Row, rowsOf } from "./workload.ts";

/** One way to the stub. */
interface Way {
  readonly name: string;
  readonly url: string;
  readonly pid: number | null;
  /** Tokens of a device that sends and of one that reads. */
  readonly sender: string;
  readonly reader: string;
  /** Where the reader's sync stands; the stub counts up by one with each backlog. */
  position: number;
}

/** How long the whole run may take. */
const LIMIT_MS = 30 * 60_000;
const closing: (() => Promise<void> | void)[] = [];

function start(file: string, args: readonly string[]): ChildProcess {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args);
  closing.push(() => child.disconnect());
  return child;
}

async function ask<T>(child: ChildProcess, message: object): Promise<T> {
  child.send(message);
  const [answer] = (await once(child, "message")) as [T];
  return answer;
}

async function login(url: string, user: string): Promise<string> {
  const response = await fetch(`${url}/_matrix/client/v3/login`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      type: "m.login.password",
      identifier: { type: "m.id.user", user },
      password: "bench",
    }),
  });
  const { access_token: token } = (await response.json()) as { access_token?: string };
  if (token === undefined) throw new Error(`no login through ${url}: status ${response.status}`);
  // The proxy learns here which rooms there are, and takes the feed up.
  const headers = { authorization: `Bearer ${token}` };
  const sync = await fetch(`${url}/_matrix/client/v3/sync?timeout=0`, { headers });
  if (sync.status !== 200) throw new Error(`no sync through ${url}: status ${sync.status}`);
  await sync.arrayBuffer();
  return token;
}

async function enter(name: string, url: string, pid: number | null): Promise<Way> {
  const sender = await login(url, "sender");
  const reader = await login(url, "reader");
  return { name, url, pid, sender, reader, position: 1 };
}

async function waysOf(options: BenchOptions, homeserver: string): Promise<Way[]> {
  const ways = [await enter("direct", homeserver, null)];
  for (const { name, url, pid } of options.proxies) ways.push(await enter(name, url, pid));
  if (options.proxies.length > 0) return ways;
  for (const freshness of options.freshness) {
    for (const [index, program] of options.programs.entries()) {
      const { nodeArguments } = options;
      const daemon = await startDaemon({ program, homeserver, freshness, nodeArguments });
      closing.unshift(() => daemon.stop());
      const name = options.programs.length > 1 ? `${freshness} ${index + 1}` : freshness;
      ways.push(await enter(name, daemon.url, daemon.pid));
    }
  }
  return ways;
}

async function measure(
  row: Row,
  way: Way,
  options: BenchOptions,
  children: { readonly stub: ChildProcess; readonly generator: ChildProcess },
): Promise<Sample> {
  const token = row.kind === "sync" ? way.reader : way.sender;
  const isDirect = way.name === "direct";
  if (row.kind === "sync" && !isDirect) {
    const { events, eventsPerSession: perSession } = options;
    await ask(children.stub, { token, events, perSession });
    way.position += 1;
  }
  const before = way.pid === null ? null : usageOf(way.pid);
  const job: Job = { ...row.job(token, `s${way.position - 1}`), url: way.url };
  const answer = await ask<{ result: JobResult } | { error: string }>(children.generator, job);
  const after = way.pid === null ? null : usageOf(way.pid);
  if ("error" in answer) throw new Error(`${row.name}, ${way.name}: ${answer.error}`);
  const { result } = answer;
  if (row.kind === "sync" && !isDirect && result.found !== row.operations) {
    throw new Error(
      `${way.name}: expected ${row.operations} decrypted events, got ${result.found}`,
    );
  }
  const spentMs = before === null || after === null ? null : after.totalMs - before.totalMs;
  const mainMs = before === null || after === null ? 0 : after.mainMs - before.mainMs;
  return {
    perSecond: (row.operations * 1000) / result.elapsedMs,
    p50Ms: result.p50Ms,
    cpuMs: spentMs === null ? null : spentMs / row.operations,
    mainShare: spentMs === null ? null : mainMs / spentMs,
  };
}

async function run(options: BenchOptions): Promise<void> {
  const stub = start("./stub/main.js", [
    String(options.stubPort),
    String(options.recipients),
    ...ROOMS,
  ]);
  const [{ port }] = (await once(stub, "message")) as [{ port: number }];
  const homeserver = `http://127.0.0.1:${port}`;
  console.error(`stub homeserver on ${homeserver}`);
  const generator = start("./load/generator.js", []);
  const ways = await waysOf(options, homeserver);
  const rows = rowsOf(options);
  const samples = new Map<string, Sample[]>();
  // Round 0 warms everything up and is not counted.
  for (let round = 0; round <= options.rounds; round += 1) {
    for (const row of rows) {
      for (const way of ways) {
        const sample = await measure(row, way, options, { stub, generator });
        const key = `${row.name}\n${way.name}`;
        if (!samples.has(key)) samples.set(key, []);
        if (round > 0) samples.get(key)?.push(sample);
      }
    }
    console.error(`round ${round} of ${options.rounds}${round === 0 ? " (warming up)" : ""}`);
  }
  console.log(table(rows, samples));
  for (const { name, pid } of ways) {
    if (pid === null) continue;
    const { nowMb, peakMb } = memoryOf(pid);
    console.log(
      `memory of ${name}: ${nowMb.toFixed(0)} MB resident, ${peakMb.toFixed(0)} MB at its highest (pantalaimon: 71 MB)`,
    );
  }
}

const options = readOptions(process.argv.slice(2));
if (options === "help") {
  console.log(USAGE);
} else {
  const limit = setTimeout(() => {
    console.error("error: not done in 30 minutes");
    process.exit(1);
  }, LIMIT_MS);
  try {
    await run(options);
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    clearTimeout(limit);
    for (const close of closing) await close();
  }
}
