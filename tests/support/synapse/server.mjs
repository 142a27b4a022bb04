// Starts one real Synapse as a child process, on loopback, with SQLite in a folder of its own inside
// the chroot, and stops it again.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { SynapseUnavailable, chrootEnvironment, insideChroot } from "./chroot.mjs";
import { APPSERVICES, SERVER_NAME, homeserverConfig, logConfig, registration } from "./config.mjs";

const START_DEADLINE_MS = 90_000;
const STOP_DEADLINE_MS = 20_000;

/** A loopback port that was free a moment ago. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Removes what runs that were killed have left; the process id of its run ends a folder's name. */
function removeAbandoned(parent) {
  for (const name of existsSync(parent) ? readdirSync(parent) : []) {
    try {
      process.kill(Number(name.split("-").at(-1)), 0);
    } catch {
      rmSync(join(parent, name), { recursive: true, force: true });
    }
  }
}

/**
 * One running Synapse. `variant` is `synapse` (limits lifted) or `synapse-defaults` (Synapse's own
 * defaults). Always `stop()` it.
 */
export class SynapseServer {
  #child;
  #exited;
  #folder;
  #running = true;

  constructor(child, folder, connection) {
    this.#child = child;
    this.#folder = folder;
    this.connection = connection;
    this.#exited = new Promise((resolve) => {
      child.once("error", resolve);
      child.once("exit", resolve);
    }).then(() => {
      this.#running = false;
    });
  }

  /** Starts a Synapse and waits until it answers; a port that was taken meanwhile is retried. */
  static async start(chroot, variant) {
    for (let attempt = 1; ; attempt++) {
      const server = await SynapseServer.#spawn(chroot, variant);
      try {
        await server.#answers();
        return server;
      } catch (error) {
        await server.stop();
        if (attempt === 3) throw error;
      }
    }
  }

  static async #spawn(chroot, variant) {
    removeAbandoned(join(chroot, "srv/kirjava"));
    const inside = `/srv/kirjava/${variant}-${randomBytes(4).toString("hex")}-${process.pid}`;
    const folder = join(chroot, inside);
    mkdirSync(join(folder, "claimed"), { recursive: true });
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const sharedSecret = randomBytes(16).toString("hex");
    const appservices = [];
    for (let index = 0; index < APPSERVICES; index++) {
      const appservice = registration(index, await freePort());
      writeFileSync(join(folder, `appservice-${index}.yaml`), JSON.stringify(appservice.yaml));
      appservices.push(appservice.connection);
    }
    writeFileSync(
      join(folder, "homeserver.yaml"),
      JSON.stringify(homeserverConfig({ variant, inside, port, sharedSecret })),
    );
    writeFileSync(join(folder, "log.yaml"), JSON.stringify(logConfig(inside)));
    const key = randomBytes(32).toString("base64").replace(/=+$/, "");
    writeFileSync(join(folder, "signing.key"), `ed25519 a_test ${key}\n`, { mode: 0o600 });
    const [command, ...args] = insideChroot(chroot, [
      "python3",
      "-m",
      "synapse.app.homeserver",
      "-c",
      `${inside}/homeserver.yaml`,
    ]);
    const output = openSync(join(folder, "output.log"), "a");
    const child = spawn(command, args, {
      stdio: ["ignore", output, output],
      env: chrootEnvironment(),
    });
    closeSync(output);
    return new SynapseServer(child, folder, {
      kind: variant,
      url,
      serverName: SERVER_NAME,
      sharedSecret,
      databasePath: join(folder, "homeserver.db"),
      claimFolder: join(folder, "claimed"),
      appservices,
    });
  }

  /** Resolves when Synapse has ended by itself or by `stop()`. */
  get exited() {
    return this.#exited;
  }

  /** What Synapse wrote last, for error messages. */
  logTail() {
    const read = (name) => {
      try {
        return readFileSync(join(this.#folder, name), "utf8");
      } catch {
        return "";
      }
    };
    return (read("output.log") + read("homeserver.log"))
      .trimEnd()
      .split("\n")
      .slice(-20)
      .join("\n");
  }

  async #answers() {
    const deadline = Date.now() + START_DEADLINE_MS;
    for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 1.5, 500)) {
      if (!this.#running) {
        throw new SynapseUnavailable(`Synapse ended while it started:\n${this.logTail()}`);
      }
      try {
        const response = await globalThis.fetch(`${this.connection.url}/_matrix/client/versions`);
        if (response.ok) return;
      } catch {
        // Not listening yet.
      }
      if (Date.now() > deadline) {
        throw new SynapseUnavailable(
          `Synapse did not answer within ${START_DEADLINE_MS / 1000} s:\n${this.logTail()}`,
        );
      }
      await delay(pauseMs);
    }
  }

  /** Ends Synapse (SIGTERM, SIGKILL where that is not enough) and removes its folder. */
  async stop() {
    if (this.#running) {
      this.#child.kill("SIGTERM");
      const killer = delay(STOP_DEADLINE_MS, undefined, { ref: false }).then(() => {
        if (this.#running) this.#child.kill("SIGKILL");
      });
      await Promise.race([this.#exited, killer.then(() => this.#exited)]);
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
