/*
 * The engine does not use all of IndexedDB, and what it does not use is not built. A call of something left out fails at once
 * with a sentence, instead of with "is not a function" or with a result that is nearly right.
 */

/** The error for a part of IndexedDB that is left out. */
export function notSupported(what: string): DOMException {
  return new DOMException(
    `${what} is not supported by this store: the crypto engine does not use it (see docs/crypto-store.md)`,
    "NotSupportedError",
  );
}

/** Adds methods to a class that throw `NotSupportedError`. */
export function refuseMethods(
  target: { readonly name: string; readonly prototype: object },
  names: readonly string[],
): void {
  for (const name of names) {
    Object.defineProperty(target.prototype, name, {
      configurable: true,
      value: () => {
        throw notSupported(`${target.name}.${name}`);
      },
    });
  }
}

/** Adds static methods to a class that throw `NotSupportedError`. */
export function refuseStatic(target: { readonly name: string }, names: readonly string[]): void {
  for (const name of names) {
    Object.defineProperty(target, name, {
      configurable: true,
      value: () => {
        throw notSupported(`${target.name}.${name}`);
      },
    });
  }
}
