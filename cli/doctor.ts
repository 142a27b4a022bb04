import { statSync } from "node:fs";

import { loadSettings } from "../proxy/config/load.ts";
import type { Finding } from "../proxy/observe/finding.ts";
import { findingsOf } from "../proxy/observe/finding.ts";
import { probeFiles } from "../proxy/observe/probe-files.ts";
import { probeHomeserver } from "../proxy/observe/probe-homeserver.ts";
import { probePort } from "../proxy/observe/probe-port.ts";
import type { Output } from "./output.ts";
import { failuresOf, printFailures, printJson } from "./output.ts";

/** A finding and the section that it is about, null for all. */
interface Located extends Finding {
  readonly section: string | null;
}

/** Checks what the daemon needs, section by section, and changes nothing. Returns 1 where something fails. */
export async function doctor(
  o: { readonly configPath: string | undefined; readonly json: boolean },
  output: Output,
): Promise<number> {
  const findings: Located[] = [{ section: null, ...probeNode(process.versions.node) }];
  const report = (section: string | null, found: readonly Finding[]) => {
    for (const finding of found) findings.push({ section, ...finding });
  };
  try {
    const { settings, configPath } = loadSettings({ configPath: o.configPath, env: output.env });
    const isSecret = settings.sections.some(({ upstreamProxy }) => upstreamProxy?.password);
    report(null, [probeConfig(configPath, isSecret)]);
    const results = await Promise.all(
      settings.sections.map(async (section) => [
        ...(await probeHomeserver(section)),
        ...(await probeFiles(section, output.env)),
        await probePort(section),
      ]),
    );
    settings.sections.forEach(({ name }, index) => report(name, results[index] ?? []));
  } catch (error) {
    const failures = failuresOf(error);
    if (o.json) printJson(output, { ok: false, findings, errors: failures });
    else printFailures(output, failures);
    return 1;
  }
  const failed = findings.some(({ status }) => status === "fail");
  if (o.json) printJson(output, { ok: !failed, findings });
  else for (const finding of findings) output.out(describe(finding));
  return failed ? 1 : 0;
}

function describe({ section, status, check, message, hint }: Located): string {
  const place = section === null ? check : `[${section}] ${check}`;
  const line = `${status.padEnd(4)}  ${place}: ${message}\n`;
  return hint === null ? line : `${line}      hint: ${hint}\n`;
}

/** Whether a version of Node is one that the daemon runs on. */
export function probeNode(version: string): Finding {
  const { ok, fail } = findingsOf("node");
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return ok(version);
  return fail(`expected Node 20.19 or later, got ${version}`, "install a later Node");
}

function probeConfig(path: string, isSecret: boolean): Finding {
  const { ok, warn } = findingsOf("configuration");
  const { mode } = statSync(path);
  if ((mode & 0o022) !== 0) return warn(`others can change ${path}`, `chmod go-w ${path}`);
  if (isSecret && (mode & 0o044) !== 0) {
    return warn(`others can read the proxy's password in ${path}`, `chmod go= ${path}`);
  }
  return ok(path);
}
