// Builds (once) and enters a small Debian with a real Synapse in it, and with nio and libolm for a
// peer of another make. Kept under `.synapse/` in the project's root; delete that folder to renew it.
import { spawn } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import {
  chrootAptConfiguration,
  debianMirrors,
  keyringArguments,
  proxyEnvironment,
} from "./apt.mjs";

/** Raised whenever what is installed changes: an older chroot is then built anew. */
const RECIPE = 1;
const HOST_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";
const CHROOT_CERTIFICATES = "/etc/ssl/kirjava-apt-ca.crt";
const BASE_ENVIRONMENT = {
  PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  LC_ALL: "C.UTF-8",
  DEBIAN_FRONTEND: "noninteractive",
};
const PRESEED = [
  "matrix-synapse matrix-synapse/server-name string localhost",
  "matrix-synapse matrix-synapse/report-stats boolean false",
].join("\\n");
const SYNAPSE = { packages: "matrix-synapse", check: "import synapse.app.homeserver" };
const NIO = { packages: "python3-matrix-nio python3-olm", check: "import nio, olm" };

/** Synapse could not be had on this machine; the message says what to do. */
export class SynapseUnavailable extends Error {
  name = "SynapseUnavailable";
}

/**
 * The command line that runs `command` inside a chroot. The new mount namespace makes its /proc
 * vanish with its last process, however that ends; the death signal ends it with this process.
 */
export function insideChroot(chroot, command) {
  const script = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"';
  return [
    "unshare",
    "--mount",
    "setpriv",
    "--pdeathsig",
    "KILL",
    "sh",
    "-c",
    script,
    chroot,
    ...command,
  ];
}

/** Environment for processes in the chroot: nothing of the caller's own. */
export function chrootEnvironment() {
  return { ...BASE_ENVIRONMENT };
}

/**
 * Makes sure that the chroots exist and returns `{ synapse, nio }`, the folders of each (mostly the
 * same one). Throws `SynapseUnavailable`.
 */
export async function ensureChroot(folder) {
  const ready = readReady(folder);
  if (ready !== null) return ready;
  if (process.platform !== "linux" || process.getuid?.() !== 0) {
    throw new SynapseUnavailable(
      "installing a Synapse needs root on Linux; run as root, or give a running homeserver by " +
        "KIRJAVA_TEST_HOMESERVER=URL and KIRJAVA_TEST_SHARED_SECRET",
    );
  }
  mkdirSync(folder, { recursive: true });
  removeLeftovers(folder);
  console.error("installing Synapse from Debian into .synapse/, once (about a minute) ...");
  const builder = new Builder(folder);
  await builder.prepareHost();
  const synapse = join(folder, "sid");
  await builder.build("sid", synapse, [SYNAPSE]);
  let nio = "sid";
  try {
    await builder.install(synapse, NIO);
  } catch {
    // sid moves: libolm is unmaintained and may leave it, an older release keeps it.
    nio = "bookworm";
    await builder.build(nio, join(folder, nio), [NIO]);
  }
  writeFileSync(
    join(folder, "ready.json"),
    JSON.stringify({ recipe: RECIPE, synapse: "sid", nio }),
  );
  return { synapse, nio: join(folder, nio) };
}

/** What is already installed, or null. Never installs. */
export function readReady(folder) {
  const path = join(folder, "ready.json");
  if (!existsSync(path)) return null;
  const { recipe, ...names } = JSON.parse(readFileSync(path, "utf8"));
  // An older recipe kept other fields.
  if (recipe !== RECIPE) return null;
  const synapse = join(folder, names.synapse);
  const nio = join(folder, names.nio);
  return existsSync(synapse) && existsSync(nio) ? { synapse, nio } : null;
}

/** A build that was cut short left no process of its own: its mounts went with its namespace. */
function removeLeftovers(folder) {
  for (const name of readdirSync(folder))
    rmSync(join(folder, name), { recursive: true, force: true });
}

class Builder {
  #log;
  #mirrors = [];

  constructor(folder) {
    this.#log = join(folder, "install.log");
  }

  /** Brings the package lists up to date and installs debootstrap where it is missing. */
  async prepareHost() {
    // A broken third-party source makes this fail although Debian's own lists came through.
    await this.#run(["apt-get", "update"], { attempts: 2 }).catch(() => undefined);
    if (!existsSync("/usr/sbin/debootstrap")) {
      await this.#run(["apt-get", "install", "-y", "--no-install-recommends", "debootstrap"], {
        attempts: 3,
      });
    }
    this.#mirrors = debianMirrors();
    if (this.#mirrors.length === 0) {
      throw new SynapseUnavailable(
        "this machine's apt sources name no Debian mirror; name one by KIRJAVA_TEST_MIRROR=URL",
      );
    }
  }

  /** Bootstraps `suite` into `target` from the first mirror that works, with the packages in it. */
  async build(suite, target, parts) {
    const unfinished = `${target}.unfinished`;
    let failure;
    for (const mirror of [...this.#mirrors, ...this.#mirrors]) {
      rmSync(unfinished, { recursive: true, force: true });
      try {
        const options = ["--variant=minbase", ...keyringArguments(mirror)];
        await this.#run(
          ["unshare", "--mount", "debootstrap", ...options, suite, unfinished, mirror.url],
          {
            attempts: 1,
          },
        );
        this.#configure(unfinished, suite, mirror);
        await this.#inside(unfinished, ["apt-get", "update"], 3);
        for (const part of parts) await this.install(unfinished, part);
        renameSync(unfinished, target);
        return;
      } catch (error) {
        failure = error;
        await delay(2_000);
      }
    }
    throw failure;
  }

  /** Installs packages into a chroot and checks that what they are for can be loaded. */
  async install(chroot, part) {
    const script =
      `printf '${PRESEED}\\n' | debconf-set-selections && ` +
      `apt-get install -y --no-install-recommends ${part.packages} && ` +
      `apt-get clean && python3 -c '${part.check}'`;
    await this.#inside(chroot, ["sh", "-c", script], 3);
  }

  #configure(chroot, suite, mirror) {
    const write = (path, text, mode = 0o644) => writeFileSync(join(chroot, path), text, { mode });
    // 101: "not allowed"; without it installing a server starts it.
    write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755);
    write("etc/dpkg/dpkg.cfg.d/kirjava", "force-unsafe-io\npath-exclude=/usr/share/doc/*\n");
    const options = mirror.trusted ? "[trusted=yes] " : "";
    write("etc/apt/sources.list", `deb ${options}${mirror.url} ${suite} main\n`);
    const ownCertificates = mirror.url.startsWith("https:") && existsSync(HOST_CERTIFICATES);
    if (ownCertificates) copyFileSync(HOST_CERTIFICATES, join(chroot, CHROOT_CERTIFICATES));
    write(
      "etc/apt/apt.conf.d/99kirjava",
      chrootAptConfiguration(ownCertificates ? CHROOT_CERTIFICATES : null),
    );
  }

  #inside(chroot, command, attempts) {
    return this.#run(insideChroot(chroot, command), { attempts });
  }

  /** Runs a command with its output in the log; retries, because mirrors fail now and then. */
  async #run([command, ...args], { attempts }) {
    for (let attempt = 1; ; attempt++) {
      const log = openSync(this.#log, "a");
      const code = await new Promise((resolve) => {
        const env = { ...process.env, ...BASE_ENVIRONMENT, ...proxyEnvironment() };
        const child = spawn(command, args, { stdio: ["ignore", log, log], env });
        child.once("error", () => resolve(127));
        child.once("exit", (status) => resolve(status ?? 1));
      });
      closeSync(log);
      if (code === 0) return;
      if (attempt < attempts) {
        await delay(5_000 * attempt);
        continue;
      }
      const tail = readFileSync(this.#log, "utf8").trimEnd().split("\n").slice(-15).join("\n");
      throw new SynapseUnavailable(
        `${command} ${args.join(" ")} failed with exit code ${code}; the end of ${this.#log}:\n${tail}`,
      );
    }
  }
}
