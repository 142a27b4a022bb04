import type { IncomingHttpHeaders } from "node:http";

/** Headers of an HTTP message as undici and node:http take them. */
export type HeaderMap = Record<string, string | string[] | undefined>;

/**
 * Headers that belong to one connection, not to the message.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
 */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/**
 * Request headers that never go upstream besides the hop-by-hop ones.
 *
 * Forwarding headers: dropped and not replaced. A homeserver that trusts its reverse proxy's X-Forwarded-For would believe an
 * address that any local client made up; it sees Kirjava's own address instead. Method overrides: they would turn a request that
 * was classified as one method into another behind us. Expect: node:http has answered 100-continue already and undici refuses it.
 */
const NEVER_UPSTREAM: ReadonlySet<string> = new Set([
  "host",
  "expect",
  "forwarded",
  "via",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-prefix",
  "x-forwarded-proto",
  "x-forwarded-server",
  "x-real-ip",
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "x-original-url",
  "x-original-method",
  "x-rewrite-url",
]);

/** The client's request headers as they go upstream: end-to-end headers only, `host` set to the homeserver's. */
export function upstreamRequestHeaders(headers: IncomingHttpHeaders, host: string): HeaderMap {
  const named = connectionOptions(headers.connection);
  const result: HeaderMap = { host };
  for (const name in headers) {
    if (HOP_BY_HOP.has(name) || NEVER_UPSTREAM.has(name)) continue;
    // A client may not use Connection to take out what we or the homeserver rely on.
    if (named !== null && named.has(name) && name !== "authorization") continue;
    result[name] = headers[name];
  }
  return result;
}

/** Removes the hop-by-hop headers from an upstream answer's headers, in place (the per-request path makes no copy). */
export function stripResponseHeaders(headers: HeaderMap): HeaderMap {
  const connection = headers["connection"];
  if (connection !== undefined) {
    const named = connectionOptions(
      typeof connection === "string" ? connection : connection.join(),
    );
    // Assigning undefined would render as an empty header.
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete
    if (named !== null) for (const name of named) delete headers[name];
  }
  // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- as above
  for (const name of HOP_BY_HOP) if (name in headers) delete headers[name];
  return headers;
}

function connectionOptions(connection: string | undefined): ReadonlySet<string> | null {
  if (connection === undefined || connection === "keep-alive" || connection === "close")
    return null;
  const names = connection
    .toLowerCase()
    .split(",")
    .map((name) => name.trim());
  return new Set(names);
}
