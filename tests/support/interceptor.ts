import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo, Socket } from "node:net";

import { Waiter } from "./waiter.ts";

/** A request on its way through an {@link Interceptor}. */
export interface InterceptedRequest {
  readonly method: string;
  /** Path and query as sent. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** What the homeserver answered. */
export interface InterceptedAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/**
 * What happens to a request. `forward()` sends it on and gives the answer; not calling it keeps the
 * request from the homeserver. The result: an answer to send back, or `"drop"` to cut the connection.
 */
export type Rule = (
  request: InterceptedRequest,
  forward: () => Promise<InterceptedAnswer>,
) => Promise<InterceptedAnswer | "drop">;

/**
 * A wire between a client and a homeserver that a test can bend: hold, drop, repeat, answer in the
 * homeserver's place, or cut altogether. For the playground and a real homeserver alike.
 */
export class Interceptor {
  /** Base URL to give to the client. */
  readonly url: string;
  /** Every request that came, in order. */
  readonly requests = new Waiter<InterceptedRequest>(({ method, path }) => `${method} ${path}`);
  readonly #target: URL;
  readonly #server: Server;
  readonly #port: number;
  readonly #sockets = new Set<Socket>();
  readonly #rules: { matches: (request: InterceptedRequest) => boolean; rule: Rule }[] = [];

  private constructor(target: URL, server: Server, port: number) {
    this.#target = target;
    this.#server = server;
    this.#port = port;
    this.url = `http://127.0.0.1:${port}`;
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    server.on("request", (incoming: IncomingMessage, response: ServerResponse) => {
      void this.#handle(incoming, response).catch(() => {
        response.destroy();
      });
    });
  }

  /** Starts a wire to `target` that lets everything through. */
  static async start(target: string): Promise<Interceptor> {
    const server = createServer();
    await listen(server, 0);
    return new Interceptor(new URL(target), server, (server.address() as AddressInfo).port);
  }

  /** Applies `rule` to the requests that match; the latest rule wins. Returns how to take it back. */
  on(method: string, path: RegExp, rule: Rule): () => void {
    const entry = {
      matches: (request: InterceptedRequest) =>
        request.method === method && path.test(request.path),
      rule,
    };
    this.#rules.unshift(entry);
    return () => {
      const at = this.#rules.indexOf(entry);
      if (at !== -1) this.#rules.splice(at, 1);
    };
  }

  /** Keeps matching requests from the homeserver until `release` is called, then lets them through. */
  hold(method: string, path: RegExp): { readonly release: () => void } {
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    const remove = this.on(method, path, async (_request, forward) => {
      await opened;
      return forward();
    });
    return {
      release: () => {
        remove();
        open();
      },
    };
  }

  /** Lets the next matching request reach the homeserver but loses its answer. */
  loseNextAnswer(method: string, path: RegExp): void {
    const remove = this.on(method, path, async (_request, forward) => {
      remove();
      await forward();
      return "drop";
    });
  }

  /** Waits for a request, past or future. */
  waitForRequest(method: string, path: RegExp, timeoutMs?: number): Promise<InterceptedRequest> {
    return this.requests.find(
      `a request ${method} ${String(path)}`,
      (request) => request.method === method && path.test(request.path),
      timeoutMs,
    );
  }

  /** Cuts the wire: every connection breaks and new ones are refused. */
  async cut(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** Mends a wire that was cut, on the same port. */
  async mend(): Promise<void> {
    await listen(this.#server, this.#port);
  }

  /** Ends it. */
  async stop(): Promise<void> {
    if (this.#server.listening) await this.cut();
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readAll(incoming);
    const request: InterceptedRequest = {
      method: incoming.method ?? "",
      path: incoming.url ?? "",
      headers: incoming.headers,
      body: body.toString("utf8"),
    };
    this.requests.push(request);
    const gone = new AbortController();
    response.once("close", () => {
      gone.abort();
    });
    const forward = (): Promise<InterceptedAnswer> => this.#forward(request, body, gone.signal);
    const entry = this.#rules.find(({ matches }) => matches(request));
    const answer = await (entry === undefined ? forward() : entry.rule(request, forward));
    if (answer === "drop") {
      response.destroy();
      return;
    }
    const length = request.method === "HEAD" ? {} : { "content-length": answer.body.length };
    response.writeHead(answer.status, { ...endToEnd(answer.headers), ...length });
    response.end(answer.body);
  }

  #forward(
    request: InterceptedRequest,
    body: Buffer,
    signal: AbortSignal,
  ): Promise<InterceptedAnswer> {
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest(
        {
          host: this.#target.hostname,
          port: this.#target.port,
          method: request.method,
          path: request.path,
          headers: {
            ...endToEnd(request.headers),
            ...(body.length === 0 ? {} : { "content-length": body.length }),
          },
          // A connection of its own: a kept one that the other side has just closed fails at random.
          agent: false,
          signal,
        },
        (answer) => {
          readAll(answer).then((content) => {
            resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: content });
          }, reject);
        },
      );
      outgoing.once("error", reject);
      outgoing.end(body);
    });
  }
}

/** An answer with a JSON body, for rules that answer in the homeserver's place. */
export function jsonAnswer(status: number, body: unknown): InterceptedAnswer {
  const text = Buffer.from(JSON.stringify(body));
  return { status, headers: { "content-type": "application/json" }, body: text };
}

/** Headers without those that belong to one connection. */
function endToEnd(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const kept = { ...headers };
  delete kept["transfer-encoding"];
  delete kept.connection;
  delete kept["keep-alive"];
  return kept;
}

async function readAll(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      server.off("error", reject);
      resolve();
    });
  });
}
