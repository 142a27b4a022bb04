import type { KeyPath } from "../sqlite/catalog.ts";
import type { Key } from "./key-bytes.ts";
import { keyError, readKey } from "./convert-value-to-key.ts";

const IDENTIFIER = /^[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*$/u;

/**
 * Checks a key path as createIndex takes it.
 *
 * @throws DOMException `SyntaxError` when it is no valid key path.
 * @see https://www.w3.org/TR/IndexedDB/#valid-key-path
 */
export function validateKeyPath(value: unknown): KeyPath {
  if (Array.isArray(value)) {
    const paths = value.map(String);
    if (paths.length > 0 && paths.every(isValidString)) return paths;
  } else if (isValidString(String(value))) {
    return String(value);
  }
  throw new DOMException("expected a valid key path", "SyntaxError");
}

function isValidString(path: string): boolean {
  return path === "" || path.split(".").every((part) => IDENTIFIER.test(part));
}

/**
 * The key that an index has for a value, or null when the value does not appear in the index.
 *
 * @param value - A clone: what is read from it has no side effects.
 * @throws DOMException `NotSupportedError` when a date or binary data stands where the key is.
 * @see https://www.w3.org/TR/IndexedDB/#extract-key-from-value
 */
export function extractKey(value: unknown, keyPath: KeyPath): Key | null {
  const found =
    typeof keyPath === "string" ? evaluate(value, keyPath) : evaluateAll(value, keyPath);
  if (found === undefined) return null;
  const conversion = readKey(found);
  if ("key" in conversion) return conversion.key;
  if (conversion.problem === "invalid") return null;
  throw keyError(conversion.problem);
}

function evaluateAll(value: unknown, keyPaths: readonly string[]): unknown[] | undefined {
  const found: unknown[] = [];
  for (const keyPath of keyPaths) {
    const part = evaluate(value, keyPath);
    if (part === undefined) return undefined;
    found.push(part);
  }
  return found;
}

function evaluate(value: unknown, keyPath: string): unknown {
  if (keyPath === "") return value;
  let current = value;
  for (const identifier of keyPath.split(".")) {
    if ((typeof current === "string" || Array.isArray(current)) && identifier === "length") {
      current = current.length;
    } else if (
      typeof current === "object" &&
      current !== null &&
      Object.hasOwn(current, identifier)
    ) {
      current = (current as Record<string, unknown>)[identifier];
    } else {
      return undefined;
    }
  }
  return current;
}
