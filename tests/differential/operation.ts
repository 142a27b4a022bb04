import type { IDBIndex } from "../../crypto-store/indexeddb/idb-index.ts";
import type { IDBObjectStore } from "../../crypto-store/indexeddb/idb-object-store.ts";
import type { IDBRequest } from "../../crypto-store/indexeddb/idb-request.ts";
import type { IDBTransaction } from "../../crypto-store/indexeddb/idb-transaction.ts";
import type { Operation, Query } from "./program.ts";

/** The static side of IDBKeyRange. */
export interface KeyRanges {
  bound(lower: unknown, upper: unknown, lowerOpen?: boolean, upperOpen?: boolean): unknown;
  lowerBound(lower: unknown, open?: boolean): unknown;
  upperBound(upper: unknown, open?: boolean): unknown;
}

/** Places the request that an operation describes; throws what the implementation throws. */
export function placeOperation(
  keyRange: KeyRanges,
  transaction: IDBTransaction,
  operation: Operation,
): IDBRequest {
  const store = transaction.objectStore(operation.store);
  switch (operation.op) {
    case "put":
      return store.put(operation.value, operation.key);
    case "add":
      return store.add(operation.value, operation.key);
    case "clear":
      return store.clear();
    case "delete":
      return store.delete(readQuery(keyRange, operation.query));
    default:
      return read(
        keyRange,
        operation.index === null ? store : store.index(operation.index),
        operation,
      );
  }
}

function read(
  keyRange: KeyRanges,
  source: IDBObjectStore | IDBIndex,
  operation: Exclude<Operation, { op: "put" | "add" | "delete" | "clear" }>,
): IDBRequest {
  const query = readQuery(keyRange, operation.query);
  switch (operation.op) {
    case "get":
      return source.get(query);
    case "count":
      return source.count(query);
    case "getAll":
      return source.getAll(query, operation.count);
    case "getAllKeys":
      return source.getAllKeys(query, operation.count);
    case "cursor":
      return source.openCursor(query);
  }
}

function readQuery(keyRange: KeyRanges, query: Query): unknown {
  if (query.kind === "none") return undefined;
  if (query.kind === "key") return query.key;
  if (query.upper === undefined) return keyRange.lowerBound(query.lower, query.lowerOpen);
  if (query.lower === undefined) return keyRange.upperBound(query.upper, query.upperOpen);
  return keyRange.bound(query.lower, query.upper, query.lowerOpen, query.upperOpen);
}
