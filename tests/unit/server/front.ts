import { once } from "node:events";
import { Agent, createServer, request } from "node:http";
import type {
  IncomingHttpHeaders,
  IncomingMessage,
  RequestOptions,
  Server,
  ServerResponse,
} from "node:http";
import { connect } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { pino } from "pino";
import { systemClock } from "../../../proxy/clock.ts";
import type { Clock } from "../../../proxy/clock.ts";
import { Homeserver } from "../../../proxy/homeserver/homeserver.ts";
import type { HomeserverOptions } from "../../../proxy/homeserver/homeserver.ts";
import type { TokenWatch } from "../../../proxy/homeserver/token-watch.ts";
import type { Handlers } from "../../../proxy/routes/call.ts";
import { createSectionServer } from "../../../proxy/server.ts";

/** A homeserver of a few lines on a real socket. */
export interface Upstream {
  readonly url: URL;
  readonly requests: IncomingMessage[];
  stop(): Promise<void>;
}

export async function startUpstream(
  listener: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Upstream> {
  const requests: IncomingMessage[] = [];
  const server = createServer((incoming, response) => {
    requests.push(incoming);
    listener(incoming, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: new URL(`http://127.0.0.1:${port}`),
    requests,
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** The front of a section before an upstream. */
export interface Front {
  readonly port: number;
  readonly server: Server;
  readonly log: string[];
  readonly tokens: { confirmed: string[]; rejected: { token: string; softLogout: boolean }[] };
  close(): Promise<void>;
}

export async function startFront(
  url: URL,
  routes: Handlers = {},
  options: Partial<HomeserverOptions> & {
    hostNames?: string[];
    accounts?: TokenWatch;
    clock?: Clock;
  } = {},
): Promise<Front> {
  const log: string[] = [];
  const tokens: Front["tokens"] = { confirmed: [], rejected: [] };
  const homeserver = new Homeserver({ url, tls: { verify: true }, timeoutMs: 30_000, ...options });
  const app = await createSectionServer({
    section: { listenAddress: "127.0.0.1" },
    homeserver,
    accounts: options.accounts ?? {
      confirmed: (token) => tokens.confirmed.push(token),
      rejected: (token, { softLogout }) => tokens.rejected.push({ token, softLogout }),
    },
    routes,
    hostNames: options.hostNames ?? [],
    clock: options.clock ?? systemClock,
    logger: pino({ level: "debug" }, { write: (line: string) => void log.push(line) }),
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return {
    port,
    server: app.server,
    log,
    tokens,
    close: async () => {
      await app.close();
      await homeserver.close();
    },
  };
}

/** A client's buffered answer. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** One request on a connection of its own. */
export async function ask(
  port: number,
  path: string,
  options: RequestOptions & { body?: string | Buffer } = {},
): Promise<Answer> {
  const agent = new Agent({ keepAlive: false });
  const outgoing = request({ host: "127.0.0.1", port, path, agent, ...options });
  outgoing.end(options.body);
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: await text(response),
  };
}

export async function text(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

/** Bytes as they are, for what no HTTP client would send; resolves with all that came until the end of the connection. */
export async function raw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(bytes, "latin1");
  return received(socket);
}

export async function received(socket: Socket): Promise<string> {
  let all = "";
  socket.on("data", (chunk: Buffer) => (all += chunk.toString("latin1")));
  await once(socket, "close");
  return all;
}

export function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

/** A promise that the test settles by hand. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
}

export function deferred<T>(): Deferred<T> {
  let settle: ((value: T) => void) | undefined;
  const promise = new Promise<T>((resolve) => (settle = resolve));
  return { promise, resolve: (value) => settle?.(value) };
}
