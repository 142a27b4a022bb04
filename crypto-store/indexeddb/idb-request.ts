import { EventNode, type EventHandler } from "./event.ts";
import type { IDBCursor } from "./idb-cursor.ts";
import type { IDBIndex } from "./idb-index.ts";
import type { IDBObjectStore } from "./idb-object-store.ts";
import type { IDBTransaction } from "./idb-transaction.ts";
import { refuseMethods } from "./refuse.ts";

/** What a request was placed against. */
export type RequestSource = IDBObjectStore | IDBIndex | IDBCursor | null;

/**
 * One request and its outcome.
 *
 * @see https://www.w3.org/TR/IndexedDB/#request-api
 */
export class IDBRequest extends EventNode {
  readonly source: RequestSource;
  transaction: IDBTransaction | null;
  onsuccess: EventHandler = null;
  onerror: EventHandler = null;
  #isDone = false;
  #result: unknown = undefined;
  #error: DOMException | null = null;

  /** @internal */
  constructor(source: RequestSource, transaction: IDBTransaction | null) {
    super();
    this.source = source;
    this.transaction = transaction;
  }

  get readyState(): "pending" | "done" {
    return this.#isDone ? "done" : "pending";
  }

  /** @throws DOMException `InvalidStateError` while the request is pending. */
  get result(): unknown {
    this.#requireDone();
    return this.#result;
  }

  /** @throws DOMException `InvalidStateError` while the request is pending. */
  get error(): DOMException | null {
    this.#requireDone();
    return this.#error;
  }

  /** @internal */
  settle(result: unknown, error: DOMException | null): void {
    this.#isDone = true;
    this.#result = result;
    this.#error = error;
  }

  /** A cursor uses its request again and again. @internal */
  reopen(): void {
    this.#isDone = false;
    this.#result = undefined;
    this.#error = null;
  }

  /** @internal */
  override get parentNode(): EventNode | null {
    return this.transaction;
  }

  /** @internal */
  override handlerFor(type: string): EventHandler {
    if (type === "success") return this.onsuccess;
    return type === "error" ? this.onerror : null;
  }

  #requireDone(): void {
    if (!this.#isDone) throw new DOMException("the request is still pending", "InvalidStateError");
  }
}

refuseMethods(IDBRequest, ["addEventListener", "removeEventListener", "dispatchEvent"]);
