/** Lets a bounded number of tasks run at once; the others wait in line, up to a bound. */
export class Gate {
  readonly #limit: number;
  readonly #queueLimit: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(limit: number, queueLimit: number) {
    this.#limit = limit;
    this.#queueLimit = queueLimit;
  }

  /** Whether another task would be turned away. */
  get isFull(): boolean {
    return this.#running >= this.#limit && this.#waiting.length >= this.#queueLimit;
  }

  /** Runs a task when it is its turn. Ask {@link isFull} first. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#limit) {
      // The task that ends hands its place over: #running stays as it is.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running += 1;
    }
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
