import type { SectionReader } from "./section-reader.ts";
import type { Notice, SectionSettings, Trust } from "./settings.ts";
import { isLoopback } from "./values.ts";

/** The trust policy of a section, from `Trust` or pantalaimon's `IgnoreVerification`. */
export function readTrust(reader: SectionReader): Trust {
  const trust = reader.find("Trust");
  const ignore = reader.find("IgnoreVerification");
  const implied = ignore?.value === false ? "verified" : "all";
  if (trust === null) return implied;
  if (ignore === null) return trust.value;
  const contradicts = ignore.value ? trust.value !== "all" : trust.value === "all";
  // What a section says itself overrides what it inherits; anything else would be a guess.
  if (contradicts && !(trust.origin === "section" && ignore.origin === "default")) {
    const written = ignore.value ? "True" : "False";
    reader.report(
      "Trust",
      `expected the same as IgnoreVerification = ${written} says (${implied}), got ${trust.value}`,
      "keep Trust and remove IgnoreVerification",
    );
  }
  return trust.value;
}

/** What the operator is told at start about one valid section. */
export function sectionNotices(reader: SectionReader, section: SectionSettings): Notice[] {
  const notices: Notice[] = [];
  const at = `[${section.name}]`;
  const warn = (message: string) => notices.push({ level: "warn", message: `${at} ${message}` });
  const info = (message: string) => notices.push({ level: "info", message: `${at} ${message}` });

  if (section.trust === "all" && reader.find("Trust") === null) {
    info(
      reader.has("IgnoreVerification")
        ? "IgnoreVerification = True: room keys go to all devices, verified or not"
        : "neither Trust nor IgnoreVerification is set: room keys go to all devices, verified or not",
    );
  }
  if (!section.tls.verify) {
    warn("SSL = False: the homeserver's TLS certificate is not verified");
  }
  if (section.homeserver.protocol === "http:" && !isLoopbackHost(section.homeserver.hostname)) {
    warn("Homeserver: plain http to another machine, access tokens cross the network in the clear");
  }
  if (!isLoopback(section.listenAddress)) {
    warn(
      `UnsafeListenAddress: listens on ${section.listenAddress}, tokens and decrypted messages cross that network in the clear`,
    );
  }
  if (reader.get("DropOldKeys") === true) {
    warn("DropOldKeys = Yes has no effect yet: old room keys are kept");
  }
  if (reader.get("SearchRequests") === true) {
    warn(
      "SearchRequests = On has no effect: there is no search index, encrypted messages are not found",
    );
  }
  for (const name of ["IndexEncryptedOnly", "IndexingBatchSize", "HistoryFetchDelay"] as const) {
    if (reader.has(name)) info(`${name} has no effect: there is no search index`);
  }
  return notices;
}

function isLoopbackHost(hostname: string): boolean {
  if (hostname === "localhost" || hostname.endsWith(".localhost")) return true;
  return hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}
