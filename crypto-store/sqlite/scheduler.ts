/** Something that needs the connection for a while. */
export interface Turn {
  /** Turns that write run one at a time: a connection has one SQLite transaction. */
  readonly writes: boolean;
  /** Whether this turn and `other`, of which at least one writes, must not overlap because of what they touch. */
  conflictsWith(other: Turn): boolean;
  /** Called when no earlier turn is in the way. */
  start(): void;
}

/**
 * Owner of one connection's time: a turn starts once no unfinished turn that came before it conflicts with it.
 *
 * @see https://www.w3.org/TR/IndexedDB/#transaction-scheduling
 */
export class Scheduler {
  /** In the order in which they came; the unfinished ones only. */
  #turns: Turn[] = [];
  readonly #started = new Set<Turn>();
  #isPumping = false;
  #waitingForIdle: (() => void)[] = [];

  add(turn: Turn): void {
    this.#turns.push(turn);
    this.#schedule();
  }

  /** The turn has let go of the connection: those behind it may start. */
  finish(turn: Turn): void {
    const position = this.#turns.indexOf(turn);
    if (position === -1) return;
    this.#turns.splice(position, 1);
    this.#started.delete(turn);
    if (this.#turns.length > 0 || this.#waitingForIdle.length > 0) this.#schedule();
  }

  /** True where no turn is waiting or running. */
  get isIdle(): boolean {
    return this.#turns.length === 0;
  }

  /** Resolves when no turn is waiting or running. */
  async idle(): Promise<void> {
    while (this.#turns.length > 0) {
      await new Promise<void>((resolve) => this.#waitingForIdle.push(resolve));
    }
  }

  #schedule(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    setImmediate(() => {
      this.#isPumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    const ahead: Turn[] = [];
    for (const turn of [...this.#turns]) {
      if (!this.#started.has(turn) && !ahead.some((other) => isInTheWay(turn, other))) {
        this.#started.add(turn);
        turn.start();
      }
      // A turn may be over as soon as it starts; those behind it are then free at once.
      if (this.#turns.includes(turn)) ahead.push(turn);
    }
    if (this.#turns.length === 0) {
      const waiting = this.#waitingForIdle;
      this.#waitingForIdle = [];
      for (const resolve of waiting) resolve();
    }
  }
}

function isInTheWay(turn: Turn, other: Turn): boolean {
  if (turn.writes && other.writes) return true;
  return (turn.writes || other.writes) && turn.conflictsWith(other);
}
