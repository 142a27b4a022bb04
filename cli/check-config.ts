import { loadSettings } from "../proxy/config/load.ts";
import type { SectionSettings } from "../proxy/config/settings.ts";
import { describeSource } from "../proxy/config/store-key.ts";
import { formatDuration, urlOf } from "../proxy/config/values.ts";
import type { Output } from "./output.ts";
import { failuresOf, printFailures, printJson } from "./output.ts";

/** Reads the configuration and shows what it comes to, or every mistake in it. Returns the exit code. */
export function checkConfig(
  o: { readonly configPath: string | undefined; readonly json: boolean },
  output: Output,
): number {
  try {
    const { settings, configPath } = loadSettings({ configPath: o.configPath, env: output.env });
    const { notices, sections, ...globals } = settings;
    if (o.json) {
      const shown = sections.map(describeSection);
      printJson(output, { ok: true, file: configPath, ...globals, sections: shown, notices });
      return 0;
    }
    output.out(`${configPath}: ok\n`);
    for (const section of sections) {
      output.out(`\n[${section.name}]\n`);
      for (const [name, value] of Object.entries(describeSection(section))) {
        if (name === "name") continue;
        output.out(
          `  ${name}: ${Array.isArray(value) ? value.join(" ") || "none" : String(value)}\n`,
        );
      }
    }
    if (notices.length > 0) output.out("\n");
    for (const { message } of notices) output.out(`note: ${message}\n`);
    return 0;
  } catch (error) {
    const failures = failuresOf(error);
    if (o.json) printJson(output, { ok: false, errors: failures });
    else printFailures(output, failures);
    return 1;
  }
}

/** A section for people and programs; the proxy's credentials stay out. */
function describeSection(section: SectionSettings): Record<string, unknown> {
  return {
    name: section.name,
    homeserver: section.homeserver.href,
    listen: urlOf(section.listenAddress, section.listenPort),
    proxy: section.upstreamProxy?.origin ?? "none",
    verifyTls: section.tls.verify,
    trust: section.trust,
    requireEncryption: section.requireEncryption,
    freshness: section.freshness,
    sendDeadline: formatDuration(section.sendDeadlineMs),
    lateKeyTimeout: formatDuration(section.lateKeyTimeoutMs),
    upstreamTimeout: formatDuration(section.upstreamTimeoutMs),
    markDecrypted: section.markDecrypted,
    hideEncryption: section.hideEncryption,
    dataDirectory: section.dataDirectory,
    storeKey: describeSource(section.storeKey),
    generationFile: section.storeKey.generationPath,
  };
}
