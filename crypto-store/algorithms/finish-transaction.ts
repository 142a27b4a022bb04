import type { IDBTransaction } from "../indexeddb/idb-transaction.ts";

/** Ends a transaction's life: the connection is free for the next one. */
export function finishTransaction(transaction: IDBTransaction): void {
  transaction.state = "finished";
  transaction.backend.scheduler.finish(transaction);
}
