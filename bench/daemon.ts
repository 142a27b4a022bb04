import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 10_000;

/** A built daemon that the benchmark started for itself, on a data directory of its own. */
export interface BenchDaemon {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** How to start it. */
export interface BenchDaemonOptions {
  /** The compiled command line program. */
  readonly program: string;
  readonly homeserver: string;
  readonly freshness: "barrier" | "stream";
  /** More arguments for node, such as `--cpu-prof`. */
  readonly nodeArguments: readonly string[];
}

/** Starts a daemon and waits until it listens. TMPDIR chooses the disk. */
export async function startDaemon(options: BenchDaemonOptions): Promise<BenchDaemon> {
  const directory = mkdtempSync(join(tmpdir(), "kirjava-bench-"));
  const port = await freePort();
  const config = join(directory, "kirjava.conf");
  mkdirSync(join(directory, "data"), { mode: 0o700 });
  writeFileSync(
    config,
    [
      "[Default]",
      "LogLevel = warning",
      "LogFormat = json",
      "[bench]",
      `Homeserver = ${options.homeserver}`,
      "ListenAddress = 127.0.0.1",
      `ListenPort = ${port}`,
      `DataDirectory = ${join(directory, "data")}`,
      `StoreKey = file:${join(directory, "keys", "master.key")}`,
      `Freshness = ${options.freshness}`,
      "",
    ].join("\n"),
  );
  const command = [...options.nodeArguments, options.program, "run", "--config", config];
  const child = spawn(process.execPath, command, {
    stdio: ["ignore", "inherit", "inherit"],
    env: { PATH: process.env["PATH"] ?? "", HOME: directory },
  });
  const ended = once(child, "exit");
  const stop = async (): Promise<void> => {
    if (child.exitCode === null) child.kill("SIGTERM");
    const late = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT_MS);
    await ended;
    clearTimeout(late);
    rmSync(directory, { recursive: true, force: true });
  };
  const limit = Date.now() + START_LIMIT_MS;
  while (!(await accepts(port))) {
    if (child.exitCode !== null || Date.now() > limit) {
      await stop();
      throw new Error(`${options.program} does not listen: run npm run build first`);
    }
    await delay(50);
  }
  return { url: `http://127.0.0.1:${port}`, pid: child.pid ?? 0, stop };
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("expected a TCP address");
  return address.port;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
