import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/**
 * The clients' connections, so that closing is quick and loses nothing: node:http would wait for connections that never sent a
 * request, and for those that are kept alive after the answer that was under way.
 */
export class Connections {
  readonly #responses = new Map<Socket, ServerResponse | null>();

  /** Begins to follow the connections of a server. */
  track(server: Server): void {
    server.on("connection", (socket: Socket) => {
      this.#responses.set(socket, null);
      socket.once("close", () => this.#responses.delete(socket));
    });
  }

  /** A request came in whose answer is `response`. */
  begin(socket: Socket, response: ServerResponse): void {
    this.#responses.set(socket, response);
  }

  /** Closes every idle connection at once and each other one after its answer. */
  drain(): void {
    for (const [socket, response] of this.#responses) {
      if (response === null || response.writableFinished) {
        socket.destroy();
        continue;
      }
      response.shouldKeepAlive = false;
      response.once("close", () => socket.end());
    }
  }

  /** Cuts off whatever is left. */
  destroy(): void {
    for (const socket of this.#responses.keys()) socket.destroy();
  }
}
