import { once } from "node:events";
import type { Readable } from "node:stream";
import { Agent, ProxyAgent } from "undici";
import type { Dispatcher } from "undici";
import { HomeserverTimeout, MatrixError } from "../matrix/errors.ts";
import { decoderFor } from "./content-encoding.ts";
import type { HeaderMap } from "./headers.ts";
import { stripResponseHeaders } from "./headers.ts";
import { toUpstreamError } from "./upstream-errors.ts";

/** One buffered request to the homeserver. */
export interface UpstreamRequest {
  readonly method: string;
  /** Origin-form target with query, as it goes on the wire: `/_matrix/client/v3/sync?since=s1`. */
  readonly path: string;
  readonly headers?: HeaderMap;
  readonly body?: Buffer | string;
  /** Aborts the request; the promise then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Limit for the whole exchange in milliseconds; the section's upstream timeout when left out. */
  readonly timeoutMs?: number;
  /** Largest answer taken, after decompression, in bytes. */
  readonly maxBytes?: number;
}

/** A buffered answer. The body is decompressed, so `content-encoding` and `content-length` are left out of the headers. */
export interface UpstreamResponse {
  readonly statusCode: number;
  readonly headers: HeaderMap;
  readonly body: Buffer;
}

export interface HomeserverOptions {
  /** Base URL of the client-server API; a path is put before every request's path. */
  readonly url: URL;
  readonly tls: { readonly verify: boolean };
  /** HTTP(S) proxy between Kirjava and the homeserver; requests go through a CONNECT tunnel. */
  readonly upstreamProxy?: URL | null;
  readonly timeoutMs: number;
}

/** Largest buffered answer: an initial sync of a very large account stays below it, a decompression bomb does not. */
const DEFAULT_MAX_BYTES = 256 * 1024 * 1024;
const CONNECT_TIMEOUT_MS = 10_000;
/** Below the 5 s after which Node and Apache close an idle connection: a reused dead connection would lose a request. */
const KEEP_ALIVE_MS = 4_000;
const MAX_HEADER_BYTES = 64 * 1024;

/**
 * The connection to one homeserver: a connection pool whose origin no request can change, redirects never followed, nothing ever
 * retried. Every failure comes out as {@link HomeserverUnreachable} or {@link HomeserverTimeout}.
 */
export class Homeserver {
  readonly url: URL;
  readonly timeoutMs: number;
  /** For streams: the same pool, without the mapping of errors. */
  readonly dispatcher: Dispatcher;
  readonly #basePath: string;
  readonly #acceptEncoding: string;

  constructor(options: HomeserverOptions) {
    this.url = options.url;
    this.timeoutMs = options.timeoutMs;
    this.#basePath = options.url.pathname.replace(/\/+$/, "");
    // Between two processes of one machine compression costs both of them time and saves nothing.
    this.#acceptEncoding = isLoopback(options.url.hostname) ? "identity" : "gzip, br";
    const tls = { rejectUnauthorized: options.tls.verify };
    const pool = {
      connections: null,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: options.timeoutMs,
      bodyTimeout: options.timeoutMs,
    };
    this.dispatcher = options.upstreamProxy
      ? new ProxyAgent({
          ...pool,
          uri: options.upstreamProxy.href,
          requestTls: { ...tls, timeout: CONNECT_TIMEOUT_MS },
          proxyTls: { ...tls, timeout: CONNECT_TIMEOUT_MS },
        })
      : new Agent({ ...pool, connect: { ...tls, timeout: CONNECT_TIMEOUT_MS } });
  }

  /**
   * The path as it goes upstream: the base URL's path before it, its bytes untouched.
   *
   * @throws MatrixError 400 when `path` is not in origin-form; only that form cannot name another host
   */
  target(path: string): string {
    if (path.charCodeAt(0) !== 0x2f) {
      throw new MatrixError(400, "M_UNRECOGNIZED", "expected a request target that begins with /");
    }
    return this.#basePath + path;
  }

  /**
   * Sends one request and buffers the answer; any HTTP status is an answer.
   *
   * @throws HomeserverUnreachable, HomeserverTimeout; MatrixError 502 when the answer is larger than `maxBytes`; the signal's reason
   */
  async request(request: UpstreamRequest): Promise<UpstreamResponse> {
    const timeoutMs = request.timeoutMs ?? this.timeoutMs;
    request.signal?.throwIfAborted();
    const abort = new AbortController();
    const onClientAbort = (): void => abort.abort(request.signal?.reason);
    request.signal?.addEventListener("abort", onClientAbort, { once: true });
    const timer = setTimeout(() => abort.abort(new HomeserverTimeout(timeoutMs)), timeoutMs);
    try {
      const response = await this.dispatcher.request({
        origin: this.url.origin,
        path: this.target(request.path),
        method: request.method,
        headers: { "accept-encoding": this.#acceptEncoding, ...request.headers },
        body: request.body ?? null,
        signal: abort.signal,
        // The timer above is the one limit: it covers the connecting and the whole body too.
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      const headers = stripResponseHeaders(response.headers);
      const body = await readBody(response.body, headers, request.maxBytes ?? DEFAULT_MAX_BYTES);
      return { statusCode: response.statusCode, headers, body };
    } catch (error) {
      if (request.signal?.aborted === true) throw request.signal.reason;
      throw toUpstreamError(abort.signal.aborted ? abort.signal.reason : error, timeoutMs);
    } finally {
      clearTimeout(timer);
      request.signal?.removeEventListener("abort", onClientAbort);
    }
  }

  /** Closes every connection; requests under way fail as unreachable. */
  async close(): Promise<void> {
    await this.dispatcher.destroy();
  }
}

/** Whether a URL's host name can only be this machine. */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === "localhost" ||
    hostname.endsWith(".localhost") ||
    hostname === "[::1]" ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname)
  );
}

async function readBody(body: Readable, headers: HeaderMap, maxBytes: number): Promise<Buffer> {
  const encoding = headers["content-encoding"];
  delete headers["content-encoding"];
  delete headers["content-length"];
  const decoder = decoderFor(encoding);
  if (decoder === null) return collect(body, maxBytes);
  body.once("error", (error) => decoder.destroy(error));
  body.pipe(decoder);
  try {
    return await collect(decoder, maxBytes);
  } finally {
    body.destroy();
  }
}

async function collect(stream: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  stream.on("data", (chunk: Buffer) => {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) stream.destroy(tooLarge(maxBytes));
    else chunks.push(chunk);
  });
  await once(stream, "end");
  return chunks.length === 1 && chunks[0] !== undefined
    ? chunks[0]
    : Buffer.concat(chunks, sizeBytes);
}

function tooLarge(maxBytes: number): MatrixError {
  return new MatrixError(
    502,
    "M_TOO_LARGE",
    `the homeserver's answer is larger than ${maxBytes} bytes`,
  );
}
