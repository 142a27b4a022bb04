import { createHash } from "node:crypto";
import type { Logger } from "pino";

import { systemClock } from "../clock.ts";
import type { DeviceAddress } from "../matrix/identifiers.ts";
import { HostGone, HostThread } from "./host-thread.ts";
import { isTrap } from "./engine.ts";
import type { DeviceOpening, HostApi, HostMethod, HostStart, OpenResult } from "./protocol.ts";
import { callHost, keyOf, SessionHost } from "./session-host.ts";

/** How often a call is made again after its thread ended under it. */
const maxTries = 6;
/** Traps after which a device gets a thread of its own. */
const trapsUntilAlone = 3;

/** Whatever answers calls: a thread, or a host in this process. */
interface Host {
  readonly alive: boolean;
  call(method: HostMethod, args: readonly unknown[], signal?: AbortSignal): Promise<unknown>;
  setLogLevel(level: string): void;
  stop(): Promise<void>;
}

/** Says how a device is opened, through `open`; asked again whenever its thread was replaced. */
export type OpeningOf = (
  device: DeviceAddress,
  open: (opening: DeviceOpening) => Promise<OpenResult>,
) => Promise<OpenResult>;

interface Seat {
  host: Host;
  readonly opened: Map<string, Promise<OpenResult>>;
}

/**
 * The session hosts, and which device sits in which. Devices are spread by user. A thread whose wasm
 * failed is replaced, its devices are opened again and the calls under way are made again, so that
 * nobody but the log notices.
 */
export class SessionHosts {
  readonly #start: HostStart;
  readonly #logger: Logger;
  readonly #seats: Seat[];
  readonly #alone = new Map<string, Seat>();
  readonly #traps = new Map<string, number>();
  readonly #retiring = new Set<Promise<void>>();
  #stopped = false;

  /** @param threads - how many worker threads; 0 runs one host in this thread */
  constructor(start: HostStart, threads: number, logger: Logger) {
    this.#start = start;
    this.#logger = logger;
    this.#seats = Array.from({ length: Math.max(1, threads) }, () => ({
      host: threads === 0 ? inProcess(start, logger) : new HostThread(start),
      opened: new Map(),
    }));
  }

  /**
   * Makes a call for a device, whose session is opened first where it is not open.
   *
   * @throws what the host threw
   */
  async call<M extends Exclude<HostMethod, "open" | "close">>(
    method: M,
    device: DeviceAddress,
    openingOf: OpeningOf,
    args: DropDevice<Parameters<HostApi[M]>>,
    signal?: AbortSignal,
  ): Promise<Awaited<ReturnType<HostApi[M]>>> {
    for (let attempt = 1; ; attempt++) {
      const seat = this.#seatOf(device);
      try {
        await this.#open(seat, device, openingOf);
        const value = await seat.host.call(method, [device, ...args], signal);
        return value as Awaited<ReturnType<HostApi[M]>>;
      } catch (error) {
        if (!(error instanceof HostGone) || attempt === maxTries || this.#stopped) throw error;
        if (error.culprit) this.#noteTrap(device);
      }
    }
  }

  /** Opens a device's session where it is not open. */
  async open(device: DeviceAddress, openingOf: OpeningOf): Promise<OpenResult> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#open(this.#seatOf(device), device, openingOf);
      } catch (error) {
        if (!(error instanceof HostGone) || attempt === maxTries || this.#stopped) throw error;
        if (error.culprit) this.#noteTrap(device);
      }
    }
  }

  /** True where the device's session is open, or being opened. */
  isOpen(device: DeviceAddress): boolean {
    return this.#seatOf(device).opened.has(keyOf(device));
  }

  /** Closes a device's session; its store may be removed afterwards. */
  async close(device: DeviceAddress): Promise<void> {
    const seat = this.#seatOf(device);
    const opened = seat.opened.get(keyOf(device));
    if (opened === undefined) return;
    await opened.catch(() => undefined);
    await seat.host.call("close", [device]);
    seat.opened.delete(keyOf(device));
  }

  setLogLevel(level: string): void {
    for (const seat of this.#allSeats()) seat.host.setLogLevel(level);
  }

  /** Closes all sessions and ends all threads. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#allSeats().map((seat) => seat.host.stop()));
    await Promise.all(this.#retiring);
  }

  async #open(seat: Seat, device: DeviceAddress, openingOf: OpeningOf): Promise<OpenResult> {
    const key = keyOf(device);
    let opened = seat.opened.get(key);
    if (opened === undefined) {
      const { host } = seat;
      opened = openingOf(device, (opening) => host.call("open", [opening]) as Promise<OpenResult>);
      seat.opened.set(key, opened);
      opened.catch(() => {
        if (seat.opened.get(key) === opened) seat.opened.delete(key);
      });
    }
    return opened;
  }

  #seatOf(device: DeviceAddress): Seat {
    const alone = this.#alone.get(keyOf(device));
    const digest = createHash("sha256").update(device.userId).digest();
    const seat = alone ?? this.#seats[digest.readUInt32BE() % this.#seats.length];
    if (seat === undefined) throw new Error("no session host");
    if (!seat.host.alive) {
      this.#logger.error("a session host ended: its devices are opened again in a new one");
      seat.host = new HostThread(this.#start);
      seat.opened.clear();
    }
    return seat;
  }

  #noteTrap(device: DeviceAddress): void {
    const key = keyOf(device);
    const traps = (this.#traps.get(key) ?? 0) + 1;
    this.#traps.set(key, traps);
    if (traps < trapsUntilAlone || this.#alone.has(key)) return;
    this.#logger.error({ traps }, "a device makes the engine fail again and again: set apart");
    this.#alone.set(key, { host: new HostThread(this.#start), opened: new Map() });
  }

  #allSeats(): Seat[] {
    return [...this.#seats, ...this.#alone.values()];
  }
}

type DropDevice<T extends readonly unknown[]> = T extends [unknown, ...infer Rest]
  ? DropSignal<Rest>
  : never;
type DropSignal<T extends readonly unknown[]> = T extends [...infer Rest, AbortSignal] ? Rest : T;

/** A host in this thread, behind the same calls. A trap here ends the process's trust in its wasm. */
function inProcess(start: HostStart, logger: Logger): Host {
  const host = new SessionHost(start.sections, systemClock, logger);
  return {
    alive: true,
    call: (method, args, signal) => {
      const never = new AbortController().signal;
      return callHost(host, method, args, signal ?? never).catch((error: unknown) => {
        if (isTrap(error)) throw new Error("the encryption engine failed", { cause: error });
        throw error;
      });
    },
    setLogLevel: () => undefined,
    stop: () => host.stop(),
  };
}
