import { StoreEvent } from "../indexeddb/event.ts";
import type { IDBTransaction } from "../indexeddb/idb-transaction.ts";
import { fireEvent } from "./fire-event.ts";

/**
 * Undoes what a transaction did and ends it. A readonly transaction has nothing to undo: the engine ends each of its reads this
 * way.
 *
 * @param error - Null when the caller asked for it.
 * @see https://www.w3.org/TR/IndexedDB/#abort-a-transaction
 */
export function abortTransaction(transaction: IDBTransaction, error: DOMException | null): void {
  if (transaction.hasBegun) transaction.backend.rollback();
  if (transaction.mode === "versionchange") transaction.db.revertUpgrade(transaction);
  transaction.error = error;
  transaction.state = "finished";
  for (const { request } of transaction.requests.splice(0)) {
    if (request === null) continue;
    setImmediate(() => {
      request.settle(undefined, new DOMException("the transaction was aborted", "AbortError"));
      fireEvent(new StoreEvent("error", { bubbles: true, cancelable: true }), request);
    });
  }
  setImmediate(() => {
    transaction.db.beforeLastEvent(transaction);
    fireEvent(new StoreEvent("abort", { bubbles: true }), transaction);
    // Only now, so that the next transaction's events come after this one's.
    transaction.backend.scheduler.finish(transaction);
    transaction.db.afterTransaction(transaction, "abort");
  });
}
