import type { IncomingMessage, ServerResponse } from "node:http";
import { MatrixError } from "../matrix/errors.ts";
import { masqueradeOf, tokenOf } from "./token-watch.ts";
import type { Masquerade, Sender } from "./token-watch.ts";

declare module "fastify" {
  interface FastifyRequest {
    exchange: Exchange;
  }
}

/** A client's request as it came over the wire, and the response it waits for. */
export class Exchange implements Sender {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The request target, byte for byte. */
  readonly target: string;
  readonly sentAtMs: number;
  #token: string | null | undefined;
  #body: Promise<Buffer> | null = null;
  #bodyRead: Buffer | null = null;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    target: string,
    sentAtMs: number,
  ) {
    this.request = request;
    this.response = response;
    this.target = target;
    this.sentAtMs = sentAtMs;
  }

  /** The client's access token; null when there is none. */
  get token(): string | null {
    if (this.#token === undefined) this.#token = tokenOf(this.request.headers, this.target);
    return this.#token;
  }

  /** Whom an application service speaks for. */
  get masquerade(): Masquerade {
    return masqueradeOf(this.target);
  }

  /** Whether the client sends a body at all. */
  get hasBody(): boolean {
    const length = this.request.headers["content-length"];
    return (
      (length !== undefined && length !== "0") ||
      this.request.headers["transfer-encoding"] !== undefined
    );
  }

  /** The whole body once {@link body} has read it: the stream is used up then. */
  get bodyRead(): Buffer | null {
    return this.#bodyRead;
  }

  /**
   * Reads the whole request body, once.
   *
   * @throws MatrixError 413 M_TOO_LARGE past `maxBytes`; the connection cannot be used again then
   */
  body(maxBytes: number): Promise<Buffer> {
    return (this.#body ??= this.#readBody(maxBytes));
  }

  async #readBody(maxBytes: number): Promise<Buffer> {
    if (!this.hasBody) return (this.#bodyRead = Buffer.alloc(0));
    const announced = Number(this.request.headers["content-length"] ?? 0);
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    if (announced <= maxBytes) {
      for await (const chunk of this.request as AsyncIterable<Buffer>) {
        sizeBytes += chunk.length;
        if (sizeBytes > maxBytes) break;
        chunks.push(chunk);
      }
    }
    if (announced > maxBytes || sizeBytes > maxBytes) {
      // What is left unread would be taken for the connection's next request.
      this.response.setHeader("connection", "close");
      throw new MatrixError(
        413,
        "M_TOO_LARGE",
        `expected a request body of at most ${maxBytes} bytes`,
      );
    }
    return (this.#bodyRead = Buffer.concat(chunks, sizeBytes));
  }
}
