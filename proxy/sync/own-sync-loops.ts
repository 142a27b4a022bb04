import type { Logger } from "pino";

import type { Accounts } from "../accounts/accounts.ts";
import type { Clock } from "../clock.ts";
import type { Homeserver } from "../homeserver/homeserver.ts";
import { watchAnswer } from "../homeserver/token-watch.ts";
import { MatrixError } from "../matrix/errors.ts";
import { ownLoopFilter } from "../matrix/filter.ts";
import type { DeviceAddress } from "../matrix/identifiers.ts";
import type { SectionSessions } from "./section-sessions.ts";

/** How long a client may be silent between two syncs before we sync in its place. */
const clientGraceMs = 5_000;
/** How long our own long poll waits at the homeserver. */
const pollTimeoutMs = 30_000;
/** A round that was shorter and brought nothing is followed by a pause. */
const shortRoundMs = 1_000;
/** How many rounds catching up may take; a response holds up to 100 to-device events. */
const maxCatchUpRounds = 100;
const firstDelayMs = 1_000;
const maxDelayMs = 60_000;

/** The first sync asks for a position and the inbox, not for the rooms. */
const firstFilter = {
  presence: { types: [] },
  account_data: { types: [] },
  room: { rooms: [], account_data: { types: [] } },
};

/** What is under way for one device. */
interface DeviceLoop {
  readonly device: DeviceAddress;
  /** How many requests of the client are inside `/sync`. */
  clients: number;
  readonly underWay: Set<number>;
  position: string | null;
  delayMs: number;
  cancelTimer: () => void;
  abort: AbortController | null;
}

/** One request to the homeserver's `/sync`, ours or the client's. */
export interface SyncRequest {
  readonly serial: number;
  end(): void;
}

/**
 * Follows the feed of devices whose client does not sync: without it their one-time keys run out and
 * room keys for them pile up. Steps aside as soon as the client syncs.
 */
export class OwnSyncLoops {
  readonly #sessions: SectionSessions;
  readonly #accounts: Accounts;
  readonly #homeserver: Homeserver;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #loops = new Map<string, DeviceLoop>();
  readonly #running = new Set<Promise<void>>();
  /** Starts at the time, so that numbers on disk are smaller after a restart. */
  #nextSerial: number;
  #failing = false;
  #stopped = false;

  constructor(options: {
    readonly sessions: SectionSessions;
    readonly accounts: Accounts;
    readonly homeserver: Homeserver;
    readonly clock: Clock;
    readonly logger: Logger;
  }) {
    this.#sessions = options.sessions;
    this.#accounts = options.accounts;
    this.#homeserver = options.homeserver;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#nextSerial = options.clock.now();
    options.accounts.onChange(({ kind, address }) => {
      if (kind === "gone") this.#forget(address);
    });
  }

  /** Takes up every device with a store and a token, as after a restart. */
  resume(): void {
    for (const device of this.#accounts.devices()) {
      if (this.#accounts.files.stateOf(device) === "active") this.ensure(device);
    }
  }

  /** Follows the device's feed from now on, whenever its client does not. */
  ensure(device: DeviceAddress): void {
    const loop = this.#loop(device);
    if (loop.clients === 0 && loop.abort === null) this.#schedule(loop, 0);
  }

  /** Runs a client's own `/sync`; our loop of this device stands still meanwhile. */
  async whileClientSyncs<T>(device: DeviceAddress, work: () => Promise<T>): Promise<T> {
    const loop = this.#loop(device);
    loop.clients += 1;
    loop.cancelTimer();
    loop.abort?.abort();
    try {
      return await work();
    } finally {
      loop.clients -= 1;
      if (loop.clients === 0) this.#schedule(loop, clientGraceMs);
    }
  }

  /**
   * Takes what waits in the device's inbox before a client presents a position that did not come from
   * its feed: such a position acknowledges events that were never shown.
   */
  async catchUpBefore(device: DeviceAddress, since: string, signal: AbortSignal): Promise<void> {
    const loop = this.#loop(device);
    if (loop.position === since || (await this.#sessions.isTaken(device, since))) return;
    for (let round = 0; round < maxCatchUpRounds; round++) {
      const taken = await this.#once(loop, signal, 0);
      if (taken === null || taken === 0) return;
    }
    throw new MatrixError(502, "M_UNKNOWN", "the device's inbox is still being read: try again");
  }

  /** Numbers a request to `/sync`, so that the feed knows which may still show what is gone. */
  begin(device: DeviceAddress): SyncRequest {
    const { underWay } = this.#loop(device);
    const serial = this.#nextSerial++;
    underWay.add(serial);
    return { serial, end: () => underWay.delete(serial) };
  }

  /** The smallest serial number of the requests under way. */
  oldestSerial(device: DeviceAddress): number {
    return Math.min(...this.#loop(device).underWay);
  }

  /** A response was taken in: the feed is covered up to there. */
  notePosition(device: DeviceAddress, position: string): void {
    this.#loop(device).position = position;
  }

  /** Ends all loops; resolves when none is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const loop of this.#loops.values()) {
      loop.cancelTimer();
      loop.abort?.abort();
    }
    await Promise.all(this.#running);
  }

  #loop({ userId, deviceId }: DeviceAddress): DeviceLoop {
    const key = `${userId}\n${deviceId}`;
    let loop = this.#loops.get(key);
    if (loop === undefined) {
      loop = {
        device: { userId, deviceId },
        clients: 0,
        underWay: new Set(),
        position: null,
        delayMs: 0,
        cancelTimer: () => undefined,
        abort: null,
      };
      this.#loops.set(key, loop);
    }
    return loop;
  }

  #forget({ userId, deviceId }: DeviceAddress): void {
    const key = `${userId}\n${deviceId}`;
    const loop = this.#loops.get(key);
    loop?.cancelTimer();
    loop?.abort?.abort();
    this.#loops.delete(key);
  }

  #schedule(loop: DeviceLoop, delayMs: number): void {
    loop.cancelTimer();
    if (this.#stopped) return;
    loop.cancelTimer = this.#clock.after(delayMs, () => {
      const run = this.#run(loop).finally(() => this.#running.delete(run));
      this.#running.add(run);
    });
  }

  async #run(loop: DeviceLoop): Promise<void> {
    if (loop.abort !== null) return;
    const abort = new AbortController();
    loop.abort = abort;
    try {
      while (!abort.signal.aborted && loop.clients === 0 && !this.#stopped) {
        const startedMs = this.#clock.now();
        const taken = await this.#once(loop, abort.signal, pollTimeoutMs);
        // Also where there is nothing to follow any more: a delay left over would start it again.
        loop.delayMs = 0;
        if (taken === null) return;
        this.#noteSuccess();
        if (taken > 0 || this.#clock.now() - startedMs >= shortRoundMs) continue;
        this.#schedule(loop, shortRoundMs);
        return;
      }
    } catch (error) {
      if (abort.signal.aborted || this.#stopped) return;
      loop.delayMs = Math.min(maxDelayMs, Math.max(firstDelayMs, loop.delayMs * 2));
      this.#noteFailure(loop, error);
    } finally {
      loop.abort = null;
      const known = this.#loops.get(`${loop.device.userId}\n${loop.device.deviceId}`) === loop;
      if (known && loop.clients === 0 && loop.delayMs > 0) this.#schedule(loop, loop.delayMs);
    }
  }

  /** One warning for all devices: an outage of the homeserver is every device's. */
  #noteFailure({ device, delayMs }: DeviceLoop, error: unknown): void {
    const { userId, deviceId } = device;
    const level = this.#failing ? "debug" : "warn";
    this.#failing = true;
    this.#logger[level](
      { err: error, userId, deviceId, delayMs },
      "following a device's sync in its client's place failed; trying again, for each device",
    );
  }

  #noteSuccess(): void {
    if (!this.#failing) return;
    this.#failing = false;
    this.#logger.info("following devices' syncs works again");
  }

  /** @returns how many to-device events came; `null` where there is nothing to follow any more */
  async #once(loop: DeviceLoop, signal: AbortSignal, timeoutMs: number): Promise<number | null> {
    const { device } = loop;
    const token = this.#accounts.latestToken(device);
    if (token === null) return null;
    loop.position ??= (await this.#sessions.open(device)).feedPosition;
    if (this.#sessions.passesThrough(device)) return null;
    const since = loop.position;
    const query = new URLSearchParams({
      filter: JSON.stringify(since === null ? firstFilter : ownLoopFilter),
      set_presence: "offline",
      timeout: String(since === null ? 0 : timeoutMs),
      ...(since === null ? {} : { since }),
    });
    const request = this.begin(device);
    const startedMs = this.#clock.now();
    try {
      const response = await this.#homeserver.request({
        method: "GET",
        path: `/_matrix/client/v3/sync?${query.toString()}`,
        headers: { authorization: `Bearer ${token}` },
        signal,
        timeoutMs: this.#homeserver.timeoutMs + pollTimeoutMs,
      });
      const sender = { token, sentAtMs: startedMs, masquerade: {} };
      watchAnswer(this.#accounts, sender, response.statusCode, response.body);
      if (response.statusCode === 401) return null;
      if (response.statusCode !== 200) {
        const got = `expected 200 for a sync of our own, got ${response.statusCode}`;
        throw new MatrixError(502, "M_UNKNOWN", got);
      }
      const { nextBatch, toDeviceCount } = await this.#sessions.sync(device, {
        body: response.body,
        since,
        cursor: null,
        filter: null,
        source: "own",
        serial: request.serial,
        oldestSerial: this.oldestSerial(device),
        startedMs,
      });
      loop.position = nextBatch;
      // The first round acknowledges nothing: what it brought is asked for again, and is done then.
      return since === null ? Math.max(1, toDeviceCount) : toDeviceCount;
    } finally {
      request.end();
    }
  }
}
