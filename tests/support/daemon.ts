import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { freePort } from "./ports.ts";
import { Waiter } from "./waiter.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PROGRAM = join(ROOT, "dist/cli/main.js");
const START_DEADLINE_MS = 30_000;
const STOP_DEADLINE_MS = 30_000;

/** How to start a daemon. */
export interface DaemonOptions {
  /** Base URL of the homeserver. */
  readonly homeserver: string;
  /** More keys of the section, or others in the place of the generated ones. */
  readonly section?: Readonly<Record<string, string>>;
  /** Keys of `[Default]`. */
  readonly global?: Readonly<Record<string, string>>;
  /** More environment variables. The daemon sees nothing of the test's own but PATH. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Makes the daemon kill itself at a named point (`KIRJAVA_FAILPOINT`). */
  readonly failpoint?: string;
}

/** How a daemon's process ended. */
export interface DaemonExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * The built Kirjava as an operator runs it: a process of its own with a configuration file, a data
 * directory and a free loopback port, which all stay the same over restarts.
 */
export class Daemon {
  /** Base URL that clients use. */
  readonly url: string;
  /** Holds the configuration, the key and the data directory; removed by `dispose`. */
  readonly directory: string;
  readonly configPath: string;
  /** Each line of the log, of all runs. */
  readonly lines = new Waiter<string>((line) => line);
  readonly #options: DaemonOptions;
  readonly #port: number;
  #child: ChildProcess | null = null;
  #exit: Promise<DaemonExit> = Promise.resolve({ code: null, signal: null });

  private constructor(options: DaemonOptions, port: number) {
    this.#options = options;
    this.#port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.directory = mkdtempSync(join(tmpdir(), "kirjava-daemon-"));
    this.configPath = join(this.directory, "kirjava.conf");
    mkdirSync(this.dataDirectory, { mode: 0o700 });
    writeFileSync(this.configPath, this.#configuration());
  }

  /** Writes a configuration, starts a daemon on it and waits until it listens. */
  static async start(options: DaemonOptions): Promise<Daemon> {
    if (!existsSync(PROGRAM)) {
      throw new Error(`${PROGRAM} is missing: run npm run build, or the tests by npm test`);
    }
    const daemon = new Daemon(options, await freePort());
    try {
      await daemon.launch(options.failpoint);
    } catch (error) {
      await daemon.dispose();
      throw error;
    }
    return daemon;
  }

  get dataDirectory(): string {
    return join(this.directory, "data");
  }

  /** The master key's file. */
  get keyPath(): string {
    return join(this.directory, "keys", "master.key");
  }

  /** Everything it wrote so far. */
  get log(): string {
    return this.lines.seen.join("\n");
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when the present process has ended, by itself or not. */
  get exited(): Promise<DaemonExit> {
    return this.#exit;
  }

  /** Starts the process (again) and waits until it listens. `failpoint` is for this run only. */
  async launch(failpoint?: string): Promise<void> {
    if (this.#child !== null) throw new Error("expected the daemon to be stopped, it is running");
    const child = spawn(process.execPath, [PROGRAM, "run", "--config", this.configPath], {
      cwd: this.directory,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: process.env["PATH"] ?? "",
        // Neither the configuration nor the stores of whoever runs the tests.
        HOME: this.directory,
        ...this.#options.environment,
        ...(failpoint === undefined ? {} : { KIRJAVA_FAILPOINT: failpoint }),
      },
    });
    this.#child = child;
    this.#capture(child);
    this.#exit = new Promise((resolve) => {
      child.once("error", () => {
        resolve({ code: null, signal: null });
      });
      // "close", not "exit": by then the whole log has been read.
      child.once("close", (code, signal) => {
        resolve({ code, signal });
      });
    });
    void this.#exit.then(() => {
      if (this.#child === child) this.#child = null;
    });
    await this.#listens(child);
  }

  /** Ends it in order (SIGTERM). Fails where it does not end in time, or not with exit code 0. */
  async stop(): Promise<void> {
    const exit = await this.#end("SIGTERM");
    if (exit !== null && exit.code !== 0) {
      throw new Error(
        `expected the daemon to end with code 0, got ${exit.code ?? exit.signal ?? "?"}:\n${this.#tail()}`,
      );
    }
  }

  /** Ends it at once (SIGKILL), as a crash or a power cut would. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Stops it in order and starts it again on the same data. */
  async restart(): Promise<void> {
    await this.stop();
    await this.launch();
  }

  /** Kills it and starts it again on the same data. */
  async crash(): Promise<void> {
    await this.kill();
    await this.launch();
  }

  /** Sends a signal to the running process. */
  signal(signal: NodeJS.Signals): void {
    if (this.#child === null) throw new Error("expected the daemon to be running");
    this.#child.kill(signal);
  }

  /** Waits for a log line, past or future. */
  waitForLog(pattern: RegExp, timeoutMs?: number): Promise<string> {
    return this.lines.find(
      `a log line ${String(pattern)}`,
      (line) => pattern.test(line),
      timeoutMs,
    );
  }

  /** Ends it, whatever its state, and removes its files. For `afterEach` and `afterAll`. */
  async dispose(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  #configuration(): string {
    const section = {
      Homeserver: this.#options.homeserver,
      ListenAddress: "127.0.0.1",
      ListenPort: String(this.#port),
      DataDirectory: this.dataDirectory,
      StoreKey: `file:${this.keyPath}`,
      ...this.#options.section,
    };
    const write = (name: string, keys: Readonly<Record<string, string>>): string =>
      [`[${name}]`, ...Object.entries(keys).map(([key, value]) => `${key} = ${value}`), ""].join(
        "\n",
      );
    const global = { LogFormat: "json", ...this.#options.global };
    return [write("Default", global), write("test", section)].join("\n");
  }

  #capture(child: ChildProcess): void {
    for (const stream of [child.stdout, child.stderr]) {
      let rest = "";
      stream?.setEncoding("utf8");
      stream?.on("data", (text: string) => {
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) this.lines.push(line);
      });
      stream?.on("end", () => {
        if (rest !== "") this.lines.push(rest);
      });
    }
  }

  async #listens(child: ChildProcess): Promise<void> {
    const deadline = Date.now() + START_DEADLINE_MS;
    for (let pauseMs = 20; ; pauseMs = Math.min(pauseMs * 1.5, 250)) {
      if (this.#child !== child) {
        throw new Error(`the daemon ended while it started:\n${this.#tail()}`);
      }
      if (await accepts(this.#port)) return;
      if (Date.now() > deadline) {
        throw new Error(
          `the daemon does not listen after ${START_DEADLINE_MS / 1000} s:\n${this.#tail()}`,
        );
      }
      await delay(pauseMs);
    }
  }

  async #end(signal: NodeJS.Signals): Promise<DaemonExit | null> {
    const child = this.#child;
    if (child === null) return null;
    child.kill(signal);
    const late = new AbortController();
    const timer = setTimeout(() => {
      late.abort();
      child.kill("SIGKILL");
    }, STOP_DEADLINE_MS);
    const exit = await this.#exit;
    clearTimeout(timer);
    if (late.signal.aborted) {
      throw new Error(
        `the daemon did not end within ${STOP_DEADLINE_MS / 1000} s of ${signal}:\n${this.#tail()}`,
      );
    }
    return exit;
  }

  #tail(): string {
    return this.lines.seen.slice(-30).join("\n");
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    const finish = (accepted: boolean): void => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once("connect", () => {
      finish(true);
    });
    socket.once("error", () => {
      finish(false);
    });
  });
}
