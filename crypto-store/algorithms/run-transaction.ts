import type { IDBTransaction, PlacedOperation } from "../indexeddb/idb-transaction.ts";
import { abortTransaction } from "./abort-transaction.ts";
import { commitTransaction } from "./commit-transaction.ts";
import { fireErrorEvent } from "./fire-error-event.ts";
import { fireSuccessEvent } from "./fire-success-event.ts";
import { isObserved } from "./fire-event.ts";

/**
 * One task of a running transaction: executes its requests up to and including the first whose outcome somebody listens to,
 * or commits when none is left.
 *
 * After an event the microtasks that it caused must run while the transaction is still active, so the next step is a task of
 * its own. An outcome that nobody listens to needs no such pause.
 *
 * @see https://www.w3.org/TR/IndexedDB/#transaction-lifecycle
 */
export function stepTransaction(transaction: IDBTransaction): void {
  if (transaction.state === "finished") return;
  if (transaction.state === "active") transaction.state = "inactive";
  for (;;) {
    const placed = transaction.requests.shift();
    if (placed === undefined) {
      commitTransaction(transaction);
      return;
    }
    if (execute(transaction, placed)) {
      setImmediate(stepTransaction, transaction);
      return;
    }
    if (isFinished(transaction)) return;
  }
}

/** @returns true when an event was fired. */
function execute(transaction: IDBTransaction, { request, operation }: PlacedOperation): boolean {
  let result: unknown;
  try {
    if (transaction.mode !== "readonly" && !transaction.hasBegun) {
      transaction.backend.begin();
      transaction.hasBegun = true;
    }
    result = operation();
  } catch (thrown) {
    const error = toDOMException(thrown, transaction.backend.path);
    if (request === null) {
      abortTransaction(transaction, error);
      return false;
    }
    request.settle(undefined, error);
    fireErrorEvent(transaction, request, error, error !== thrown);
    return true;
  }
  if (request === null) return false;
  request.settle(result, null);
  if (!isObserved("success", request, false)) return false;
  fireSuccessEvent(transaction, request);
  return true;
}

function toDOMException(thrown: unknown, path: string): DOMException {
  if (thrown instanceof DOMException) return thrown;
  const isFull = thrown instanceof Error && "code" in thrown && thrown.code === "SQLITE_FULL";
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new DOMException(`${path}: ${message}`, {
    name: isFull ? "QuotaExceededError" : "UnknownError",
    cause: thrown,
  });
}

// Read through a function: the compiler cannot see that an operation or a handler changes the state.
function isFinished(transaction: IDBTransaction): boolean {
  return transaction.state === "finished";
}
