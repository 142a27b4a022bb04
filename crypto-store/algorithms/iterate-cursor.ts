import type { IDBIndex } from "../indexeddb/idb-index.ts";
import { spanOf } from "../indexeddb/idb-key-range.ts";
import type { IDBObjectStore } from "../indexeddb/idb-object-store.ts";
import { BEFORE_ALL_KEYS, type EntryRow, type KeySpan, type Records } from "../sqlite/records.ts";

/** Where a cursor stands. For a cursor over an object store both keys are the same. */
export type CursorPosition = EntryRow;

/**
 * The first record of `span` after `position`, or null when there is none.
 *
 * Each step looks anew, so that a cursor sees what its own transaction has changed ahead of it.
 *
 * @see https://www.w3.org/TR/IndexedDB/#iterate-a-cursor
 */
export function iterateCursor(
  records: Records,
  source: IDBObjectStore | IDBIndex,
  span: KeySpan,
  position: CursorPosition | null,
): CursorPosition | null {
  if ("objectStore" in source) {
    const key = position?.key ?? span.lower;
    const recordKey = position?.recordKey ?? BEFORE_ALL_KEYS;
    return (
      records.entryAfter(
        source.objectStore.entry.id,
        source.entry.id,
        key,
        recordKey,
        span.upper,
      ) ?? null
    );
  }
  const lower = position === null ? span.lower : spanOf(position.key).upper;
  const row = records.first(source.entry.id, { lower, upper: span.upper });
  return row === undefined ? null : { key: row.key, recordKey: row.key, value: row.value };
}
