/**
 * A growing list of things that happened, and promises for those that are to come: tests wait for
 * what they expect, never for a time. The deadline only turns a hang into a readable failure.
 */
export class Waiter<T> {
  readonly #seen: T[] = [];
  readonly #waiting = new Set<(item: T) => void>();
  readonly #describe: (item: T) => string;

  /** `describe` renders an item for the message of a wait that fails. */
  constructor(describe: (item: T) => string = (item) => JSON.stringify(item)) {
    this.#describe = describe;
  }

  /** Everything so far, in order. */
  get seen(): readonly T[] {
    return this.#seen;
  }

  /** Adds what just happened. */
  push(item: T): void {
    this.#seen.push(item);
    for (const waiting of [...this.#waiting]) waiting(item);
  }

  /** The first item, past or future, that the predicate accepts. */
  async find<S extends T>(
    what: string,
    predicate: ((item: T) => item is S) | ((item: T) => boolean),
    timeoutMs = 30_000,
  ): Promise<S> {
    const past = this.#seen.find((item) => predicate(item));
    if (past !== undefined) return past as S;
    return new Promise<S>((resolve, reject) => {
      const settle = (item: T): void => {
        if (!predicate(item)) return;
        clearTimeout(timer);
        this.#waiting.delete(settle);
        resolve(item as S);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(settle);
        const last = this.#seen.slice(-10).map((item) => `  ${this.#describe(item)}`);
        reject(
          new Error(
            `expected ${what} within ${timeoutMs} ms; the last of ${this.#seen.length} seen:\n${last.join("\n")}`,
          ),
        );
      }, timeoutMs);
      this.#waiting.add(settle);
    });
  }
}
