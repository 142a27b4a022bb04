import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Homeserver } from "../../../proxy/homeserver/homeserver.ts";

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** What was asked: the token, and the query where there was one. */
export interface Question {
  readonly token: string;
  readonly query: string;
}

export const UNKNOWN_TOKEN: Answer = {
  status: 401,
  body: { errcode: "M_UNKNOWN_TOKEN", error: "no such token" },
};

export const owner = (userId: string, deviceId?: string): Answer => ({
  status: 200,
  body: { user_id: userId, ...(deviceId === undefined ? {} : { device_id: deviceId }) },
});

/** A homeserver that answers whoami, and nothing else. */
export class WhoamiServer {
  readonly homeserver: Homeserver;
  readonly questions: Question[] = [];
  /** By token; a token that is not here is unknown. */
  readonly answers = new Map<string, Answer>();
  readonly #server: Server;
  #held: (() => void)[] | null = null;
  #arrived: (() => void) | null = null;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.homeserver = new Homeserver({
      url: new URL(`http://127.0.0.1:${port}`),
      tls: { verify: true },
      timeoutMs: 30_000,
    });
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      this.#onRequest(request, response);
    });
  }

  static async start(): Promise<WhoamiServer> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new WhoamiServer(server, (server.address() as AddressInfo).port);
  }

  /** From now on questions wait until {@link release}. */
  hold(): void {
    this.#held = [];
  }

  /** Answers all that wait, by what {@link answers} said when they came. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const answer of held) answer();
  }

  /** Resolves when this many questions have come. */
  async asked(count: number): Promise<void> {
    while (this.questions.length < count) {
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
  }

  /** After this nothing listens on the port. */
  async stop(): Promise<void> {
    this.release();
    await this.homeserver.close();
    await this.goDown();
  }

  async goDown(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const [path, query = ""] = (request.url ?? "").split("?");
    const token = (request.headers.authorization ?? "").replace(/^Bearer /, "");
    const isWhoami = request.method === "GET" && path === "/_matrix/client/v3/account/whoami";
    const answer = isWhoami
      ? (this.answers.get(token) ?? UNKNOWN_TOKEN)
      : { status: 404, body: { errcode: "M_UNRECOGNIZED", error: "not here" } };
    this.questions.push({ token, query });
    const send = (): void => {
      response.writeHead(answer.status, { "content-type": "application/json" });
      response.end(typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body));
    };
    if (this.#held === null) send();
    else this.#held.push(send);
    this.#arrived?.();
  }
}
