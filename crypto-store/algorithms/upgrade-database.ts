import type { IDBDatabase } from "../indexeddb/idb-database.ts";
import type { IDBOpenDBRequest } from "../indexeddb/idb-open-db-request.ts";
import { IDBTransaction } from "../indexeddb/idb-transaction.ts";
import { IDBVersionChangeEvent } from "../indexeddb/idb-version-change-event.ts";
import { abortTransaction } from "./abort-transaction.ts";
import { fireEvent } from "./fire-event.ts";
import { stepTransaction } from "./run-transaction.ts";

/**
 * Runs an upgrade: the new version, the object stores and the records change in one transaction or not at all.
 *
 * @param done - Called in a task of its own after the last event of the transaction.
 * @see https://www.w3.org/TR/IndexedDB/#upgrade-a-database
 */
export function upgradeDatabase(
  connection: IDBDatabase,
  version: number,
  request: IDBOpenDBRequest,
  done: (outcome: IDBDatabase | DOMException) => void,
): void {
  const { backend, entry } = connection;
  const oldVersion = entry.version;
  const start = (): void => {
    backend.begin();
    transaction.hasBegun = true;
    entry.id = backend.catalog.saveVersion(entry.name, version);
    connection.setVersion(version);
    request.settle(connection, null);
    request.transaction = transaction;
    transaction.state = "active";
    const event = new IDBVersionChangeEvent("upgradeneeded", { oldVersion, newVersion: version });
    const didThrow = fireEvent(event, request);
    if (didThrow && !isOver(transaction)) {
      abortTransaction(
        transaction,
        new DOMException("the upgradeneeded handler threw", "AbortError"),
      );
    }
    setImmediate(stepTransaction, transaction);
  };
  const transaction = new IDBTransaction(connection, "versionchange", new Map(entry.stores), {
    request,
    onStart: start,
  });
  transaction.state = "inactive";
  connection.upgrade = transaction;
  connection.onUpgradeOver = (outcome) => {
    request.transaction = null;
    if (outcome === "abort") request.reopen();
    if (outcome === "abort" || connection.isClosePending) connection.close();
    setImmediate(() => {
      done(
        outcome === "complete" && !connection.isClosePending
          ? connection
          : new DOMException("the upgrade was aborted or its connection closed", "AbortError"),
      );
    });
  };
  connection.begin(transaction);
}

function isOver(transaction: IDBTransaction): boolean {
  return transaction.state === "finished";
}
