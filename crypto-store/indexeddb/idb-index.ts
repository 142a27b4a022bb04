import { placeRequest } from "../algorithms/asynchronously-execute-request.ts";
import { deserializeValue } from "../algorithms/clone-value.ts";
import { convertValueToSpan } from "../algorithms/convert-value-to-span.ts";
import { readLimit } from "../algorithms/enforce-range.ts";
import { decodeKey } from "../algorithms/key-bytes.ts";
import type { IndexEntry, KeyPath } from "../sqlite/catalog.ts";
import type { Records } from "../sqlite/records.ts";
import { openCursor } from "./idb-cursor.ts";
import type { IDBObjectStore } from "./idb-object-store.ts";
import type { IDBRequest } from "./idb-request.ts";
import { refuseMethods } from "./refuse.ts";

/**
 * An index as one transaction sees it. Its methods throw as those of the object store do.
 *
 * @see https://www.w3.org/TR/IndexedDB/#index-interface
 */
export class IDBIndex {
  readonly objectStore: IDBObjectStore;
  readonly multiEntry = false;
  /** @internal */
  readonly entry: IndexEntry;

  /** @internal */
  constructor(objectStore: IDBObjectStore, entry: IndexEntry) {
    this.objectStore = objectStore;
    this.entry = entry;
  }

  get name(): string {
    return this.entry.name;
  }

  get keyPath(): KeyPath {
    return this.entry.keyPath;
  }

  get unique(): boolean {
    return this.entry.unique;
  }

  get(query: unknown): IDBRequest {
    this.objectStore.requireUsable();
    const span = convertValueToSpan(query, "error");
    return this.#place((records) => {
      const value = records.entryValue(this.objectStore.entry.id, this.entry.id, span);
      return value === undefined ? undefined : deserializeValue(value);
    });
  }

  /** @param count - At most so many; absent or 0: all. */
  getAll(query?: unknown, count?: unknown): IDBRequest {
    this.objectStore.requireUsable();
    const span = convertValueToSpan(query, "everything");
    const limit = readLimit(count);
    return this.#place((records) =>
      records
        .entryValues(this.objectStore.entry.id, this.entry.id, span, limit)
        .map(deserializeValue),
    );
  }

  /** The keys of the records, in the order of the index. */
  getAllKeys(query?: unknown, count?: unknown): IDBRequest {
    this.objectStore.requireUsable();
    const span = convertValueToSpan(query, "everything");
    const limit = readLimit(count);
    return this.#place((records) =>
      records.entryRecordKeys(this.entry.id, span, limit).map(decodeKey),
    );
  }

  count(query?: unknown): IDBRequest {
    this.objectStore.requireUsable();
    const span = convertValueToSpan(query, "everything");
    return this.#place((records) => records.entryCount(this.entry.id, span));
  }

  /** Ascending only. */
  openCursor(query?: unknown, direction: unknown = "next"): IDBRequest {
    this.objectStore.requireUsable();
    const span = convertValueToSpan(query, "everything");
    return openCursor(this, span, direction);
  }

  #place(operation: (records: Records) => unknown): IDBRequest {
    const { transaction } = this.objectStore;
    const { records } = transaction.backend;
    return placeRequest(transaction, this, () => operation(records));
  }
}

refuseMethods(IDBIndex, ["getKey", "getAllRecords", "openKeyCursor"]);
