import type { DeviceAddress } from "../matrix/identifiers.ts";

/** A call into the engine that is under way. */
export interface EngineOperation {
  readonly device: DeviceAddress;
  /** The events that it feeds, JSON texts; none for other calls. */
  readonly events: readonly string[];
  /** True where no other call was under way, so that a failure can only be this one's. */
  readonly alone: boolean;
}

/**
 * Knows which calls into one wasm instance are under way.
 *
 * A panic of the engine rejects no promise: it surfaces as an exception of the whole thread, with
 * nothing that says whose it was. So every call is on record here, and an event that was there when
 * the wasm failed is fed with nothing else under way the next time.
 */
export class EngineGate {
  readonly #underWay = new Set<EngineOperation>();
  #exclusive: Promise<void> | null = null;
  #idle: (() => void) | null = null;

  /** The calls under way, for a report after the wasm failed. */
  get underWay(): readonly EngineOperation[] {
    return [...this.#underWay];
  }

  /** Makes a call, together with others. */
  async run<T>(
    device: DeviceAddress,
    events: readonly string[],
    call: () => Promise<T>,
  ): Promise<T> {
    while (this.#exclusive !== null) await this.#exclusive;
    return this.#record({ device, events, alone: false }, call);
  }

  /** Makes a call while no other is under way. */
  async runAlone<T>(
    device: DeviceAddress,
    events: readonly string[],
    call: () => Promise<T>,
  ): Promise<T> {
    while (this.#exclusive !== null) await this.#exclusive;
    let release: () => void = () => undefined;
    this.#exclusive = new Promise((resolve) => (release = resolve));
    try {
      if (this.#underWay.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
      return await this.#record({ device, events, alone: true }, call);
    } finally {
      this.#exclusive = null;
      release();
    }
  }

  async #record<T>(operation: EngineOperation, call: () => Promise<T>): Promise<T> {
    this.#underWay.add(operation);
    try {
      return await call();
    } finally {
      this.#underWay.delete(operation);
      if (this.#underWay.size === 0) {
        this.#idle?.();
        this.#idle = null;
      }
    }
  }
}
