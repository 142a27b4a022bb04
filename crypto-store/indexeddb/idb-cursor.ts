import { placeRequest } from "../algorithms/asynchronously-execute-request.ts";
import { deserializeValue } from "../algorithms/clone-value.ts";
import { iterateCursor, type CursorPosition } from "../algorithms/iterate-cursor.ts";
import { decodeKey, type Key } from "../algorithms/key-bytes.ts";
import { deleteRecords, storeRecord } from "../algorithms/store-record.ts";
import type { KeySpan } from "../sqlite/records.ts";
import type { IDBIndex } from "./idb-index.ts";
import { spanOf } from "./idb-key-range.ts";
import type { IDBObjectStore } from "./idb-object-store.ts";
import { IDBRequest } from "./idb-request.ts";
import { notSupported, refuseMethods } from "./refuse.ts";

/**
 * A walk over records in ascending order.
 *
 * @see https://www.w3.org/TR/IndexedDB/#cursor-interface
 */
export class IDBCursor {
  readonly source: IDBObjectStore | IDBIndex;
  readonly direction = "next";
  readonly request: IDBRequest;
  readonly #span: KeySpan;
  #position: CursorPosition | null = null;
  #hasValue = false;

  /** @internal */
  constructor(source: IDBObjectStore | IDBIndex, span: KeySpan) {
    this.source = source;
    this.#span = span;
    this.request = new IDBRequest(source, this.#store.transaction);
  }

  /** The key by which the records are walked. */
  get key(): Key | undefined {
    return this.#position === null ? undefined : decodeKey(this.#position.key);
  }

  /** The key of the record. */
  get primaryKey(): Key | undefined {
    return this.#position === null ? undefined : decodeKey(this.#position.recordKey);
  }

  /** @internal */
  protected get position(): CursorPosition | null {
    return this.#position;
  }

  /**
   * @throws DOMException `TransactionInactiveError`, `InvalidStateError` while the cursor is on its way or past the end,
   * `NotSupportedError` when given a key.
   */
  continue(key?: unknown): void {
    this.#requireUsable();
    this.#requireValue();
    if (key !== undefined) throw notSupported("IDBCursor.continue with a key");
    this.#hasValue = false;
    this.request.reopen();
    this.place();
  }

  /** Replaces the record's value. @throws DOMException as {@link IDBCursor.delete} does, and `DataCloneError`. */
  update(value: unknown): IDBRequest {
    const position = this.#requireWritable();
    const store = this.#store;
    const bytes = store.cloneValue(value);
    const { records } = store.transaction.backend;
    return placeRequest(store.transaction, this, () => {
      storeRecord(records, store.entry, position.recordKey, bytes, "always");
      return decodeKey(position.recordKey);
    });
  }

  /** @throws DOMException `TransactionInactiveError`, `ReadOnlyError`, `InvalidStateError` when there is no record. */
  delete(): IDBRequest {
    const position = this.#requireWritable();
    const store = this.#store;
    const { records } = store.transaction.backend;
    return placeRequest(store.transaction, this, () => {
      deleteRecords(records, store.entry, spanOf(position.recordKey));
      return undefined;
    });
  }

  /** Asks for the next record. @internal */
  place(): void {
    const { transaction } = this.#store;
    placeRequest(
      transaction,
      this.source,
      () => {
        this.#position = iterateCursor(
          transaction.backend.records,
          this.source,
          this.#span,
          this.#position,
        );
        this.#hasValue = this.#position !== null;
        return this.#hasValue ? this : null;
      },
      this.request,
    );
  }

  get #store(): IDBObjectStore {
    return "objectStore" in this.source ? this.source.objectStore : this.source;
  }

  #requireUsable(): void {
    const store = this.#store;
    store.transaction.requireActive();
    store.requireUsable();
  }

  #requireWritable(): CursorPosition {
    this.#requireUsable();
    if (this.#store.transaction.mode === "readonly") {
      throw new DOMException("the transaction is read-only", "ReadOnlyError");
    }
    return this.#requireValue();
  }

  #requireValue(): CursorPosition {
    if (!this.#hasValue || this.#position === null) {
      throw new DOMException("the cursor is on its way or past the end", "InvalidStateError");
    }
    return this.#position;
  }
}

refuseMethods(IDBCursor, ["advance", "continuePrimaryKey"]);

/** @see https://www.w3.org/TR/IndexedDB/#idbcursorwithvalue */
export class IDBCursorWithValue extends IDBCursor {
  #clone: { readonly of: CursorPosition; readonly value: unknown } | null = null;

  /** The record's value; the same object until the cursor moves on. */
  get value(): unknown {
    const { position } = this;
    if (position === null) return undefined;
    if (this.#clone?.of !== position)
      this.#clone = { of: position, value: deserializeValue(position.value) };
    return this.#clone.value;
  }
}

/** Opens an ascending cursor over a range. @internal */
export function openCursor(
  source: IDBObjectStore | IDBIndex,
  span: KeySpan,
  direction: unknown,
): IDBRequest {
  if (direction !== "next") throw notSupported(`a cursor of direction "${String(direction)}"`);
  const cursor = new IDBCursorWithValue(source, span);
  cursor.place();
  return cursor.request;
}
