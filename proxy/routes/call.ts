import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";
import type { HeaderMap } from "../homeserver/headers.ts";
import type { UpstreamResponse } from "../homeserver/homeserver.ts";
import type { Masquerade } from "../homeserver/token-watch.ts";
import type { EndpointName } from "../matrix/endpoints.ts";
import { MatrixError } from "../matrix/errors.ts";

/** What a handler may change of the client's request before it goes upstream. */
export interface ForwardChange {
  /** Origin-form target with query; the client's own when left out. */
  readonly path?: string;
  readonly method?: string;
  readonly body?: Buffer | string;
  /** Set over the client's headers. */
  readonly headers?: Record<string, string>;
  readonly timeoutMs?: number;
  readonly maxBytes?: number;
  /** Ends the upstream request besides the client's going away. */
  readonly signal?: AbortSignal;
}

/** One client's request to an intercepted endpoint. */
export interface Call {
  readonly endpoint: EndpointName;
  /** Path parameters, percent-decoded once. */
  readonly params: Readonly<Record<string, string>>;
  /** HEAD comes as GET: the front leaves the body of the answer out. */
  readonly method: string;
  /** The raw request target as it came, with query. */
  readonly rawPath: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Aborted when the client has gone away. */
  readonly signal: AbortSignal;
  /** From the Authorization header, else from `?access_token=`; null when there is none. */
  readonly token: string | null;
  /** Whom an application service's request says it speaks for; empty otherwise. */
  readonly masquerade: Masquerade;
  /**
   * The whole request body; may be called again.
   *
   * @throws MatrixError 413 M_TOO_LARGE past `maxBytes`
   */
  body(maxBytes?: number): Promise<Buffer>;
  /**
   * Forwards this request as it came, or changed, and buffers the whole answer. The request's own `?access_token=` and
   * headers go along.
   *
   * @throws HomeserverUnreachable, HomeserverTimeout
   */
  forward(change?: ForwardChange): Promise<UpstreamResponse>;
  /**
   * Asks for something else than the client did, and hands the answer's body on as it comes. Nothing of the client's request goes
   * along; the upstream request ends when the client goes away.
   *
   * @throws HomeserverUnreachable, HomeserverTimeout
   */
  fetch(request: FetchRequest): Promise<StreamedResponse>;
}

/** A request of which nothing is the client's but the token. */
export interface FetchRequest {
  readonly path: string;
  /** For the Authorization header; `null` for none. */
  readonly token: string | null;
}

/** An answer whose body is still coming; it must be read or destroyed. */
export interface StreamedResponse {
  readonly statusCode: number;
  readonly headers: HeaderMap;
  readonly body: Readable;
}

/**
 * The call's token, for endpoints that nobody may reach without one: a token that only the homeserver can make out would take
 * the request around its handler.
 *
 * @throws MatrixError 401 M_MISSING_TOKEN
 */
export function requireToken({ token }: Call): string {
  if (token !== null) return token;
  throw new MatrixError(401, "M_MISSING_TOKEN", "expected an access token");
}

/** A handler's own answer. `content-length` is set by the front. */
export interface Reply {
  readonly statusCode: number;
  readonly headers: HeaderMap;
  /** A stream that fails breaks the transfer. Its `content-length` is kept. */
  readonly body: Buffer | string | Readable;
}

/** Answers a call, or lets the request stream through untouched with "pass". */
export type Handler = (call: Call) => Promise<Reply | "pass">;

/** What a route module gives the front. */
export type Handlers = Partial<Record<EndpointName, Handler>>;
