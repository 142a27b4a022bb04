import type { IncomingHttpHeaders } from "node:http";
import type { Clock } from "../clock.ts";
import type { CorsMemory } from "../homeserver/cors.ts";
import type { Exchange } from "../homeserver/exchange.ts";
import { stripResponseHeaders, upstreamRequestHeaders } from "../homeserver/headers.ts";
import type { Homeserver, UpstreamResponse } from "../homeserver/homeserver.ts";
import { longPollMs } from "../homeserver/long-poll.ts";
import type { Masquerade, TokenWatch } from "../homeserver/token-watch.ts";
import { masqueradeOf, tokenOf, watchAnswer } from "../homeserver/token-watch.ts";
import type { Match } from "../matrix/classify.ts";
import type { EndpointName } from "../matrix/endpoints.ts";
import { toUpstreamError } from "../homeserver/upstream-errors.ts";
import type { Call, FetchRequest, ForwardChange, StreamedResponse } from "./call.ts";

/** What a call needs of its section. */
export interface CallContext {
  readonly homeserver: Homeserver;
  readonly cors: CorsMemory;
  readonly watch: TokenWatch;
  readonly clock: Clock;
}

/** Synapse takes a little more than 12 MiB; no JSON that Kirjava has to read is larger. */
const DEFAULT_MAX_BODY_BYTES = 16 * 1024 * 1024;

/** A {@link Call} on a real connection. */
export class HttpCall implements Call {
  readonly endpoint: EndpointName;
  readonly params: Readonly<Record<string, string>>;
  readonly #exchange: Exchange;
  readonly #context: CallContext;
  readonly #abort = new AbortController();
  #query: URLSearchParams | null = null;

  constructor(match: Match, exchange: Exchange, context: CallContext) {
    this.endpoint = match.endpoint;
    this.params = match.params;
    this.#exchange = exchange;
    this.#context = context;
    exchange.response.once("close", () => {
      if (!exchange.response.writableFinished) this.#abort.abort();
    });
  }

  get method(): string {
    const method = this.#exchange.request.method ?? "GET";
    return method === "HEAD" ? "GET" : method;
  }

  get rawPath(): string {
    return this.#exchange.target;
  }

  get query(): URLSearchParams {
    return (this.#query ??= new URLSearchParams(this.rawPath.split("?").slice(1).join("?")));
  }

  get headers(): IncomingHttpHeaders {
    return this.#exchange.request.headers;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get token(): string | null {
    return this.#exchange.token;
  }

  get masquerade(): Masquerade {
    return this.#exchange.masquerade;
  }

  body(maxBytes = DEFAULT_MAX_BODY_BYTES): Promise<Buffer> {
    return this.#exchange.body(maxBytes);
  }

  async forward(change: ForwardChange = {}): Promise<UpstreamResponse> {
    const { homeserver, cors, watch, clock } = this.#context;
    const path = change.path ?? this.rawPath;
    const sentAtMs = clock.now();
    const headers = upstreamRequestHeaders(this.headers, homeserver.url.host);
    // The answer is read here, not by the client: what it can decompress says nothing of what we can.
    delete headers["accept-encoding"];
    delete headers["content-length"];
    if (change.body !== undefined) delete headers["content-encoding"];
    Object.assign(headers, change.headers);
    const body = change.body ?? (this.#exchange.hasBody ? await this.body() : undefined);
    const response = await homeserver.request({
      method: change.method ?? this.method,
      path,
      headers,
      signal:
        change.signal === undefined ? this.signal : AbortSignal.any([this.signal, change.signal]),
      timeoutMs: change.timeoutMs ?? homeserver.timeoutMs + longPollMs(path),
      ...(body === undefined ? {} : { body }),
      ...(change.maxBytes === undefined ? {} : { maxBytes: change.maxBytes }),
    });
    cors.learn(response.headers);
    const sender = {
      token: tokenOf(headers, path),
      sentAtMs,
      masquerade: masqueradeOf(path),
    };
    watchAnswer(watch, sender, response.statusCode, response.body);
    return response;
  }

  async fetch({ path, token }: FetchRequest): Promise<StreamedResponse> {
    const { homeserver, cors, watch, clock } = this.#context;
    const sentAtMs = clock.now();
    try {
      const { statusCode, headers, body } = await homeserver.dispatcher.request({
        origin: homeserver.url.origin,
        path: homeserver.target(path),
        method: "GET",
        headers: {
          "accept-encoding": "identity",
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        },
        signal: this.signal,
        headersTimeout: homeserver.timeoutMs,
        bodyTimeout: homeserver.timeoutMs,
      });
      cors.learn(headers);
      const sender = { token, sentAtMs, masquerade: masqueradeOf(path) };
      watchAnswer(watch, sender, statusCode, null);
      return { statusCode, headers: stripResponseHeaders(headers), body };
    } catch (error) {
      this.signal.throwIfAborted();
      throw toUpstreamError(error, homeserver.timeoutMs);
    }
  }
}
