import type { Database, Statement } from "better-sqlite3";

/** A half-open range of encoded keys: `lower <= key < upper`. */
export interface KeySpan {
  readonly lower: Buffer;
  readonly upper: Buffer;
}

/** One record as an index sees it. */
export interface EntryRow {
  readonly key: Buffer;
  readonly recordKey: Buffer;
  readonly value: Buffer;
}

/** One record of an object store. */
export interface RecordRow {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Larger than any encoded key. */
export const AFTER_ALL_KEYS: Buffer = Buffer.from([0xff]);
/** Not larger than any encoded key. */
export const BEFORE_ALL_KEYS: Buffer = Buffer.alloc(0);

const SPAN = "key >= ? AND key < ?";

/** The prepared statements over records and index entries. Keys are encoded, values are serialized. */
export class Records {
  readonly #value: Statement<[number, Buffer, Buffer], Buffer>;
  readonly #values: Statement<[number, Buffer, Buffer], Buffer>;
  readonly #keys: Statement<[number, Buffer, Buffer], Buffer>;
  readonly #count: Statement<[number, Buffer, Buffer], number>;
  readonly #after: Statement<[number, Buffer, Buffer], RecordRow>;
  readonly #insert: Statement<[number, Buffer, Buffer]>;
  readonly #upsert: Statement<[number, Buffer, Buffer]>;
  readonly #remove: Statement<[number, Buffer, Buffer]>;
  readonly #entryValue: Statement<[number, number, Buffer, Buffer], Buffer>;
  readonly #entryValues: Statement<[number, number, Buffer, Buffer], Buffer>;
  readonly #entryRecordKeys: Statement<[number, Buffer, Buffer], Buffer>;
  readonly #entryCount: Statement<[number, Buffer, Buffer], number>;
  readonly #entryAfter: Statement<[number, number, Buffer, Buffer, Buffer], EntryRow>;
  readonly #entryOwner: Statement<[number, Buffer, Buffer, Buffer], Buffer>;
  readonly #entryUpsert: Statement<[number, Buffer, Buffer]>;
  readonly #entryRemove: Statement<[number, Buffer, Buffer]>;

  constructor(database: Database) {
    const one = <P extends unknown[], R>(sql: string): Statement<P, R> =>
      database.prepare<P, R>(sql).pluck();
    const entries = "idb_entry e JOIN idb_record r ON r.store_id = ? AND r.key = e.record_key";
    const entrySpan = "e.index_id = ? AND e.key >= ? AND e.key < ?";
    this.#value = one(
      `SELECT value FROM idb_record WHERE store_id = ? AND ${SPAN} ORDER BY key LIMIT 1`,
    );
    this.#values = one(`SELECT value FROM idb_record WHERE store_id = ? AND ${SPAN} ORDER BY key`);
    this.#keys = one(`SELECT key FROM idb_record WHERE store_id = ? AND ${SPAN} ORDER BY key`);
    this.#count = one(`SELECT count(*) FROM idb_record WHERE store_id = ? AND ${SPAN}`);
    this.#after = database.prepare(
      `SELECT key, value FROM idb_record WHERE store_id = ? AND ${SPAN} ORDER BY key LIMIT 1`,
    );
    this.#insert = database.prepare(
      "INSERT INTO idb_record (store_id, key, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    );
    this.#upsert = database.prepare(
      "INSERT INTO idb_record (store_id, key, value) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
    );
    this.#remove = database.prepare(`DELETE FROM idb_record WHERE store_id = ? AND ${SPAN}`);
    this.#entryValue = one(
      `SELECT r.value FROM ${entries} WHERE ${entrySpan} ORDER BY e.key, e.record_key LIMIT 1`,
    );
    this.#entryValues = one(
      `SELECT r.value FROM ${entries} WHERE ${entrySpan} ORDER BY e.key, e.record_key`,
    );
    this.#entryRecordKeys = one(
      `SELECT record_key FROM idb_entry WHERE index_id = ? AND ${SPAN} ORDER BY key, record_key`,
    );
    this.#entryCount = one(`SELECT count(*) FROM idb_entry WHERE index_id = ? AND ${SPAN}`);
    this.#entryAfter = database.prepare(
      `SELECT e.key AS key, e.record_key AS recordKey, r.value AS value FROM ${entries}
       WHERE e.index_id = ? AND (e.key, e.record_key) > (?, ?) AND e.key < ? ORDER BY e.key, e.record_key LIMIT 1`,
    );
    this.#entryOwner = one(
      "SELECT record_key FROM idb_entry WHERE index_id = ? AND key >= ? AND key < ? AND record_key <> ? LIMIT 1",
    );
    this.#entryUpsert = database.prepare(
      `INSERT INTO idb_entry (index_id, record_key, key) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET key = excluded.key WHERE key <> excluded.key`,
    );
    this.#entryRemove = database.prepare(
      "DELETE FROM idb_entry WHERE index_id = ? AND record_key >= ? AND record_key < ?",
    );
  }

  /** The value of the first record in `span`. */
  value(storeId: number, span: KeySpan): Buffer | undefined {
    return this.#value.get(storeId, span.lower, span.upper);
  }

  /** Values in key order, at most `limit` of them; -1 for all. */
  values(storeId: number, span: KeySpan, limit: number): Buffer[] {
    return take(this.#values, limit, storeId, span.lower, span.upper);
  }

  keys(storeId: number, span: KeySpan, limit: number): Buffer[] {
    return take(this.#keys, limit, storeId, span.lower, span.upper);
  }

  count(storeId: number, span: KeySpan): number {
    return this.#count.get(storeId, span.lower, span.upper) ?? 0;
  }

  /** The first record in `span`, with its key. */
  first(storeId: number, span: KeySpan): RecordRow | undefined {
    return this.#after.get(storeId, span.lower, span.upper);
  }

  /** @returns false when a record with that key is there already; nothing is changed then. */
  insert(storeId: number, key: Buffer, value: Buffer): boolean {
    return this.#insert.run(storeId, key, value).changes === 1;
  }

  upsert(storeId: number, key: Buffer, value: Buffer): void {
    this.#upsert.run(storeId, key, value);
  }

  remove(storeId: number, span: KeySpan): void {
    this.#remove.run(storeId, span.lower, span.upper);
  }

  entryValue(storeId: number, indexId: number, span: KeySpan): Buffer | undefined {
    return this.#entryValue.get(storeId, indexId, span.lower, span.upper);
  }

  entryValues(storeId: number, indexId: number, span: KeySpan, limit: number): Buffer[] {
    return take(this.#entryValues, limit, storeId, indexId, span.lower, span.upper);
  }

  entryRecordKeys(indexId: number, span: KeySpan, limit: number): Buffer[] {
    return take(this.#entryRecordKeys, limit, indexId, span.lower, span.upper);
  }

  entryCount(indexId: number, span: KeySpan): number {
    return this.#entryCount.get(indexId, span.lower, span.upper) ?? 0;
  }

  /** The first entry after (`key`, `recordKey`) whose key is below `upper`. */
  entryAfter(
    storeId: number,
    indexId: number,
    key: Buffer,
    recordKey: Buffer,
    upper: Buffer,
  ): EntryRow | undefined {
    return this.#entryAfter.get(storeId, indexId, key, recordKey, upper);
  }

  /** Whether another record than `recordKey` has an entry in `span`. */
  hasOtherEntry(indexId: number, span: KeySpan, recordKey: Buffer): boolean {
    return this.#entryOwner.get(indexId, span.lower, span.upper, recordKey) !== undefined;
  }

  putEntry(indexId: number, recordKey: Buffer, key: Buffer): void {
    this.#entryUpsert.run(indexId, recordKey, key);
  }

  /** Removes the entries of the records whose keys are in `records`. */
  removeEntries(indexId: number, records: KeySpan): void {
    this.#entryRemove.run(indexId, records.lower, records.upper);
  }
}

/** At most `limit` rows, or all for -1. A bound LIMIT would have SQLite prepare the statement anew at each call. */
function take<P extends unknown[]>(
  statement: Statement<P, Buffer>,
  limit: number,
  ...values: P
): Buffer[] {
  if (limit === -1) return statement.all(...values);
  const rows: Buffer[] = [];
  for (const row of statement.iterate(...values)) {
    rows.push(row);
    if (rows.length === limit) break;
  }
  return rows;
}
