import { StoreEvent } from "../indexeddb/event.ts";
import type { IDBRequest } from "../indexeddb/idb-request.ts";
import type { IDBTransaction } from "../indexeddb/idb-transaction.ts";
import { abortTransaction } from "./abort-transaction.ts";
import { fireEvent } from "./fire-event.ts";

/**
 * Fires the error event of a failed request; the transaction is aborted unless a handler prevents it.
 *
 * @param isFatal - The failure is the file's, not the caller's: half of a change may have been made, so it is aborted anyway.
 * @see https://www.w3.org/TR/IndexedDB/#fire-an-error-event
 */
export function fireErrorEvent(
  transaction: IDBTransaction,
  request: IDBRequest,
  error: DOMException,
  isFatal: boolean,
): void {
  if (transaction.state === "inactive") transaction.state = "active";
  const event = new StoreEvent("error", { bubbles: true, cancelable: true });
  const didThrow = fireEvent(event, request);
  if (isOver(transaction)) return;
  if (didThrow) {
    abortTransaction(transaction, new DOMException("an error handler threw", "AbortError"));
  } else if (!event.defaultPrevented || isFatal) {
    abortTransaction(transaction, error);
  }
}

function isOver(transaction: IDBTransaction): boolean {
  return transaction.state === "finished";
}
