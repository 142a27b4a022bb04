import { placeRequest } from "../algorithms/asynchronously-execute-request.ts";
import { deserializeValue, serializeValue } from "../algorithms/clone-value.ts";
import { convertValueToKey } from "../algorithms/convert-value-to-key.ts";
import { convertValueToSpan } from "../algorithms/convert-value-to-span.ts";
import { readLimit } from "../algorithms/enforce-range.ts";
import { validateKeyPath } from "../algorithms/evaluate-key-path.ts";
import { decodeKey, encodeKey } from "../algorithms/key-bytes.ts";
import { buildIndex, deleteRecords, storeRecord } from "../algorithms/store-record.ts";
import type { StoreEntry } from "../sqlite/catalog.ts";
import { DOMStringList } from "./dom-string-list.ts";
import { openCursor } from "./idb-cursor.ts";
import { IDBIndex } from "./idb-index.ts";
import { EVERYTHING } from "./idb-key-range.ts";
import type { IDBRequest } from "./idb-request.ts";
import type { IDBTransaction } from "./idb-transaction.ts";
import { notSupported, refuseMethods } from "./refuse.ts";

/**
 * An object store as one transaction sees it. Keys are out of line.
 *
 * Every method throws `InvalidStateError` when the store was deleted and `TransactionInactiveError` when the transaction is not
 * active; those that write throw `ReadOnlyError` in a readonly transaction; those with a key throw `DataError` for none.
 *
 * @see https://www.w3.org/TR/IndexedDB/#object-store-interface
 */
export class IDBObjectStore {
  readonly transaction: IDBTransaction;
  readonly keyPath = null;
  readonly autoIncrement = false;
  /** @internal */
  readonly entry: StoreEntry;
  readonly #indexes = new Map<string, IDBIndex>();

  /** @internal */
  constructor(transaction: IDBTransaction, entry: StoreEntry) {
    this.transaction = transaction;
    this.entry = entry;
  }

  get name(): string {
    return this.entry.name;
  }

  get indexNames(): DOMStringList {
    return new DOMStringList(this.entry.deleted ? [] : this.entry.indexes.keys());
  }

  put(value: unknown, key?: unknown): IDBRequest {
    return this.#store(value, key, "always");
  }

  /** The request fails with `ConstraintError` when the key is taken. */
  add(value: unknown, key?: unknown): IDBRequest {
    return this.#store(value, key, "never");
  }

  get(query: unknown): IDBRequest {
    this.requireUsable();
    const span = convertValueToSpan(query, "error");
    return this.#place((records) => {
      const value = records.value(this.entry.id, span);
      return value === undefined ? undefined : deserializeValue(value);
    });
  }

  /** @param count - At most so many; absent or 0: all. */
  getAll(query?: unknown, count?: unknown): IDBRequest {
    this.requireUsable();
    const span = convertValueToSpan(query, "everything");
    const limit = readLimit(count);
    return this.#place((records) =>
      records.values(this.entry.id, span, limit).map(deserializeValue),
    );
  }

  /** @param count - At most so many; absent or 0: all. */
  getAllKeys(query?: unknown, count?: unknown): IDBRequest {
    this.requireUsable();
    const span = convertValueToSpan(query, "everything");
    const limit = readLimit(count);
    return this.#place((records) => records.keys(this.entry.id, span, limit).map(decodeKey));
  }

  count(query?: unknown): IDBRequest {
    this.requireUsable();
    const span = convertValueToSpan(query, "everything");
    return this.#place((records) => records.count(this.entry.id, span));
  }

  delete(query: unknown): IDBRequest {
    this.requireUsable();
    this.#requireWritable();
    const span = convertValueToSpan(query, "error");
    return this.#place((records) => {
      deleteRecords(records, this.entry, span);
      return undefined;
    });
  }

  clear(): IDBRequest {
    this.requireUsable();
    this.#requireWritable();
    return this.#place((records) => {
      deleteRecords(records, this.entry, EVERYTHING);
      return undefined;
    });
  }

  /** Ascending only. */
  openCursor(query?: unknown, direction: unknown = "next"): IDBRequest {
    this.requireUsable();
    const span = convertValueToSpan(query, "everything");
    return openCursor(this, span, direction);
  }

  /** @throws DOMException `NotFoundError` for an unknown index, `InvalidStateError` when the transaction is over. */
  index(name: string): IDBIndex {
    if (this.entry.deleted || this.transaction.state === "finished") {
      throw new DOMException(
        "the object store was deleted or the transaction is over",
        "InvalidStateError",
      );
    }
    const entry = this.entry.indexes.get(name);
    if (entry === undefined) {
      throw new DOMException(`no index "${name}" on object store "${this.name}"`, "NotFoundError");
    }
    let handle = this.#indexes.get(name);
    if (handle === undefined) {
      handle = new IDBIndex(this, entry);
      this.#indexes.set(name, handle);
    }
    return handle;
  }

  /**
   * @throws DOMException `InvalidStateError` outside an upgrade, `ConstraintError` when the name is taken, `SyntaxError` for a
   * bad key path, `NotSupportedError` for multiEntry.
   */
  createIndex(
    name: string,
    keyPath: unknown,
    options?: { readonly unique?: boolean; readonly multiEntry?: boolean } | null,
  ): IDBIndex {
    const { transaction, entry } = this;
    if (transaction.mode !== "versionchange") {
      throw new DOMException("indexes change in an upgrade only", "InvalidStateError");
    }
    this.requireUsable();
    if (entry.indexes.has(name)) {
      throw new DOMException(`index "${name}" is there already`, "ConstraintError");
    }
    const path = validateKeyPath(keyPath);
    if (options?.multiEntry === true) throw notSupported("a multiEntry index");
    const { catalog, records } = transaction.backend;
    const index = catalog.createIndex(entry.id, name, path, options?.unique === true);
    entry.indexes.set(name, index);
    // In its turn among the requests: those before it do not know the index, a failure aborts the upgrade.
    transaction.requests.push({
      request: null,
      operation: () => buildIndex(records, entry, index, EVERYTHING),
    });
    return this.index(name);
  }

  /** @internal */
  requireUsable(): void {
    if (this.entry.deleted) {
      throw new DOMException("the object store was deleted", "InvalidStateError");
    }
    this.transaction.requireActive();
  }

  #requireWritable(): void {
    if (this.transaction.mode === "readonly") {
      throw new DOMException("the transaction is read-only", "ReadOnlyError");
    }
  }

  #store(value: unknown, key: unknown, overwrite: "always" | "never"): IDBRequest {
    this.requireUsable();
    this.#requireWritable();
    if (key === undefined) throw new DOMException("expected a key, got none", "DataError");
    const validKey = convertValueToKey(key);
    const keyBytes = encodeKey(validKey);
    const valueBytes = this.cloneValue(value);
    return this.#place((records) => {
      storeRecord(records, this.entry, keyBytes, valueBytes, overwrite);
      return validKey;
    });
  }

  /** Clones a value; getters that the clone calls find the transaction inactive. @internal */
  cloneValue(value: unknown): Buffer {
    const { transaction } = this;
    transaction.state = "inactive";
    try {
      return serializeValue(value);
    } finally {
      transaction.state = "active";
    }
  }

  #place(operation: (records: IDBTransaction["backend"]["records"]) => unknown): IDBRequest {
    const { records } = this.transaction.backend;
    return placeRequest(this.transaction, this, () => operation(records));
  }
}

refuseMethods(IDBObjectStore, ["getKey", "getAllRecords", "openKeyCursor", "deleteIndex"]);
