import { createHash } from "node:crypto";
import type { Logger } from "pino";

import { systemClock } from "../clock.ts";
import type { DeviceAddress } from "../matrix/identifiers.ts";
import { HostGone, HostThread } from "./host-thread.ts";
import { isTrap } from "./engine.ts";
import type {
  DeviceOpening,
  HostApi,
  HostMethod,
  HostStart,
  OpenResult,
  SuspectReport,
} from "./protocol.ts";
import { callHost, keyOf, SessionHost } from "./session-host.ts";

/** How often a call is made again after its thread ended under it. */
const maxTries = 6;
/** Traps after which a device gets a thread of its own. */
const trapsUntilAlone = 3;

/** Whatever answers calls: a thread, or a host in this process. */
interface Host {
  readonly alive: boolean;
  readonly ended: Promise<void>;
  call(method: HostMethod, args: readonly unknown[], signal?: AbortSignal): Promise<unknown>;
  setLogLevel(level: string): void;
  stop(): Promise<void>;
}

/** The two calls by which a device's session begins and ends. */
export interface OpeningCalls {
  open(opening: DeviceOpening): Promise<OpenResult>;
  close(): Promise<void>;
}

/** Opens a device's session through `calls`; asked again whenever its thread was replaced. */
export type OpeningOf = (device: DeviceAddress, calls: OpeningCalls) => Promise<OpenResult>;

interface Seat {
  host: Host;
  /** Resolves when the thread before this one has let go of its files. */
  ended: Promise<void>;
  readonly opened: Map<string, Promise<OpenResult>>;
  /** Sessions on their way out: their devices are opened again only afterwards. */
  readonly closing: Map<string, Promise<void>>;
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
  /** Reported since the device was opened last. */
  readonly #suspects = new Map<string, readonly SuspectReport[]>();
  #stopped = false;

  /** @param threads - how many worker threads; 0 runs one host in this thread */
  constructor(start: HostStart, threads: number, logger: Logger) {
    this.#start = start;
    this.#logger = logger;
    this.#seats = Array.from({ length: Math.max(1, threads) }, () => ({
      host: threads === 0 ? inProcess(start, logger) : this.#newThread(),
      ended: Promise.resolve(),
      opened: new Map(),
      closing: new Map(),
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
    const key = keyOf(device);
    const opened = seat.opened.get(key);
    if (opened === undefined) return;
    seat.opened.delete(key);
    const { host } = seat;
    const closing = opened
      .then(
        () => host.call("close", [device]),
        () => undefined,
      )
      .catch((error: unknown) => {
        if (!(error instanceof HostGone)) throw error;
        // Its files are let go of with the thread.
        return host.ended;
      })
      .then(() => undefined)
      .finally(() => {
        if (seat.closing.get(key) === closing) seat.closing.delete(key);
      });
    seat.closing.set(key, closing);
    await closing;
  }

  setLogLevel(level: string): void {
    for (const seat of this.#allSeats()) seat.host.setLogLevel(level);
  }

  /** Closes all sessions and ends all threads. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#allSeats().map((seat) => seat.host.stop()));
  }

  async #open(seat: Seat, device: DeviceAddress, openingOf: OpeningOf): Promise<OpenResult> {
    const key = keyOf(device);
    let opened = seat.opened.get(key);
    if (opened === undefined) {
      const { host } = seat;
      const calls: OpeningCalls = {
        open: async (opening) => {
          const suspects = this.#suspects.get(key) ?? [];
          const result = (await host.call("open", [opening, suspects])) as OpenResult;
          this.#suspects.delete(key);
          return result;
        },
        close: () => host.call("close", [device]) as Promise<void>,
      };
      const closed = seat.closing.get(key)?.catch(() => undefined) ?? seat.ended;
      opened = closed.then(() => openingOf(device, calls));
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
      seat.ended = seat.host.ended;
      seat.host = this.#newThread();
      seat.opened.clear();
      seat.closing.clear();
    }
    return seat;
  }

  #newThread(): HostThread {
    return new HostThread(this.#start, (reports) => {
      for (const { device, suspects } of reports) {
        const key = keyOf(device);
        this.#suspects.set(key, [...(this.#suspects.get(key) ?? []), ...suspects]);
        // With several calls under way nobody can say whose failure it was.
        if (reports.length === 1) this.#noteTrap(key);
      }
    });
  }

  #noteTrap(key: string): void {
    const traps = (this.#traps.get(key) ?? 0) + 1;
    this.#traps.set(key, traps);
    if (traps < trapsUntilAlone || this.#alone.has(key)) return;
    this.#logger.error({ traps }, "a device makes the engine fail again and again: set apart");
    const host = this.#newThread();
    const ended = this.#allSeats()
      .map((seat) => seat.host)
      .filter((other) => !other.alive);
    this.#alone.set(key, {
      host,
      ended: Promise.all(ended.map((other) => other.ended)).then(() => undefined),
      opened: new Map(),
      closing: new Map(),
    });
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
    ended: Promise.resolve(),
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
