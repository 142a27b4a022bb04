import { availableParallelism } from "node:os";

import type { IniSection } from "./ini.ts";
import { parseIni } from "./ini.ts";
import type { Places } from "./places.ts";
import type { Problem } from "./problems.ts";
import { ConfigError } from "./problems.ts";
import { defaultSection, optionNames, schema } from "./schema.ts";
import { readTrust, sectionNotices } from "./section-notices.ts";
import { readPaths } from "./section-paths.ts";
import { checkKeys, SectionReader } from "./section-reader.ts";
import type { Notice, SectionSettings, Settings } from "./settings.ts";
import { isLoopback, urlOf } from "./values.ts";

/**
 * Turns the text of a configuration file into settings.
 *
 * @param file - its path, for errors
 * @throws ConfigError with every problem of the file
 */
export function readSettings(text: string, file: string, places: Places): Settings {
  const document = parseIni(text, defaultSection);
  const problems: Problem[] = [...document.problems];
  const notices: Notice[] = [];
  const keys = checkKeys(document);
  problems.push(...keys.problems);
  notices.push(...keys.ignored.map((message): Notice => ({ level: "warn", message })));

  const sections: SectionSettings[] = [];
  for (const section of document.sections) {
    const reader = new SectionReader(section, document.defaults, problems);
    const settings = readSection(reader, section, places, problems);
    if (settings !== null) {
      sections.push(settings);
      notices.push(...sectionNotices(reader, settings));
    }
  }
  checkUnusedDefaults(document.defaults, document.sections, problems);
  if (document.sections.length === 0 && document.problems.length === 0) {
    problems.push({
      line: null,
      section: null,
      key: null,
      message: "expected at least one section with a Homeserver, got none",
      hint: "add a section such as [example] with the line Homeserver = https://matrix.example.org",
    });
  }
  checkAddresses(sections, document.sections, problems);

  const globals = new SectionReader(document.defaults, document.defaults, problems);
  const logLevel = globals.get("LogLevel");
  const logFormat = globals.get("LogFormat");
  const debug = globals.get("DebugEncryption");
  const threads = globals.get("Threads");
  if (globals.get("Notifications") === true && globals.has("Notifications")) {
    const message =
      "Notifications: there are no desktop notifications; what needs attention is logged";
    notices.push({ level: "info", message });
  }
  if (debug === true && logLevel !== "debug") {
    notices.push({ level: "info", message: "DebugEncryption: the whole log is at level debug" });
  }
  if (problems.length > 0) throw new ConfigError("CONFIG_INVALID", file, problems);
  return {
    logLevel: debug === true ? "debug" : (logLevel ?? "info"),
    logFormat: logFormat ?? "auto",
    threads: threads ?? Math.min(4, availableParallelism()),
    sections,
    notices,
  };
}

function readSection(
  reader: SectionReader,
  section: IniSection,
  places: Places,
  problems: Problem[],
): SectionSettings | null {
  const before = problems.length;
  checkName(section, problems);
  const homeserver = reader.get("Homeserver");
  if (homeserver === null && !reader.has("Homeserver")) {
    const hint =
      section.name.toLowerCase() === defaultSection.toLowerCase()
        ? `the section that the others inherit from is written [${defaultSection}]`
        : null;
    reader.report("Homeserver", `expected the homeserver's URL, got nothing`, hint);
  }
  const paths = readPaths(reader, places);
  const settings = {
    listenAddress: readListenAddress(reader),
    listenPort: reader.get("ListenPort"),
    verify: reader.get("SSL"),
    freshness: reader.get("Freshness"),
    sendDeadlineMs: reader.get("SendDeadline"),
    lateKeyTimeoutMs: reader.get("LateKeyTimeout"),
    upstreamTimeoutMs: reader.get("UpstreamTimeout"),
    markDecrypted: reader.get("MarkDecrypted"),
    hideEncryption: reader.get("HideEncryption"),
    requireEncryption: reader.get("RequireEncryption"),
  };
  const upstreamProxy = reader.get("Proxy");
  const trust = readTrust(reader);
  // Keys that change nothing are read all the same: a bad value in one is still an error.
  for (const name of optionNames) if (schema[name].scope === "section") reader.find(name);
  const complete = allPresent(settings);
  if (problems.length > before || complete === null || homeserver === null || paths === null) {
    return null;
  }
  const { verify, ...rest } = complete;
  return {
    name: section.name,
    homeserver,
    upstreamProxy,
    trust,
    tls: { verify },
    ...rest,
    ...paths,
  };
}

type Present<T> = { readonly [K in keyof T]: NonNullable<T[K]> };

function allPresent<T extends object>(values: T): Present<T> | null {
  return Object.values(values).includes(null) ? null : (values as Present<T>);
}

// Names become file names and log fields.
function checkName(section: IniSection, problems: Problem[]): void {
  const { name, line } = section;
  if (
    name.length <= 64 &&
    name.trim() === name &&
    !/[\p{C}/\\]/u.test(name) &&
    !/^\.+$/.test(name)
  ) {
    return;
  }
  problems.push({
    line,
    section: name.slice(0, 64),
    key: null,
    message: "expected a section name of 1 to 64 characters without slashes",
  });
}

function readListenAddress(reader: SectionReader): string | null {
  const safe = reader.find("ListenAddress");
  const unsafe = reader.find("UnsafeListenAddress");
  if (safe !== null && safe.origin !== "built-in" && !isLoopback(safe.value)) {
    const hint = `write UnsafeListenAddress = ${safe.value} if that network is private: tokens and decrypted messages cross it in the clear`;
    const message = `expected a loopback address (localhost, 127.0.0.1 or ::1), got ${safe.value}`;
    reader.report("ListenAddress", message, hint);
    return null;
  }
  if (unsafe === null) return safe?.value ?? null;
  if (safe?.origin === unsafe.origin) {
    reader.report(
      "UnsafeListenAddress",
      "expected either ListenAddress or UnsafeListenAddress, got both",
    );
    return null;
  }
  return safe?.origin === "section" ? safe.value : unsafe.value;
}

// A value that every section overrides is never read otherwise, and would be wrong unnoticed.
function checkUnusedDefaults(
  defaults: IniSection,
  sections: readonly IniSection[],
  problems: Problem[],
): void {
  const reader = new SectionReader(defaults, defaults, problems);
  for (const name of optionNames) {
    const key = name.toLowerCase();
    if (!defaults.entries.has(key) || schema[name].scope === "global") continue;
    if (sections.every((section) => section.entries.has(key))) reader.find(name);
  }
}

function checkAddresses(
  sections: readonly SectionSettings[],
  written: readonly IniSection[],
  problems: Problem[],
): void {
  sections.forEach((section, index) => {
    const other = sections
      .slice(0, index)
      .find((earlier) => section.listenPort !== 0 && overlap(earlier, section));
    if (other === undefined) return;
    const at = urlOf(section.listenAddress, section.listenPort);
    const from = written.find(({ name }) => name === section.name);
    problems.push({
      line: from?.entries.get("listenport")?.line ?? from?.line ?? null,
      section: section.name,
      key: "ListenPort",
      message: `expected an address of its own, got ${at}, where [${other.name}] listens`,
      hint: "give each section another ListenPort",
    });
  });
}

function overlap(a: SectionSettings, b: SectionSettings): boolean {
  if (a.listenPort !== b.listenPort) return false;
  const all = ["0.0.0.0", "::"];
  const hosts = [a, b].map((s) => new URL(urlOf(s.listenAddress)).host);
  return hosts[0] === hosts[1] || [a, b].some((s) => all.includes(s.listenAddress));
}
