import { EVERYTHING, IDBKeyRange, spanOf } from "../indexeddb/idb-key-range.ts";
import type { KeySpan } from "../sqlite/records.ts";
import { convertValueToKey } from "./convert-value-to-key.ts";
import { encodeKey } from "./key-bytes.ts";

/**
 * Reads a query (a key or a key range) as a range of encoded keys.
 *
 * @param whenAbsent - What an absent query means: everything, or an error.
 * @throws DOMException `DataError` when the query is no key, or absent where it must not be.
 * @see https://www.w3.org/TR/IndexedDB/#convert-a-value-to-a-key-range
 */
export function convertValueToSpan(query: unknown, whenAbsent: "everything" | "error"): KeySpan {
  if (query instanceof IDBKeyRange) return query.span;
  if (query === undefined || query === null) {
    if (whenAbsent === "everything") return EVERYTHING;
    throw new DOMException("expected a key or a key range, got none", "DataError");
  }
  return spanOf(encodeKey(convertValueToKey(query)));
}
