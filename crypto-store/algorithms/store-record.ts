import { spanOf } from "../indexeddb/idb-key-range.ts";
import type { IndexEntry, StoreEntry } from "../sqlite/catalog.ts";
import type { KeySpan, Records } from "../sqlite/records.ts";
import { deserializeValue } from "./clone-value.ts";
import { extractKey } from "./evaluate-key-path.ts";
import { encodeKey } from "./key-bytes.ts";

/**
 * Stores a record and its index entries, or nothing.
 *
 * @throws DOMException `ConstraintError` when the key is taken and `overwrite` is "never", or when a unique index has another
 * record under the same key.
 * @see https://www.w3.org/TR/IndexedDB/#store-a-record-into-an-object-store
 */
export function storeRecord(
  records: Records,
  store: StoreEntry,
  key: Buffer,
  value: Buffer,
  overwrite: "always" | "never",
): void {
  const entries = store.indexes.size === 0 ? [] : entriesOf(store, value);
  if (overwrite === "never" && records.value(store.id, spanOf(key)) !== undefined) {
    throw new DOMException("a record with this key is there already", "ConstraintError");
  }
  for (const { index, entryKey } of entries) {
    if (
      index.unique &&
      entryKey !== null &&
      records.hasOtherEntry(index.id, spanOf(entryKey), key)
    ) {
      throw new DOMException(
        `another record has the same key in index "${index.name}"`,
        "ConstraintError",
      );
    }
  }
  records.upsert(store.id, key, value);
  for (const { index, entryKey } of entries) {
    if (entryKey === null) records.removeEntries(index.id, spanOf(key));
    else records.putEntry(index.id, key, entryKey);
  }
}

/** @see https://www.w3.org/TR/IndexedDB/#delete-records-from-an-object-store */
export function deleteRecords(records: Records, store: StoreEntry, span: KeySpan): void {
  for (const index of store.indexes.values()) {
    if (index.ready) records.removeEntries(index.id, span);
  }
  records.remove(store.id, span);
}

/**
 * Fills a new index from the records that are there when its turn comes.
 *
 * @throws DOMException `ConstraintError` when two records have the same key in a unique index.
 * @see https://www.w3.org/TR/IndexedDB/#dom-idbobjectstore-createindex
 */
export function buildIndex(
  records: Records,
  store: StoreEntry,
  index: IndexEntry,
  everything: KeySpan,
): void {
  for (const key of records.keys(store.id, everything, -1)) {
    const value = records.value(store.id, spanOf(key));
    const found = value === undefined ? null : extractKey(deserializeValue(value), index.keyPath);
    if (found === null) continue;
    const entryKey = encodeKey(found);
    if (index.unique && records.hasOtherEntry(index.id, spanOf(entryKey), key)) {
      throw new DOMException(
        `two records have the same key in index "${index.name}"`,
        "ConstraintError",
      );
    }
    records.putEntry(index.id, key, entryKey);
  }
  index.ready = true;
}

interface NewEntry {
  readonly index: IndexEntry;
  readonly entryKey: Buffer | null;
}

function entriesOf(store: StoreEntry, value: Buffer): NewEntry[] {
  // Key paths are evaluated on the clone, where reading a property has no side effects.
  const clone = deserializeValue(value);
  const entries: NewEntry[] = [];
  for (const index of store.indexes.values()) {
    if (!index.ready) continue;
    const found = extractKey(clone, index.keyPath);
    entries.push({ index, entryKey: found === null ? null : encodeKey(found) });
  }
  return entries;
}
