import { IDBRequest, type RequestSource } from "../indexeddb/idb-request.ts";
import type { IDBTransaction } from "../indexeddb/idb-transaction.ts";

/**
 * Places a request at the end of its transaction's list. The caller has checked that the transaction is active.
 *
 * @param operation - Runs when the request's turn comes; what it returns is the result, what it throws is the error.
 * @see https://www.w3.org/TR/IndexedDB/#asynchronously-execute-a-request
 */
export function placeRequest(
  transaction: IDBTransaction,
  source: RequestSource,
  operation: () => unknown,
  request: IDBRequest = new IDBRequest(source, transaction),
): IDBRequest {
  transaction.requests.push({ request, operation });
  return request;
}
