import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";

import { DeviceStore } from "../../../crypto-store/index.ts";
import type { Clock } from "../../../proxy/clock.ts";
import { deviceStateMigrations } from "../../../proxy/crypto/device-state.ts";
import { openMachine, loadEngine } from "../../../proxy/crypto/engine.ts";
import { EngineCalls } from "../../../proxy/crypto/engine-calls.ts";
import { EngineGate } from "../../../proxy/crypto/engine-gate.ts";
import { Suspects } from "../../../proxy/crypto/suspects.ts";
import type { DeviceAddress } from "../../../proxy/matrix/identifiers.ts";
import { address } from "../accounts/section-fixture.ts";

export const silent = pino({ level: "silent" });
const key: Uint8Array = new Uint8Array(32).fill(5);

interface Timer {
  readonly atMs: number;
  readonly callback: () => void;
}

/** A clock that stands until it is moved; timers fire as it passes them. */
export class TestClock implements Clock {
  #nowMs = 1_800_000_000_000;
  readonly #timers = new Set<Timer>();
  #waiting: { readonly count: number; readonly resolve: () => void }[] = [];

  now(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.add(timer);
    for (const { count, resolve } of this.#waiting) if (this.#timers.size >= count) resolve();
    return () => this.#timers.delete(timer);
  }

  /** Milliseconds until each timer, soonest first. */
  get due(): number[] {
    return [...this.#timers].map(({ atMs }) => atMs - this.#nowMs).sort((a, b) => a - b);
  }

  /** Resolves when this many timers are pending. */
  async pending(count: number): Promise<void> {
    if (this.#timers.size >= count) return;
    await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }));
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    for (const timer of [...this.#timers].sort((a, b) => a.atMs - b.atMs)) {
      if (timer.atMs > this.#nowMs || !this.#timers.delete(timer)) continue;
      timer.callback();
    }
  }
}

/** Encrypted stores of devices in a directory of a test's own. */
export class Stores {
  readonly path = mkdtempSync(join(tmpdir(), "kirjava-crypto-"));
  readonly #made = new Set<string>();
  readonly #open = new Set<DeviceStore>();

  open(name = "device.db"): DeviceStore {
    const mode = this.#made.has(name) ? "existing" : "create";
    this.#made.add(name);
    const path = join(this.path, name);
    const store = DeviceStore.open({ path, key, mode, migrations: deviceStateMigrations });
    this.#open.add(store);
    return store;
  }

  /** Closes the store and opens its file again, as a restart does. */
  async reopen(store: DeviceStore, name = "device.db"): Promise<DeviceStore> {
    await this.close(store);
    return this.open(name);
  }

  async close(store: DeviceStore): Promise<void> {
    this.#open.delete(store);
    await store.close();
  }

  async remove(): Promise<void> {
    for (const store of [...this.#open]) await this.close(store);
    rmSync(this.path, { recursive: true });
  }
}

/** The engine of one device on its store, with what its users in the proxy need around it. */
export async function openEngine(
  store: DeviceStore,
  device: DeviceAddress = address("@kirjava:example.org", "PROXY"),
  clock: Clock = new TestClock(),
) {
  await loadEngine();
  const machine = await openMachine(device, store.mountName);
  const suspects = await Suspects.load(store, [], clock, silent);
  return { device, machine, engine: new EngineCalls(device, new EngineGate(), suspects) };
}

/** All of a promise's continuations that need no I/O have run when it resolves. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
