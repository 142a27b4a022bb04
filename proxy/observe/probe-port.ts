import { createServer } from "node:net";

import { request } from "undici";

import type { SectionSettings } from "../config/settings.ts";
import { urlOf } from "../config/values.ts";
import type { Finding } from "./finding.ts";
import { findingsOf } from "./finding.ts";

/** Checks whether a section can listen where it shall, or already does. */
export async function probePort(
  section: Pick<SectionSettings, "listenAddress" | "listenPort">,
): Promise<Finding> {
  const { ok, warn, fail } = findingsOf("port");
  const { listenAddress: host, listenPort: port } = section;
  if (port === 0) return ok("any free port is taken");
  const url = urlOf(host, port);
  const code = await tryToListen(host, port);
  if (code === null) return ok(`${url} is free: the daemon is not running`);
  if (code === "EADDRINUSE") {
    if (await speaksMatrix(reachable(host, port))) {
      return warn(
        `${url} is taken by something that speaks Matrix: this daemon, or another proxy`,
        "that is as it should be if it is this daemon",
      );
    }
    return fail(`${url} is taken by another program`, "stop it, or set another ListenPort");
  }
  if (code === "EACCES")
    return fail(`${url}: this user may not listen there`, "take a port from 1024");
  return fail(`${url} cannot be listened on: ${code}`, "is the address one of this machine's?");
}

function tryToListen(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error) => resolve("code" in error ? String(error.code) : error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}

// One cannot connect to the addresses that stand for all.
function reachable(host: string, port: number): string {
  if (host === "0.0.0.0") return urlOf("127.0.0.1", port);
  return urlOf(host === "::" ? "::1" : host, port);
}

async function speaksMatrix(url: string): Promise<boolean> {
  try {
    const { statusCode, headers, body } = await request(`${url}/_matrix/client/versions`, {
      signal: AbortSignal.timeout(5_000),
    });
    await body.dump();
    // A proxy whose homeserver is down answers with a Matrix error, which is JSON as well.
    const isJson = String(headers["content-type"]).startsWith("application/json");
    return isJson && [200, 502, 504].includes(statusCode);
  } catch {
    return false;
  }
}
