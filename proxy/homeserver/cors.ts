import type { HeaderMap } from "./headers.ts";

const CORS_HEADERS = [
  "access-control-allow-origin",
  "access-control-allow-methods",
  "access-control-allow-headers",
  "access-control-expose-headers",
] as const;

/**
 * CORS on Kirjava's own answers is the homeserver's decision, not ours: what it last allowed to every origin is repeated, so that
 * a browser client can read our errors just as it reads the homeserver's. Nothing is added before the homeserver has been heard;
 * an allowance to one origin only is never repeated, since it was not made for the next one.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#web-browser-clients
 */
export class CorsMemory {
  #seen: Readonly<Record<string, string>> = {};
  #headersSeen: string | undefined;

  /** Takes note of an answer of the homeserver's. */
  learn(headers: HeaderMap): void {
    if (headers["access-control-allow-origin"] !== "*") return;
    const allowed = headers["access-control-allow-headers"];
    // Nearly every answer says the same: one comparison is all the usual request pays.
    if (typeof allowed === "string" && allowed === this.#headersSeen) return;
    const seen: Record<string, string> = {};
    for (const name of CORS_HEADERS) {
      const value = headers[name];
      if (typeof value === "string") seen[name] = value;
    }
    this.#seen = seen;
    this.#headersSeen = seen["access-control-allow-headers"];
  }

  /** The headers that an answer of our own carries. */
  headers(): Readonly<Record<string, string>> {
    return this.#seen;
  }
}
