import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { apiRoutes } from "./api/index.ts";
import { AppservicePusher } from "./appservice-pusher.ts";
import { Call } from "./call.ts";
import { ApiError } from "./errors.ts";
import { Faults } from "./faults.ts";
import type { ActiveFault } from "./faults.ts";
import { Router } from "./router.ts";
import type { Reply } from "./router.ts";
import { Appservice } from "./store/appservices.ts";
import type { AppserviceRegistration } from "./store/appservices.ts";
import { Store } from "./store/store.ts";
import type { PlaygroundOptions } from "./options.ts";
import { withDefaults } from "./options.ts";

const CORS = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
  "Access-Control-Allow-Headers":
    "Origin, X-Requested-With, Content-Type, Accept, Authorization, Date",
};

/** A running playground homeserver. */
export interface Playground {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  readonly port: number;
  readonly serverName: string;
  readonly store: Store;
  readonly faults: Faults;
  /** What is pushed to appservices. */
  readonly pusher: AppservicePusher;
  /** Milliseconds by which every request is delayed; 0 at first. */
  latencyMs: number;
  /** How many requests are being handled now. */
  readonly inFlight: number;
  /** Registers an appservice (and its sender), as a registration file would. */
  registerAppservice(registration: AppserviceRegistration): void;
  /** Ends all connections. What is stored stays readable. */
  stop(): Promise<void>;
}

/**
 * Starts a homeserver in memory, on loopback. It has no limits and no federation; what matters to encrypted
 * clients it does as Synapse does.
 */
export async function startPlayground(options: PlaygroundOptions = {}): Promise<Playground> {
  const settings = withDefaults(options);
  const store = options.store ?? new Store(settings.serverName);
  const faults = new Faults();
  const pusher = new AppservicePusher(store, settings.appserviceRetryMs);
  const router = new Router();
  const stopping = new AbortController();
  const state = { latencyMs: 0, inFlight: 0 };

  const server = createServer((request, response) => {
    state.inFlight++;
    void serve(request, response)
      .catch(() => request.socket.destroy())
      .finally(() => state.inFlight--);
  });
  server.requestTimeout = 0;
  server.keepAliveTimeout = 60_000;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = request.method ?? "GET";
    const url = request.url ?? "/";
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    const fault = faults.take(method, url);
    try {
      await serveWith(fault, request, response, method, url, gone.signal);
    } finally {
      fault?.finish();
    }
  }

  async function serveWith(
    fault: ActiveFault | null,
    request: IncomingMessage,
    response: ServerResponse,
    method: string,
    url: string,
    gone: AbortSignal,
  ): Promise<void> {
    const action = fault?.action;
    if (action?.type === "drop") {
      request.socket.destroy();
      return;
    }
    const chunks = [await buffer(request)];
    if (state.latencyMs > 0) await pause(state.latencyMs, stopping.signal);
    if (action?.type === "delay") await action.until;
    if (action?.type === "after") await fault?.released;
    if (action?.type === "fail") {
      write(response, {
        statusCode: action.statusCode,
        body: action.body ?? { errcode: "M_UNKNOWN", error: "Internal server error" },
        ...(action.headers === undefined ? {} : { headers: action.headers }),
      });
      return;
    }
    const signal = AbortSignal.any([gone, stopping.signal]);
    const once = (): Promise<Reply> => answer(request, method, url, chunks, signal);
    let reply = await once();
    if (action?.type === "duplicate") reply = await once();
    faults.passed(method, url);
    if (action?.type === "drop-response") {
      request.socket.destroy();
      return;
    }
    if (action?.type === "delay-response") await action.until;
    write(response, reply);
  }

  async function answer(
    request: IncomingMessage,
    method: string,
    url: string,
    chunks: readonly Buffer[],
    signal: AbortSignal,
  ): Promise<Reply> {
    if (method === "OPTIONS") return { statusCode: 204, body: "" };
    const at = url.indexOf("?");
    const rawPath = at < 0 ? url : url.slice(0, at);
    try {
      const { handler, params } = router.match(method, rawPath);
      const query = new URLSearchParams(at < 0 ? "" : url.slice(at + 1));
      const { headers } = request;
      return await handler(
        new Call({ method, rawPath, params, query, headers, chunks, signal, store }),
      );
    } catch (error) {
      if (error instanceof ApiError) return { statusCode: error.statusCode, body: error.toBody() };
      process.stderr.write(`playground: ${method} ${rawPath}: ${describe(error)}\n`);
      const body = { errcode: "M_UNKNOWN", error: "Internal server error" };
      return { statusCode: 500, body };
    }
  }

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(settings.port, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  router.add(apiRoutes({ store, url, settings, pusher }));

  return {
    url,
    port,
    serverName: settings.serverName,
    store,
    faults,
    pusher,
    get latencyMs(): number {
      return state.latencyMs;
    },
    set latencyMs(value: number) {
      state.latencyMs = value;
    },
    get inFlight(): number {
      return state.inFlight;
    },
    registerAppservice(registration): void {
      store.appservices.byId.set(
        registration.id,
        new Appservice(registration, settings.serverName),
      );
      const sender = registration.sender_localpart;
      if (store.accounts.users.has(store.accounts.userIdFor(sender))) return;
      store.accounts.createUser({
        localpart: sender,
        password: null,
        appserviceId: registration.id,
      });
    },
    async stop(): Promise<void> {
      stopping.abort();
      pusher.stop();
      faults.clear();
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

function write(response: ServerResponse, reply: Reply): void {
  if (response.destroyed) return;
  const isRaw = typeof reply.body === "string" || Buffer.isBuffer(reply.body);
  const parts: readonly Buffer[] = Array.isArray(reply.body) ? bufferParts(reply.body) : [];
  const single = isRaw ? Buffer.from(reply.body as string) : null;
  const body = parts.length > 0 ? parts : [single ?? Buffer.from(JSON.stringify(reply.body))];
  const length = body.reduce((sum, part) => sum + part.length, 0);
  response.writeHead(reply.statusCode, {
    ...CORS,
    "Content-Type": "application/json",
    "Content-Length": length,
    ...reply.headers,
  });
  for (const part of body) response.write(part);
  response.end();
}

function bufferParts(body: readonly unknown[]): Buffer[] {
  return body.filter((part): part is Buffer => Buffer.isBuffer(part));
}

function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, delayMs);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
