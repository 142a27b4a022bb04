/** Wakes the long polls of users, and hands out the positions of the main stream. */
export class Notifier {
  readonly #waiters = new Map<string, Set<() => void>>();
  readonly #watchers = new Set<{ readonly userId: string; readonly resolve: () => void }>();
  #position = 0;

  /** The newest position of the main stream. */
  get position(): number {
    return this.#position;
  }

  /** Takes the next position of the main stream. */
  next(): number {
    return ++this.#position;
  }

  /** Wakes the waiting requests of these users. */
  wake(userIds: Iterable<string>): void {
    for (const userId of userIds) {
      const waiters = this.#waiters.get(userId);
      if (waiters === undefined) continue;
      this.#waiters.delete(userId);
      for (const wake of waiters) wake();
    }
  }

  /** How many requests of the user are waiting: lets a test know that a long poll is held. */
  waiting(userId: string): number {
    return this.#waiters.get(userId)?.size ?? 0;
  }

  /** Resolves when a request of the user waits: a test's way to know that nothing is left to tell it. */
  untilWaiting(userId: string): Promise<void> {
    if (this.waiting(userId) > 0) return Promise.resolve();
    return new Promise((resolve) => this.#watchers.add({ userId, resolve }));
  }

  /** Resolves when something happened to the user, after `timeoutMs`, or when `signal` aborts. */
  wait(userId: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) {
        resolve();
        return;
      }
      const waiters = this.#waiters.get(userId) ?? new Set();
      this.#waiters.set(userId, waiters);
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        waiters.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      signal.addEventListener("abort", done);
      waiters.add(done);
      for (const watcher of this.#watchers) {
        if (watcher.userId !== userId) continue;
        this.#watchers.delete(watcher);
        watcher.resolve();
      }
    });
  }
}
