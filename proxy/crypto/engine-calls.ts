import type { DeviceAddress } from "../matrix/identifiers.ts";
import type { EngineGate } from "./engine-gate.ts";
import type { Suspects } from "./suspects.ts";

/** One device's calls into the engine, all of them on record while they are under way. */
export class EngineCalls {
  readonly #device: DeviceAddress;
  readonly #gate: EngineGate;
  readonly #suspects: Suspects;

  constructor(device: DeviceAddress, gate: EngineGate, suspects: Suspects) {
    this.#device = { userId: device.userId, deviceId: device.deviceId };
    this.#gate = gate;
    this.#suspects = suspects;
  }

  /** Makes a call that feeds no event. */
  call<T>(work: () => Promise<T>): Promise<T> {
    return this.#gate.run(this.#device, [], work);
  }

  /**
   * Makes a call that feeds events; with nothing else under way where one of them is under suspicion.
   *
   * @param events - JSON texts
   */
  feed<T>(events: readonly string[], work: () => Promise<T>): Promise<T> {
    return events.some((event) => this.#suspects.isSuspect(event))
      ? this.#gate.runAlone(this.#device, events, work)
      : this.#gate.run(this.#device, events, work);
  }

  /** True where this event was there when the wasm failed: it is fed by itself. */
  isSuspect(event: string): boolean {
    return this.#suspects.isSuspect(event);
  }

  /** True where this event is never fed again. */
  isQuarantined(event: string): boolean {
    return this.#suspects.isQuarantined(event);
  }
}
