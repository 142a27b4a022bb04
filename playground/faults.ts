/** What happens to a request that a fault hits. */
export type FaultAction =
  /** Nothing: the request is counted and can be awaited. */
  | { readonly type: "pass" }
  /** The connection is cut; the request was not handled. */
  | { readonly type: "drop" }
  /** The request is handled, then the connection is cut: the response is lost. */
  | { readonly type: "drop-response" }
  /** Held until the promise resolves, then handled. */
  | { readonly type: "delay"; readonly until: Promise<unknown> }
  /** Handled, then the response is held until the promise resolves. */
  | { readonly type: "delay-response"; readonly until: Promise<unknown> }
  /** Answered with this, not handled. A string body goes out as it is. */
  | {
      readonly type: "fail";
      readonly statusCode: number;
      readonly body?: unknown;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** Handled twice; the second answer goes out, as after a retry on the way. */
  | { readonly type: "duplicate" }
  /** Held until a later request that matches was handled. */
  | { readonly type: "after"; readonly method?: string; readonly path: RegExp };

/** Which requests, how often, and what happens to them. */
export interface FaultRule {
  readonly method?: string;
  /** Tested against the raw path with its query. */
  readonly path: RegExp;
  /** How many requests are hit; default: all. */
  readonly times?: number;
  readonly action: FaultAction;
}

/** A fault in place. */
export interface FaultHandle {
  /** How many requests it hit. */
  readonly hits: number;
  /** Resolves when it has hit `count` times (default 1). */
  hit(count?: number): Promise<void>;
  /** Resolves when `count` of the requests it hit (default 1) have been dealt with, answered or not. */
  done(count?: number): Promise<void>;
  /** Takes it away; requests that it holds go on. */
  remove(): void;
}

/** The action for one request, with the promises it waits for. */
export interface ActiveFault {
  readonly action: FaultAction;
  /** Resolves when a request held by "after" may go on. */
  readonly released: Promise<void>;
  /** To be called when the request has been dealt with. */
  finish(): void;
}

/** A number that goes up, and those who wait for it. */
class Counter {
  count = 0;
  #waiters: { readonly count: number; readonly resolve: () => void }[] = [];

  increase(): void {
    this.count++;
    const reached = this.#waiters.filter((waiter) => this.count >= waiter.count);
    this.#waiters = this.#waiters.filter((waiter) => this.count < waiter.count);
    for (const waiter of reached) waiter.resolve();
  }

  reach(count: number): Promise<void> {
    if (this.count >= count) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ count, resolve }));
  }
}

class Fault implements FaultHandle {
  readonly rule: FaultRule;
  readonly hitCounter = new Counter();
  readonly doneCounter = new Counter();
  readonly #onRemove: () => void;
  #release: () => void = () => undefined;
  readonly released: Promise<void>;

  constructor(rule: FaultRule, onRemove: () => void) {
    this.rule = rule;
    this.#onRemove = onRemove;
    this.released = new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  get hits(): number {
    return this.hitCounter.count;
  }

  hit(count = 1): Promise<void> {
    return this.hitCounter.reach(count);
  }

  done(count = 1): Promise<void> {
    return this.doneCounter.reach(count);
  }

  release(): void {
    this.#release();
  }

  remove(): void {
    this.#onRemove();
    this.release();
  }
}

/** The faults that requests run into. */
export class Faults {
  readonly #faults = new Set<Fault>();

  /** Puts a fault in place; the oldest that matches a request hits it. */
  add(rule: FaultRule): FaultHandle {
    const fault = new Fault(rule, () => this.#faults.delete(fault));
    this.#faults.add(fault);
    return fault;
  }

  /** Takes all faults away; held requests go on. */
  clear(): void {
    for (const fault of [...this.#faults]) fault.remove();
  }

  /** The fault that hits this request, counted as a hit; null if none does. */
  take(method: string, url: string): ActiveFault | null {
    for (const fault of this.#faults) {
      const { rule } = fault;
      if (fault.hits >= (rule.times ?? Infinity) || !matches(rule, method, url)) continue;
      fault.hitCounter.increase();
      const finish = (): void => fault.doneCounter.increase();
      return { action: rule.action, released: fault.released, finish };
    }
    return null;
  }

  /** Tells that a request was handled: lets go what waits for it. */
  passed(method: string, url: string): void {
    for (const fault of this.#faults) {
      const { action } = fault.rule;
      if (action.type === "after" && fault.hits > 0 && matches(action, method, url)) {
        fault.release();
      }
    }
  }
}

function matches(
  rule: { readonly method?: string; readonly path: RegExp },
  method: string,
  url: string,
): boolean {
  return (rule.method ?? method) === method && new RegExp(rule.path, "").test(url);
}
