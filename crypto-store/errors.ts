/** What is wrong with a store file. Stable: callers branch on it, never on the message. */
export type StoreErrorCode =
  | "STORE_WRONG_KEY"
  | "STORE_CORRUPT"
  | "STORE_MISSING"
  | "STORE_EXISTS"
  | "STORE_TOO_NEW"
  | "STORE_LOCKED"
  | "STORE_FULL"
  | "STORE_IO"
  | "STORE_UNSAFE";

/**
 * A store file cannot be used. The file was left as it is; the message names it and says what to do.
 */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly code: StoreErrorCode;
  readonly path: string;

  constructor(code: StoreErrorCode, path: string, message: string, options?: ErrorOptions) {
    super(`${path}: ${message}`, options);
    this.code = code;
    this.path = path;
  }
}
