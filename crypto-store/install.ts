import { IDBCursor, IDBCursorWithValue } from "./indexeddb/idb-cursor.ts";
import { IDBDatabase } from "./indexeddb/idb-database.ts";
import { IDBFactory } from "./indexeddb/idb-factory.ts";
import { IDBIndex } from "./indexeddb/idb-index.ts";
import { IDBKeyRange } from "./indexeddb/idb-key-range.ts";
import { IDBObjectStore } from "./indexeddb/idb-object-store.ts";
import { IDBOpenDBRequest } from "./indexeddb/idb-open-db-request.ts";
import { IDBRequest } from "./indexeddb/idb-request.ts";
import { IDBTransaction } from "./indexeddb/idb-transaction.ts";
import { IDBVersionChangeEvent } from "./indexeddb/idb-version-change-event.ts";

const CLASSES = {
  IDBCursor,
  IDBCursorWithValue,
  IDBDatabase,
  IDBFactory,
  IDBIndex,
  IDBKeyRange,
  IDBObjectStore,
  IDBOpenDBRequest,
  IDBRequest,
  IDBTransaction,
  IDBVersionChangeEvent,
};

/**
 * Defines `indexedDB` and the IDB classes on `globalThis`, where the engine looks for them (it checks `instanceof`). Works in
 * the main thread and in workers, once each; calling it again changes nothing.
 */
export function installIndexedDB(): void {
  if (Reflect.get(globalThis, "IDBFactory") === IDBFactory) return;
  const globals = { ...CLASSES, indexedDB: new IDBFactory() };
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, {
      configurable: true,
      writable: true,
      enumerable: false,
      value,
    });
  }
}
