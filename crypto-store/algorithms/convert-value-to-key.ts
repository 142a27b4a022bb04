import type { Key } from "./key-bytes.ts";

/** Why a value is no key: "invalid" by the specification, "refused" where this implementation leaves it out. */
export type NoKey = "invalid" | "refused";

/** The outcome of reading a value as a key. */
export type KeyConversion = { readonly key: Key } | { readonly problem: NoKey };

/**
 * Reads a value as a key, without throwing for a value that is none.
 *
 * @see https://www.w3.org/TR/IndexedDB/#convert-value-to-key
 */
export function readKey(value: unknown, seen: ReadonlySet<unknown> = NOTHING): KeyConversion {
  if (typeof value === "string") return { key: value };
  if (typeof value === "number") return Number.isNaN(value) ? INVALID : { key: value + 0 };
  if (Array.isArray(value)) return readArray(value, seen);
  if (value instanceof Date || value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    return REFUSED;
  }
  return INVALID;
}

/**
 * Reads a value as a key.
 *
 * @throws DOMException `DataError` when it is none, `NotSupportedError` for dates and binary data.
 */
export function convertValueToKey(value: unknown): Key {
  const conversion = readKey(value);
  if ("key" in conversion) return conversion.key;
  throw keyError(conversion.problem);
}

/** The error for a value that cannot be used as a key. */
export function keyError(problem: NoKey): DOMException {
  return problem === "refused"
    ? new DOMException(
        "expected a number, string or array key, got a date or binary data: not supported by this store",
        "NotSupportedError",
      )
    : new DOMException(
        "expected a key (a number, a string or an array of keys), got something else",
        "DataError",
      );
}

const NOTHING: ReadonlySet<unknown> = new Set();
const INVALID: KeyConversion = { problem: "invalid" };
const REFUSED: KeyConversion = { problem: "refused" };

function readArray(value: readonly unknown[], seen: ReadonlySet<unknown>): KeyConversion {
  if (seen.has(value)) return INVALID;
  const inside = new Set(seen).add(value);
  const key: Key[] = [];
  for (let i = 0; i < value.length; i += 1) {
    if (!Object.hasOwn(value, i)) return INVALID;
    const element = readKey(value[i], inside);
    if (!("key" in element)) return element;
    key.push(element.key);
  }
  return { key };
}
