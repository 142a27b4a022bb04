import { abortTransaction } from "../algorithms/abort-transaction.ts";
import { stepTransaction } from "../algorithms/run-transaction.ts";
import type { Backend } from "../backend.ts";
import type { StoreEntry } from "../sqlite/catalog.ts";
import type { Turn } from "../sqlite/scheduler.ts";
import { DOMStringList } from "./dom-string-list.ts";
import { EventNode, type EventHandler } from "./event.ts";
import type { IDBDatabase } from "./idb-database.ts";
import { IDBObjectStore } from "./idb-object-store.ts";
import type { IDBOpenDBRequest } from "./idb-open-db-request.ts";
import type { IDBRequest } from "./idb-request.ts";
import { refuseMethods } from "./refuse.ts";

/** What a transaction may do. */
export type TransactionMode = "readonly" | "readwrite" | "versionchange";

/** A request in its transaction's list. Work without a request (building an index) fails the whole transaction. */
export interface PlacedOperation {
  readonly request: IDBRequest | null;
  readonly operation: () => unknown;
}

/**
 * A transaction, and its turn on the connection.
 *
 * @see https://www.w3.org/TR/IndexedDB/#transaction
 */
export class IDBTransaction extends EventNode implements Turn {
  readonly db: IDBDatabase;
  readonly mode: TransactionMode;
  onabort: EventHandler = null;
  oncomplete: EventHandler = null;
  onerror: EventHandler = null;
  error: DOMException | null = null;

  /** @internal */
  readonly backend: Backend;
  /** @internal */
  state: "active" | "inactive" | "committing" | "finished" = "active";
  /** Requests that have not run yet. @internal */
  readonly requests: PlacedOperation[] = [];
  /** Whether a SQLite transaction is open for this one. @internal */
  hasBegun = false;
  /** The open request of an upgrade. @internal */
  readonly openRequest: IDBOpenDBRequest | null;
  /** What `start` does in an upgrade, before the first step. @internal */
  readonly onStart: (() => void) | null;
  readonly #scope: Map<string, StoreEntry>;
  readonly #handles = new Map<string, IDBObjectStore>();

  /** @internal */
  constructor(
    db: IDBDatabase,
    mode: TransactionMode,
    scope: Map<string, StoreEntry>,
    upgrade: { readonly request: IDBOpenDBRequest; readonly onStart: () => void } | null = null,
  ) {
    super();
    this.db = db;
    this.backend = db.backend;
    this.mode = mode;
    this.#scope = scope;
    this.openRequest = upgrade?.request ?? null;
    this.onStart = upgrade?.onStart ?? null;
  }

  get objectStoreNames(): DOMStringList {
    return new DOMStringList(this.#scope.keys());
  }

  /**
   * @throws DOMException `InvalidStateError` when the transaction is over, `NotFoundError` for a store outside its scope.
   */
  objectStore(name: string): IDBObjectStore {
    if (this.state === "finished") {
      throw new DOMException("the transaction is over", "InvalidStateError");
    }
    const entry = this.#scope.get(name);
    if (entry === undefined) {
      throw new DOMException(
        `no object store "${name}" in the scope of this transaction`,
        "NotFoundError",
      );
    }
    let handle = this.#handles.get(name);
    if (handle?.entry !== entry) {
      handle = new IDBObjectStore(this, entry);
      this.#handles.set(name, handle);
    }
    return handle;
  }

  /** @throws DOMException `InvalidStateError` when the transaction is not active. */
  commit(): void {
    if (this.state !== "active") {
      throw new DOMException("the transaction is not active", "InvalidStateError");
    }
    this.state = "committing";
  }

  /** @throws DOMException `InvalidStateError` when the transaction is committing or over. */
  abort(): void {
    if (this.state === "committing" || this.state === "finished") {
      throw new DOMException("the transaction is committing or over", "InvalidStateError");
    }
    abortTransaction(this, null);
  }

  /** @internal */
  requireActive(): void {
    if (this.state !== "active") {
      throw new DOMException("the transaction is not active", "TransactionInactiveError");
    }
  }

  /** Adds or removes a store that an upgrade has made or deleted. @internal */
  changeScope(name: string, entry: StoreEntry | null): void {
    if (entry === null) this.#scope.delete(name);
    else this.#scope.set(name, entry);
  }

  /** @internal */
  get writes(): boolean {
    return this.mode !== "readonly";
  }

  /** @internal */
  conflictsWith(other: Turn): boolean {
    if (!(other instanceof IDBTransaction)) return true;
    if (other.db.entry !== this.db.entry) return false;
    if (this.mode === "versionchange" || other.mode === "versionchange") return true;
    for (const name of other.#scope.keys()) if (this.#scope.has(name)) return true;
    return false;
  }

  /** @internal */
  start(): void {
    if (this.onStart === null) stepTransaction(this);
    else this.onStart();
  }

  /** @internal */
  override get parentNode(): EventNode | null {
    return this.db;
  }

  /** @internal */
  override handlerFor(type: string): EventHandler {
    if (type === "complete") return this.oncomplete;
    if (type === "abort") return this.onabort;
    return type === "error" ? this.onerror : null;
  }
}

refuseMethods(IDBTransaction, ["addEventListener", "removeEventListener", "dispatchEvent"]);
