/**
 * A sorted list of names.
 *
 * @see https://html.spec.whatwg.org/multipage/common-dom-interfaces.html#the-domstringlist-interface
 */
export class DOMStringList {
  readonly #names: readonly string[];
  readonly [index: number]: string;

  /** @internal */
  constructor(names: Iterable<string>) {
    this.#names = [...names].sort();
    Object.assign(this, this.#names);
  }

  get length(): number {
    return this.#names.length;
  }

  item(index: number): string | null {
    return this.#names[index] ?? null;
  }

  contains(name: string): boolean {
    return this.#names.includes(name);
  }

  [Symbol.iterator](): IterableIterator<string> {
    return this.#names.values();
  }
}
