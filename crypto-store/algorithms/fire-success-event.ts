import { StoreEvent } from "../indexeddb/event.ts";
import type { IDBRequest } from "../indexeddb/idb-request.ts";
import type { IDBTransaction } from "../indexeddb/idb-transaction.ts";
import { abortTransaction } from "./abort-transaction.ts";
import { fireEvent } from "./fire-event.ts";

/** @see https://www.w3.org/TR/IndexedDB/#fire-a-success-event */
export function fireSuccessEvent(transaction: IDBTransaction, request: IDBRequest): void {
  if (transaction.state === "inactive") transaction.state = "active";
  const didThrow = fireEvent(new StoreEvent("success"), request);
  if (didThrow && transaction.state === "active") {
    abortTransaction(transaction, new DOMException("a success handler threw", "AbortError"));
  }
}
