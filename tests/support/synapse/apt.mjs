// What this machine's own apt knows about Debian: which mirror it uses, how it reaches it and whether
// it checks signatures there. The chroot is built from the same source, so that a machine with a
// mirror of its own needs no setting.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

function output(command, args) {
  const child = spawnSync(command, args, { encoding: "utf8" });
  return child.status === 0 ? child.stdout : "";
}

/**
 * Debian mirrors named by the apt sources, each once. `KIRJAVA_TEST_MIRROR` comes first where it is
 * set. Needs an `apt-get update` before: without release files apt does not know a mirror's origin.
 */
export function debianMirrors() {
  const mirrors = new Map();
  const wanted = process.env.KIRJAVA_TEST_MIRROR;
  if (wanted !== undefined && wanted !== "") mirrors.set(wanted, { url: wanted, trusted: false });
  const format = "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)|$(SOURCESENTRY)";
  const lines = output("apt-get", ["indextargets", "--format", format, "Created-By: Packages"]);
  for (const line of lines.split("\n")) {
    const [origin, label, component, url, entry] = line.split("|");
    // The security archive has the same origin but holds no suite of its own to bootstrap from.
    if (origin !== "Debian" || label !== "Debian" || component !== "main") continue;
    if (!mirrors.has(url)) mirrors.set(url, { url, trusted: isTrusted(entry) });
  }
  return [...mirrors.values()];
}

/** True where the sources file says that signatures of its archives are not to be checked. */
function isTrusted(sourcesEntry) {
  const file = sourcesEntry.replace(/:\d+$/, "");
  return existsSync(file) && /trusted\s*[=:]\s*yes/i.test(readFileSync(file, "utf8"));
}

/** How debootstrap has to check signatures: with Debian's keyring, or not at all. */
export function keyringArguments(mirror) {
  if (mirror.trusted) return ["--no-check-gpg"];
  if (existsSync(KEYRING)) return [`--keyring=${KEYRING}`];
  throw new Error(`${KEYRING} is missing; install the package debian-archive-keyring`);
}

/**
 * Apt settings for the chroot: the host's own proxies, retries, and no check of a snapshot's age.
 * `certificateFile` is a CA bundle inside the chroot (or null): a minimal Debian has none of its own.
 */
export function chrootAptConfiguration(certificateFile) {
  const own = output("apt-config", ["dump", "--format", '%f "%v";%n', "Acquire"])
    .split("\n")
    .filter((line) => /^Acquire::https?::(Proxy|Timeout|[^:]*::Proxy)\b.* ".+";$/i.test(line));
  return [
    ...own,
    'Acquire::Check-Valid-Until "false";',
    'Acquire::Retries "3";',
    'Acquire::Languages "none";',
    ...(certificateFile === null ? [] : [`Acquire::https::CAInfo "${certificateFile}";`]),
    "",
  ].join("\n");
}

/** The proxy that apt uses, for debootstrap's downloads; what the environment says comes first. */
export function proxyEnvironment() {
  const proxy = /^Acquire::http::Proxy "(.+)";$/m.exec(
    output("apt-config", ["dump", "--format", '%f "%v";%n', "Acquire::http::Proxy"]),
  )?.[1];
  return proxy === undefined || proxy === "DIRECT" ? {} : { http_proxy: proxy };
}
