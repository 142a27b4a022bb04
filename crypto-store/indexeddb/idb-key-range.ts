import { convertValueToKey } from "../algorithms/convert-value-to-key.ts";
import { encodeKey, type Key } from "../algorithms/key-bytes.ts";
import { AFTER_ALL_KEYS, BEFORE_ALL_KEYS, type KeySpan } from "../sqlite/records.ts";
import { refuseMethods, refuseStatic } from "./refuse.ts";

/**
 * A range of keys.
 *
 * @see https://www.w3.org/TR/IndexedDB/#keyrange
 */
export class IDBKeyRange {
  readonly lower: Key | undefined;
  readonly upper: Key | undefined;
  readonly lowerOpen: boolean;
  readonly upperOpen: boolean;
  /** The range over encoded keys. @internal */
  readonly span: KeySpan;

  /** @internal */
  constructor(
    lower: Key | undefined,
    upper: Key | undefined,
    lowerOpen: boolean,
    upperOpen: boolean,
  ) {
    this.lower = lower;
    this.upper = upper;
    this.lowerOpen = lowerOpen;
    this.upperOpen = upperOpen;
    const lowerBytes = lower === undefined ? BEFORE_ALL_KEYS : encodeKey(lower);
    const upperBytes = upper === undefined ? AFTER_ALL_KEYS : encodeKey(upper);
    if (lower !== undefined && upper !== undefined) {
      const order = Buffer.compare(lowerBytes, upperBytes);
      if (order > 0 || (order === 0 && (lowerOpen || upperOpen))) {
        throw new DOMException("expected a lower bound below the upper bound", "DataError");
      }
    }
    this.span = {
      lower: lower !== undefined && lowerOpen ? next(lowerBytes) : lowerBytes,
      upper: upper !== undefined && !upperOpen ? next(upperBytes) : upperBytes,
    };
  }

  static bound(lower: unknown, upper: unknown, lowerOpen = false, upperOpen = false): IDBKeyRange {
    return new IDBKeyRange(
      convertValueToKey(lower),
      convertValueToKey(upper),
      lowerOpen,
      upperOpen,
    );
  }

  static lowerBound(lower: unknown, open = false): IDBKeyRange {
    return new IDBKeyRange(convertValueToKey(lower), undefined, open, true);
  }

  static upperBound(upper: unknown, open = false): IDBKeyRange {
    return new IDBKeyRange(undefined, convertValueToKey(upper), true, open);
  }
}

refuseStatic(IDBKeyRange, ["only"]);
refuseMethods(IDBKeyRange, ["includes"]);

/** The range that holds all keys. @internal */
export const EVERYTHING: KeySpan = { lower: BEFORE_ALL_KEYS, upper: AFTER_ALL_KEYS };

/** The range that holds one key. @internal */
export function spanOf(key: Buffer): KeySpan {
  return { lower: key, upper: next(key) };
}

/** The least sequence of bytes above this one. */
function next(bytes: Buffer): Buffer {
  const result = Buffer.allocUnsafe(bytes.length + 1);
  result.set(bytes);
  result[bytes.length] = 0;
  return result;
}
