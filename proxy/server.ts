import type { Socket } from "node:net";
import { Readable } from "node:stream";
import Fastify from "fastify";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Logger } from "pino";
import { systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { Connections } from "./connections.ts";
import { isOwnHost, ownNames } from "./host-check.ts";
import { CorsMemory } from "./homeserver/cors.ts";
import { Exchange } from "./homeserver/exchange.ts";
import type { Homeserver } from "./homeserver/homeserver.ts";
import { registerPassThrough } from "./homeserver/pass-through.ts";
import { hasAmbiguousSender } from "./homeserver/token-watch.ts";
import type { TokenWatch } from "./homeserver/token-watch.ts";
import { classify } from "./matrix/classify.ts";
import type { Match } from "./matrix/classify.ts";
import { ENDPOINTS } from "./matrix/endpoints.ts";
import type { Endpoint } from "./matrix/endpoints.ts";
import { MatrixError } from "./matrix/errors.ts";
import type { Handler, Handlers, Reply } from "./routes/call.ts";
import { HttpCall } from "./routes/http-call.ts";

/** What one section's HTTP front is made of. */
export interface SectionServerOptions {
  readonly section: { readonly listenAddress: string };
  readonly homeserver: Homeserver;
  /** Hears of every token that the homeserver accepts or rejects. */
  readonly accounts: TokenWatch;
  /** The intercepted endpoints; the rest of the table passes, or is refused where passing it would be a way around. */
  readonly routes: Handlers;
  /** Names besides this machine's own by which clients may call the proxy, such as a container's. */
  readonly hostNames?: readonly string[];
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** Time for a client to send its headers. Long polls are not touched: their request is complete. */
const HEADERS_TIMEOUT_MS = 30_000;
/** Time for a client to send a whole request, uploads too. */
const REQUEST_TIMEOUT_MS = 15 * 60_000;
/** For requests under way when the front closes; below the 10 s after which container runtimes kill. */
const CLOSE_GRACE_MS = 8_000;
/** Inline filters of /sync make long request lines. */
const MAX_HEADER_BYTES = 64 * 1024;

/**
 * The HTTP front of one section: one route for everything. A request is classified by its raw target, answered by its handler or
 * streamed through; every thrown value becomes a Matrix error in one place. Listening and closing are the caller's:
 * `await app.listen({ host, port })`, and `await app.close()` lets requests under way finish
 * (for 8 s at most) and closes idle connections.
 */
export async function createSectionServer(options: SectionServerOptions): Promise<FastifyInstance> {
  const { homeserver, routes, logger } = options;
  const cors = new CorsMemory();
  const clock = options.clock ?? systemClock;
  const context = { homeserver, cors, watch: options.accounts, clock };
  const names = ownNames(options.section.listenAddress, options.hostNames ?? []);

  const app = Fastify({
    // fastify would make a child logger for each request; the error handler logs with the request's id instead.
    logger: false,
    http: { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: HEADERS_TIMEOUT_MS },
    requestTimeout: REQUEST_TIMEOUT_MS,
    exposeHeadRoutes: false,
    return503OnClosing: false,
    forceCloseConnections: "idle",
    // Nothing but "/" is ever routed, so that no router decodes or normalises the path: see registerPassThrough.
    rewriteUrl: () => "/",
    clientErrorHandler: answerClientError,
  });
  app.decorateRequest("exchange");
  const connections = new Connections();
  connections.track(app.server);
  app.addHook("preClose", (done) => {
    connections.drain();
    // A long poll would hold the stop up for as long as its client asked to wait.
    const cancel = clock.after(CLOSE_GRACE_MS, () => connections.destroy());
    app.server.once("close", cancel);
    done();
  });

  app.addHook("onRequest", (request, reply, done) => {
    const exchange = new Exchange(request.raw, reply.raw, request.originalUrl, clock.now());
    request.exchange = exchange;
    connections.begin(request.raw.socket, reply.raw);
    const match = refuse(request, names) ?? classify(request.method, exchange.target);
    if (match === "pass") {
      done();
    } else if (match === "refuse") {
      done(notServed("this path is not served in this spelling"));
    } else if (match instanceof MatrixError) {
      done(match);
    } else {
      const handler = routes[match.endpoint];
      const refusal = refuseMatch(match, exchange, handler !== undefined);
      if (handler !== undefined && refusal === null)
        void answer(handler, new HttpCall(match, exchange, context), reply, cors, done).then(() =>
          logAnswer(logger, match, reply, clock.now() - exchange.sentAtMs),
        );
      else done(refusal ?? undefined);
    }
  });

  app.setErrorHandler((error, request, reply) => sendError(error, request, reply, cors, logger));
  app.setNotFoundHandler((request, reply) =>
    sendError(
      notServed(`the method ${request.method} is not served`),
      request,
      reply,
      cors,
      logger,
    ),
  );
  await registerPassThrough(app, { homeserver, cors, watch: options.accounts });
  return app;
}

/** Why a request is not looked at further; null when it is. */
function refuse(request: FastifyRequest, names: ReadonlySet<string>): MatrixError | null {
  const { headers } = request.raw;
  if (!isOwnHost(headers.host, names)) {
    return new MatrixError(
      403,
      "M_FORBIDDEN",
      "the Host header names another server; expected a loopback name or one that is configured for this proxy",
    );
  }
  if (request.originalUrl.charCodeAt(0) !== 0x2f) {
    return new MatrixError(400, "M_UNRECOGNIZED", "expected a request target that begins with /");
  }
  if (headers.upgrade !== undefined && headers.upgrade.toLowerCase() !== "h2c") {
    return new MatrixError(
      400,
      "M_UNRECOGNIZED",
      "expected plain HTTP: protocol upgrades are not supported",
    );
  }
  return null;
}

/** A guarded endpoint is handled for the one who is meant or not at all: the homeserver must not read another sender. */
function refuseMatch(
  { endpoint: name }: Match,
  exchange: Exchange,
  isHandled: boolean,
): MatrixError | null {
  const endpoint: Endpoint = ENDPOINTS[name];
  if (endpoint.guarded !== true) return null;
  if (!isHandled && endpoint.unhandled !== "pass")
    return notServed("this proxy does not support this endpoint");
  if (!hasAmbiguousSender(exchange.target)) return null;
  return new MatrixError(
    400,
    "M_UNRECOGNIZED",
    "expected access_token, user_id and device_id at most once each, and no raw ; in the query",
  );
}

async function answer(
  handler: Handler,
  call: HttpCall,
  reply: FastifyReply,
  cors: CorsMemory,
  done: (error?: Error) => void,
): Promise<void> {
  let result: Reply | "pass";
  try {
    result = await handler(call);
  } catch (error) {
    done(error instanceof Error ? error : new Error("a handler threw no Error", { cause: error }));
    return;
  }
  if (result === "pass") {
    done();
    return;
  }
  reply.code(result.statusCode).header("content-type", "application/json");
  if (result.headers["access-control-allow-origin"] === undefined) reply.headers(cors.headers());
  const isStream = result.body instanceof Readable;
  for (const [name, value] of Object.entries(result.headers)) {
    if (value !== undefined && (isStream || name !== "content-length")) reply.header(name, value);
  }
  reply.send(result.body);
}

/** One line a request at the level debug: what an operator needs who asks why a bot does not send. */
function logAnswer(logger: Logger, match: Match, reply: FastifyReply, tookMs: number): void {
  if (!logger.isLevelEnabled("debug")) return;
  logger.debug({ endpoint: match.endpoint, statusCode: reply.statusCode, tookMs }, "request");
}

/** The one place where a failure becomes HTTP. */
function sendError(
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  cors: CorsMemory,
  logger: Logger,
): void {
  const error = toMatrixError(thrown);
  if (reply.raw.destroyed) return;
  if (error.statusCode >= 500) {
    const [path] = request.originalUrl.split("?", 1);
    logger.warn(
      { requestId: request.id, method: request.method, path, err: thrown },
      error.message,
    );
  }
  const retryAfter = error.fields["retry_after_ms"];
  if (typeof retryAfter === "number")
    reply.header("retry-after", String(Math.ceil(retryAfter / 1000)));
  reply.code(error.statusCode).headers(cors.headers()).header("content-type", "application/json");
  reply.send(JSON.stringify(error.toBody()));
}

function toMatrixError(thrown: unknown): MatrixError {
  if (thrown instanceof MatrixError) return thrown;
  // fastify's own refusals of a malformed request have a 4xx status and a message without internals.
  if (thrown instanceof Error && "statusCode" in thrown && typeof thrown.statusCode === "number") {
    const { statusCode } = thrown;
    if (statusCode >= 400 && statusCode < 500)
      return new MatrixError(statusCode, "M_UNRECOGNIZED", thrown.message);
  }
  return new MatrixError(500, "M_UNKNOWN", "internal error", { cause: thrown });
}

function notServed(message: string): MatrixError {
  return new MatrixError(404, "M_UNRECOGNIZED", message);
}

/** For what is no HTTP request: node:http has no request object to answer then. */
function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, errcode, message] =
    error.code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? ["408 Request Timeout", "M_UNKNOWN", "the request did not arrive in time"]
      : error.code === "HPE_HEADER_OVERFLOW"
        ? [
            "431 Request Header Fields Too Large",
            "M_TOO_LARGE",
            `expected headers of at most ${MAX_HEADER_BYTES} bytes`,
          ]
        : ["400 Bad Request", "M_UNRECOGNIZED", "expected a well-formed HTTP/1.1 request"];
  const body = JSON.stringify({ errcode, error: message });
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  );
}
