import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** The Kirjava of the demo: the real daemon in a process of its own, its store in a folder that goes with it. */
export class KirjavaProcess {
  readonly url: string;
  readonly configPath: string;
  readonly #directory: string;
  readonly #child: ChildProcess;

  private constructor(url: string, configPath: string, directory: string, child: ChildProcess) {
    this.url = url;
    this.configPath = configPath;
    this.#directory = directory;
    this.#child = child;
  }

  /** Starts the daemon before a homeserver; resolves when it listens. */
  static async start(homeserver: string): Promise<KirjavaProcess> {
    const directory = mkdtempSync(join(tmpdir(), "kirjava-demo-"));
    const configPath = join(directory, "kirjava.conf");
    writeFileSync(
      configPath,
      [
        "[demo]",
        `Homeserver = ${homeserver}`,
        "ListenAddress = 127.0.0.1",
        "ListenPort = 0",
        `DataDirectory = ${join(directory, "data")}`,
        `StoreKey = file:${join(directory, "keys", "master.key")}`,
        "",
      ].join("\n"),
    );
    const program = fileURLToPath(new URL("../../cli/main.js", import.meta.url));
    const child = spawn(process.execPath, [program, "run", "--config", configPath, "--json"], {
      stdio: ["ignore", "inherit", "pipe"],
      // A Ctrl-C is the demo's to handle: a second signal would cut the daemon's own stop short.
      detached: true,
    });
    try {
      const url = await listening(child);
      return new KirjavaProcess(url, configPath, directory, child);
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Stops the daemon and removes its store. */
  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, "exit");
      this.#child.kill("SIGTERM");
      await exited;
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Reads the daemon's log until it says where it listens; warnings go on to standard error. */
function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`kirjava ended with code ${code ?? "none"}`)));
    if (child.stderr === null) throw new Error("expected a pipe for the daemon's log");
    createInterface({ input: child.stderr }).on("line", (line) => {
      const url = /"url":"(http[^"]+)"/.exec(line)?.[1];
      if (url !== undefined && line.includes('"listening"')) resolve(url);
      if (/"level":"(warn|error|fatal)"|^error|^hint/.test(line)) process.stderr.write(`${line}\n`);
    });
  });
}
