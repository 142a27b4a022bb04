import type { Backend, OpenableDatabase } from "../backend.ts";
import { EVERYTHING } from "./idb-key-range.ts";
import type { DatabaseEntry, StoreEntry } from "../sqlite/catalog.ts";
import { DOMStringList } from "./dom-string-list.ts";
import { EventNode, type EventHandler } from "./event.ts";
import type { IDBObjectStore } from "./idb-object-store.ts";
import { IDBTransaction } from "./idb-transaction.ts";
import type { IDBVersionChangeEvent } from "./idb-version-change-event.ts";
import { notSupported, refuseMethods } from "./refuse.ts";

/**
 * A connection to a database.
 *
 * @see https://www.w3.org/TR/IndexedDB/#database-interface
 */
export class IDBDatabase extends EventNode {
  readonly name: string;
  onabort: EventHandler = null;
  onclose: EventHandler = null;
  onerror: EventHandler = null;
  onversionchange: EventHandler<IDBVersionChangeEvent> = null;

  /** @internal */
  readonly backend: Backend;
  /** @internal */
  readonly entry: DatabaseEntry;
  /** Set by close(): no new transactions. @internal */
  isClosePending = false;
  /** The running upgrade of this connection. @internal */
  upgrade: IDBTransaction | null = null;
  /** Called when an upgrade's last event has been fired. @internal */
  onUpgradeOver: ((outcome: "complete" | "abort") => void) | null = null;
  /** Called when the connection is closed and its transactions are over. @internal */
  onClosed: (() => void)[] = [];
  readonly #openable: OpenableDatabase;
  #version: number;
  #unfinished = 0;

  /** @internal */
  constructor(backend: Backend, openable: OpenableDatabase, entry: DatabaseEntry, name: string) {
    super();
    this.backend = backend;
    this.#openable = openable;
    this.entry = entry;
    this.name = name;
    this.#version = entry.version;
  }

  get version(): number {
    return this.#version;
  }

  get objectStoreNames(): DOMStringList {
    return new DOMStringList(this.entry.stores.keys());
  }

  /**
   * @throws DOMException `InvalidStateError` outside an upgrade, `TransactionInactiveError`, `ConstraintError` when the name is
   * taken, `NotSupportedError` for a key path or a key generator.
   */
  createObjectStore(
    name: string,
    options?: { readonly keyPath?: unknown; readonly autoIncrement?: boolean } | null,
  ): IDBObjectStore {
    const transaction = this.#requireUpgrade();
    if (options?.keyPath !== undefined && options.keyPath !== null) {
      throw notSupported("an object store's key path");
    }
    if (options?.autoIncrement === true) throw notSupported("a key generator (autoIncrement)");
    if (this.entry.stores.has(name)) {
      throw new DOMException(`object store "${name}" is there already`, "ConstraintError");
    }
    const store = this.backend.catalog.createStore(this.entry.id, name);
    this.entry.stores.set(name, store);
    transaction.changeScope(name, store);
    return transaction.objectStore(name);
  }

  /** @throws DOMException `InvalidStateError` outside an upgrade, `TransactionInactiveError`, `NotFoundError`. */
  deleteObjectStore(name: string): void {
    const transaction = this.#requireUpgrade();
    const store = this.entry.stores.get(name);
    if (store === undefined) {
      throw new DOMException(`no object store "${name}"`, "NotFoundError");
    }
    store.deleted = true;
    this.entry.stores.delete(name);
    transaction.changeScope(name, null);
    this.backend.catalog.deleteStore(store.id);
    const { records } = this.backend;
    // Requests placed before still find their records.
    transaction.requests.push({
      request: null,
      operation: () => {
        for (const index of store.indexes.values()) records.removeEntries(index.id, EVERYTHING);
        records.remove(store.id, EVERYTHING);
      },
    });
  }

  /**
   * @throws DOMException `InvalidStateError` during an upgrade or after close(), `NotFoundError` for an unknown store,
   * `InvalidAccessError` for an empty scope.
   */
  transaction(storeNames: string | Iterable<string>, mode = "readonly"): IDBTransaction {
    if (mode !== "readonly" && mode !== "readwrite") {
      throw new TypeError(`expected mode "readonly" or "readwrite", got "${mode}"`);
    }
    if (this.upgrade !== null) {
      throw new DOMException("an upgrade of this connection is running", "InvalidStateError");
    }
    if (this.isClosePending || this.backend.isClosing) {
      throw new DOMException("the connection is closed", "InvalidStateError");
    }
    const scope = new Map<string, StoreEntry>();
    for (const name of typeof storeNames === "string" ? [storeNames] : storeNames) {
      const store = this.entry.stores.get(name);
      if (store === undefined) {
        throw new DOMException(`no object store "${name}"`, "NotFoundError");
      }
      scope.set(name, store);
    }
    if (scope.size === 0) {
      throw new DOMException("expected at least one object store, got none", "InvalidAccessError");
    }
    const transaction = new IDBTransaction(this, mode, scope);
    this.begin(transaction);
    return transaction;
  }

  /** Closes the connection once its transactions are over. */
  close(): void {
    this.isClosePending = true;
    this.#closeWhenDone();
  }

  /** Hands a new transaction to the scheduler. @internal */
  begin(transaction: IDBTransaction): void {
    this.#unfinished += 1;
    this.backend.scheduler.add(transaction);
  }

  /** Called before the last event of a transaction is fired: its handler may start new ones. @internal */
  beforeLastEvent(transaction: IDBTransaction): void {
    if (transaction === this.upgrade) this.upgrade = null;
  }

  /** Called when the last event of a transaction has been fired. @internal */
  afterTransaction(transaction: IDBTransaction, outcome: "complete" | "abort"): void {
    this.#unfinished -= 1;
    if (transaction.mode === "versionchange") this.onUpgradeOver?.(outcome);
    this.#closeWhenDone();
  }

  /** Takes the new version over. @internal */
  setVersion(version: number): void {
    this.#version = version;
    this.entry.version = version;
  }

  /** Puts back in memory what an upgrade changed; the file has been rolled back already. @internal */
  revertUpgrade(transaction: IDBTransaction): void {
    const saved = this.backend.catalog.load(this.#openable.name);
    const stores = saved?.stores ?? new Map<string, StoreEntry>();
    for (const [name, store] of this.entry.stores) {
      if (stores.get(name)?.id !== store.id) store.deleted = true;
      transaction.changeScope(name, null);
    }
    for (const [name, store] of stores) transaction.changeScope(name, store);
    this.entry.stores = stores;
    this.setVersion(saved?.version ?? 0);
    if (saved === null) this.#openable.entry = null;
  }

  /** @internal */
  override get parentNode(): EventNode | null {
    return null;
  }

  /** @internal */
  override handlerFor(type: string): EventHandler {
    switch (type) {
      case "abort":
        return this.onabort;
      case "close":
        return this.onclose;
      case "error":
        return this.onerror;
      case "versionchange":
        return this.onversionchange as EventHandler;
      default:
        return null;
    }
  }

  #requireUpgrade(): IDBTransaction {
    if (this.upgrade === null) {
      throw new DOMException("object stores change in an upgrade only", "InvalidStateError");
    }
    this.upgrade.requireActive();
    return this.upgrade;
  }

  #closeWhenDone(): void {
    if (!this.isClosePending || this.#unfinished > 0) return;
    this.#openable.connections.delete(this);
    for (const callback of this.onClosed.splice(0)) callback();
  }
}

refuseMethods(IDBDatabase, ["addEventListener", "removeEventListener", "dispatchEvent"]);
