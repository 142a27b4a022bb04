import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { AppserviceRegistration } from "../../../playground/index.ts";
import type { JsonObject } from "../../../playground/json.ts";

/** A transaction as it came. */
export interface Transaction {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: JsonObject;
}

/** The other end of an appservice: takes down what it is sent. */
export class Bridge {
  readonly transactions: Transaction[] = [];
  /** The status of answers from now on. */
  status = 200;
  readonly #server = createServer((request, response) => {
    void text(request).then((body) => {
      const path = request.url ?? "";
      const { authorization } = request.headers;
      this.transactions.push({ path, authorization, body: JSON.parse(body) as JsonObject });
      response.writeHead(this.status, { "Content-Type": "application/json" }).end("{}");
      for (const look of this.#looks) look();
    });
  });
  readonly #looks = new Set<() => void>();

  async start(): Promise<AppserviceRegistration> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const { port } = this.#server.address() as AddressInfo;
    return {
      id: "bridge",
      url: `http://127.0.0.1:${port}`,
      as_token: "as",
      hs_token: "hs",
      sender_localpart: "_bot",
      namespaces: { users: [{ exclusive: true, regex: "@_ghost_.*" }] },
      receive_ephemeral: true,
      "de.sorunome.msc2409.push_ephemeral": true,
      "org.matrix.msc3202": true,
    };
  }

  /** Resolves with the first transaction that passes. */
  async until(passes: (transaction: Transaction) => boolean): Promise<Transaction> {
    for (;;) {
      const found = this.transactions.find(passes);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        const look = (): void => {
          this.#looks.delete(look);
          resolve();
        };
        this.#looks.add(look);
      });
    }
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}
