/**
 * The master key cannot be had. Neither message nor cause ever shows key material.
 *
 * - `KEY_MISSING`: there is none, and making one would lose a store that is there;
 * - `KEY_UNREADABLE`: the system refuses to read or write it;
 * - `KEY_INVALID`: what is there is no key;
 * - `KEY_UNSAFE`: others can reach it;
 * - `KEYRING_UNAVAILABLE`: there is no keyring.
 */
export class StoreKeyError extends Error {
  override readonly name = "StoreKeyError";
  readonly code:
    "KEY_MISSING" | "KEY_UNREADABLE" | "KEY_INVALID" | "KEY_UNSAFE" | "KEYRING_UNAVAILABLE";
  /** What the operator can do. */
  readonly hint: string | null;

  constructor(
    code: StoreKeyError["code"],
    message: string,
    options: { readonly hint?: string; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? null;
  }
}
