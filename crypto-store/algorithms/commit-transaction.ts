import { StoreEvent } from "../indexeddb/event.ts";
import type { IDBTransaction } from "../indexeddb/idb-transaction.ts";
import { abortTransaction } from "./abort-transaction.ts";
import { fireEvent } from "./fire-event.ts";

/**
 * Commits a transaction whose requests have all run: what it wrote is on the disk before `complete` is fired.
 *
 * @see https://www.w3.org/TR/IndexedDB/#commit-a-transaction
 */
export function commitTransaction(transaction: IDBTransaction): void {
  transaction.state = "committing";
  if (transaction.hasBegun) {
    try {
      transaction.backend.commit();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      abortTransaction(
        transaction,
        new DOMException(`${transaction.backend.path}: cannot commit: ${reason}`, {
          name: "UnknownError",
          cause,
        }),
      );
      return;
    }
  }
  transaction.state = "finished";
  transaction.backend.scheduler.finish(transaction);
  transaction.db.beforeLastEvent(transaction);
  fireEvent(new StoreEvent("complete"), transaction);
  transaction.db.afterTransaction(transaction, "complete");
}
