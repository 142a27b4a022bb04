import { EventEmitter } from "node:events";
import type { Readable } from "node:stream";
import httpProxy from "@fastify/http-proxy";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Dispatcher } from "undici";
import { MatrixError } from "../matrix/errors.ts";
import { decodeShort } from "./content-encoding.ts";
import type { CorsMemory } from "./cors.ts";
import type { Exchange } from "./exchange.ts";
import { stripResponseHeaders, upstreamRequestHeaders } from "./headers.ts";
import type { Homeserver } from "./homeserver.ts";
import { longPollMs } from "./long-poll.ts";
import type { TokenWatch } from "./token-watch.ts";
import { watchAnswer } from "./token-watch.ts";
import { toUpstreamError } from "./upstream-errors.ts";

/** Methods that stream through. Others are not part of any Matrix API and get the front's 404. */
export const PROXIED_METHODS = [
  "DELETE",
  "GET",
  "HEAD",
  "OPTIONS",
  "PATCH",
  "POST",
  "PUT",
] as const;

export interface PassThroughOptions {
  readonly homeserver: Homeserver;
  readonly cors: CorsMemory;
  readonly watch: TokenWatch;
}

/** Under this key the request travels through reply-from's copies of the headers to {@link Upstream.request}. */
const REQUEST = Symbol("request");
const MEDIA_TYPE = /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+(?:\s*;|$)/;
/** Longest body of a 401 that is looked into. */
const MAX_ERROR_BYTES = 64 * 1024;

/**
 * Registers @fastify/http-proxy for everything that is streamed through, with its defaults corrected here and nowhere else.
 *
 * The app rewrites every URL to `/` before routing, so that neither find-my-way nor http-proxy nor reply-from decodes, normalises
 * or refuses a path: a state key may hold `..`, `//` or `%2F`. The real target, the real headers and the real body meet again in
 * {@link Upstream}, which http-proxy takes for its undici instance; thereby the pool of {@link Homeserver} (certificates verified, no
 * limit of 128 connections) and the client's abort signal are in force too. No retries: reply-from would repeat a 503 ten times.
 */
export async function registerPassThrough(
  app: FastifyInstance,
  options: PassThroughOptions,
): Promise<void> {
  const { homeserver, cors, watch } = options;
  const upstream = new Upstream(homeserver);
  // fastify's own parser of text/plain would read the body, of 1 MiB at most, before it can stream.
  app.removeAllContentTypeParsers();
  app.addHook("onRequest", (request, _reply, done) => {
    const type = request.raw.headers["content-type"];
    // fastify answers 415 to what is no media type; that is the homeserver's to judge. Upstream reads the raw headers.
    if (type !== undefined && !MEDIA_TYPE.test(type)) request.headers = { "content-type": "a/b" };
    done();
  });
  await app.register(httpProxy, {
    // Only the origin counts, and only formally: Upstream sets the whole target.
    upstream: homeserver.url.origin,
    routes: ["/"],
    httpMethods: [...PROXIED_METHODS],
    undici: upstream as unknown as Dispatcher,
    disableRequestLogging: true,
    // A redirect's Location is the homeserver's to say.
    internalRewriteLocationHeader: false,
    replyOptions: {
      retryDelay: () => null,
      rewriteRequestHeaders: (request) => ({ [REQUEST]: request }) as Record<string, string>,
      rewriteHeaders: (headers) => {
        cors.learn(headers);
        return stripResponseHeaders(headers);
      },
      onError: (reply, { error }) => {
        // The types allow for HTTP/2, which the front does not speak.
        void (reply as unknown as FastifyReply).send(toUpstreamError(error, homeserver.timeoutMs));
      },
      onResponse: (rawRequest, rawReply, response) => {
        const request = rawRequest as unknown as FastifyRequest;
        const reply = rawReply as unknown as FastifyReply;
        const body: Readable = response.stream;
        if (reply.statusCode === 401) {
          void peek(body, request.exchange, watch, reply);
          return;
        }
        watchAnswer(watch, request.exchange, reply.statusCode, null);
        void reply.send(body);
      },
    },
  });
}

/** What reply-from asks of undici, with the request as the client sent it instead of what reply-from made of it. */
class Upstream {
  readonly #homeserver: Homeserver;
  readonly #origin: string;

  constructor(homeserver: Homeserver) {
    this.#homeserver = homeserver;
    this.#origin = homeserver.url.origin;
  }

  /** Has the shape of undici's `dispatcher.request` with a callback. */
  request(
    asked: { headers: object },
    callback: (error: Error | null, response: Dispatcher.ResponseData) => void,
  ): void {
    const homeserver = this.#homeserver;
    const { exchange, method } = (asked.headers as { [REQUEST]: FastifyRequest })[REQUEST];
    const headers = upstreamRequestHeaders(exchange.request.headers, homeserver.url.host);
    // undici counts a buffer itself, and a chunked request has been put together by then.
    if (exchange.bodyRead !== null) delete headers["content-length"];
    homeserver.dispatcher.request(
      {
        origin: this.#origin,
        path: homeserver.target(exchange.target),
        method,
        headers,
        body: exchange.bodyRead ?? (exchange.hasBody ? exchange.request : null),
        signal: clientGone(exchange),
        headersTimeout: homeserver.timeoutMs + longPollMs(exchange.target),
        bodyTimeout: homeserver.timeoutMs,
      },
      callback,
    );
  }
}

/** An abort signal as undici takes it; an AbortController for each request would cost more than all the rest of this file. */
function clientGone(exchange: Exchange): EventEmitter {
  const signal = new EventEmitter();
  // The end of the client's connection shows on the response, before the homeserver has answered too.
  exchange.response.once("close", () => signal.emit("abort"));
  return signal;
}

/** Looks into a 401 on its way: the one error that changes what is known of the token. */
async function peek(
  body: Readable,
  exchange: Exchange,
  watch: TokenWatch,
  reply: FastifyReply,
): Promise<void> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length;
      if (sizeBytes > MAX_ERROR_BYTES)
        throw new MatrixError(502, "M_TOO_LARGE", "the homeserver's error is too long");
      chunks.push(chunk);
    }
    const whole = Buffer.concat(chunks, sizeBytes);
    const decoded = decodeShort(whole, reply.getHeader("content-encoding"), MAX_ERROR_BYTES);
    watchAnswer(watch, exchange, 401, decoded);
    reply.send(whole);
  } catch (error) {
    reply.send(toUpstreamError(error, 0));
  }
}
