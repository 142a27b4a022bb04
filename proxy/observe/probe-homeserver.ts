import type { SectionSettings } from "../config/settings.ts";
import type { UpstreamResponse } from "../homeserver/homeserver.ts";
import { Homeserver } from "../homeserver/homeserver.ts";
import type { Finding } from "./finding.ts";
import { findingsOf } from "./finding.ts";

const timeoutMs = 10_000;
const maxBytes = 1024 * 1024;

/** Asks a section's homeserver, in the way the daemon will, what it is and how one logs in. */
export async function probeHomeserver(
  section: Pick<SectionSettings, "homeserver" | "tls" | "upstreamProxy">,
): Promise<Finding[]> {
  const homeserver = new Homeserver({
    url: section.homeserver,
    tls: section.tls,
    upstreamProxy: section.upstreamProxy,
    timeoutMs,
  });
  try {
    const versions = await probeVersions(homeserver, section);
    if (versions.some(({ status }) => status === "fail")) return versions;
    return [...versions, await probeImplementation(homeserver), await probeLogin(homeserver)];
  } finally {
    await homeserver.close();
  }
}

async function probeVersions(
  homeserver: Homeserver,
  section: Pick<SectionSettings, "homeserver" | "tls">,
): Promise<Finding[]> {
  const { ok, warn, fail } = findingsOf("homeserver");
  const url = section.homeserver.href;
  let answer: UpstreamResponse;
  try {
    answer = await get(homeserver, "/_matrix/client/versions");
  } catch (error) {
    return [unreachable(url, error)];
  }
  const { statusCode } = answer;
  if (statusCode >= 300 && statusCode < 400) {
    const location = String(answer.headers["location"] ?? "nowhere").slice(0, 200);
    const hint = "redirects are not followed: set Homeserver to the base URL itself";
    return [fail(`${url} redirects to ${location}`, hint)];
  }
  const versions = read(answer, "versions");
  if (statusCode !== 200 || !Array.isArray(versions)) {
    const hint = "is this the base URL of a homeserver? see its /.well-known/matrix/client";
    const message = `expected the versions of a homeserver at ${url}, got status ${statusCode} and something else`;
    return [fail(message, hint)];
  }
  const names = versions.filter((name): name is string => /^[rv][0-9.]{1,12}$/.test(String(name)));
  const findings = [ok(`${url} answers: ${names.join(", ") || "no versions"}`)];
  if (!names.some((name) => name.startsWith("v1."))) {
    findings.push(
      warn("the homeserver does not speak Matrix 1.1 or later", "update the homeserver"),
    );
  }
  if (section.homeserver.protocol === "https:") {
    const tls = findingsOf("tls");
    const hint = "set SSL = True unless this is a test";
    findings.push(
      section.tls.verify
        ? tls.ok("the certificate is valid")
        : tls.warn("the certificate is not verified (SSL = False)", hint),
    );
  }
  return findings;
}

async function probeImplementation(homeserver: Homeserver): Promise<Finding> {
  const { ok, skip } = findingsOf("version");
  try {
    const answer = await get(homeserver, "/_matrix/federation/v1/version");
    const server = read(answer, "server");
    if (typeof server === "object" && server !== null && "name" in server && "version" in server) {
      const text = `${String(server.name)} ${String(server.version)}`;
      return ok(text.replace(/[^\x20-\x7e]/g, "?").slice(0, 100));
    }
  } catch {
    // The federation API is often not served to clients.
  }
  return skip("the homeserver does not say here which software it is");
}

const flowNames = new Map([
  ["m.login.password", "password"],
  ["m.login.token", "token"],
  ["m.login.sso", "single sign-on"],
  ["m.login.application_service", "application service"],
]);

async function probeLogin(homeserver: Homeserver): Promise<Finding> {
  const { ok, warn, fail } = findingsOf("login");
  try {
    const answer = await get(homeserver, "/_matrix/client/v3/login");
    const flows = read(answer, "flows");
    const types = Array.isArray(flows) ? flows.map((flow) => member(flow, "type")) : [];
    const known = types
      .map((type) => flowNames.get(String(type)))
      .filter((name) => name !== undefined);
    if (known.length === 0) {
      const metadata = await get(homeserver, "/_matrix/client/v1/auth_metadata");
      if (metadata.statusCode === 200) {
        return ok("OAuth 2.0 only: clients bring their token, which is learnt from the homeserver");
      }
      const message = `expected a way to log in that clients know, got status ${answer.statusCode} and none`;
      return fail(message, "clients must bring an access token that they already have");
    }
    const list = known.join(", ");
    if (known.includes("application service")) return ok(list);
    return warn(
      `${list}; not for application services`,
      "only bridges need that: matrix-appservice-bridge refuses to encrypt without it",
    );
  } catch (error) {
    return fail(`the homeserver does not answer to GET /login: ${reasonOf(error)}`);
  }
}

function get(homeserver: Homeserver, path: string): Promise<UpstreamResponse> {
  return homeserver.request({ method: "GET", path, timeoutMs, maxBytes });
}

function read(answer: UpstreamResponse, name: string): unknown {
  try {
    return member(JSON.parse(answer.body.toString()), name);
  } catch {
    return undefined;
  }
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  return Reflect.get(value, name);
}

const hints = new Map([
  ["ECONNREFUSED", "is the homeserver running, and is the port right?"],
  ["ENOTFOUND", "is the name right?"],
  ["EAI_AGAIN", "can this machine resolve names?"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "does that port speak plain http?"],
  ["ERR_SSL_PACKET_LENGTH_TOO_LONG", "does that port speak plain http?"],
]);

function unreachable(url: string, error: unknown): Finding {
  const code = codeOf(error);
  if (code !== null && /CERT|SELF_SIGNED|UNABLE_TO/.test(code)) {
    const hint =
      "name its authority in NODE_EXTRA_CA_CERTS; SSL = False would accept any certificate, anybody's";
    return findingsOf("tls").fail(`the certificate of ${url} is not accepted (${code})`, hint);
  }
  const message = `${url} cannot be reached: ${reasonOf(error)}`;
  return findingsOf("homeserver").fail(message, hints.get(code ?? ""));
}

function reasonOf(error: unknown): string {
  const code = codeOf(error);
  if (code !== null) return code;
  return error instanceof Error ? error.message : "unknown error";
}

// The code of the innermost error that has one: the system's or OpenSSL's.
function codeOf(error: unknown): string | null {
  let code: string | null = null;
  for (let each = error, depth = 0; each instanceof Error && depth < 6; depth++) {
    if ("code" in each && typeof each.code === "string") code = each.code;
    each = each.cause;
  }
  return code;
}
