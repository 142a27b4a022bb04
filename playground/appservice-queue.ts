import type { JsonObject } from "./json.ts";
import { isObject } from "./json.ts";
import type { Appservice } from "./store/appservices.ts";
import type { Room, RoomEvent } from "./store/room.ts";
import type { Store } from "./store/store.ts";
import { clientEvent } from "./sync/client-event.ts";

/** Things to push. */
export interface Push {
  readonly events: readonly { readonly event: RoomEvent; readonly room: Room }[];
  readonly ephemeral: readonly JsonObject[];
  readonly toDevice: readonly JsonObject[];
  readonly changed: readonly string[];
  readonly left: readonly string[];
}

const MAX_EVENTS = 100;
const MAX_TO_DEVICE = 100;

/**
 * Sends one appservice its transactions, one at a time. After a failure the appservice counts as down: events are kept
 * and sent again with their transaction ids, while everything else of the failed transaction and of the outage is lost,
 * as on Synapse.
 */
export class AppserviceQueue {
  readonly #appservice: Appservice;
  readonly #store: Store;
  readonly #retryMs: number;
  #waiting: Push = empty();
  #isSending = false;
  #isStopped = false;
  /** Transactions that failed or came to be while the appservice was down: events only. */
  #backlog: { readonly id: number; readonly events: Push["events"] }[] = [];
  #isDown = false;
  #nextId = 1;
  #failures = 0;
  #timer: NodeJS.Timeout | null = null;
  readonly #abort = new AbortController();

  constructor(appservice: Appservice, store: Store, retryMs: number) {
    this.#appservice = appservice;
    this.#store = store;
    this.#retryMs = retryMs;
  }

  /** Whether the last transaction failed. */
  get isDown(): boolean {
    return this.#isDown;
  }

  /** Queues things; they go out in the next transaction. */
  add(push: Partial<Push>): void {
    const waiting = this.#waiting;
    const changed = push.changed ?? [];
    const left = push.left ?? [];
    this.#waiting = {
      events: [...waiting.events, ...(push.events ?? [])],
      ephemeral: [...waiting.ephemeral, ...(push.ephemeral ?? [])],
      toDevice: [...waiting.toDevice, ...(push.toDevice ?? [])],
      changed: [...new Set([...waiting.changed, ...changed])].filter((id) => !left.includes(id)),
      left: [...new Set([...waiting.left, ...left])].filter((id) => !changed.includes(id)),
    };
    void this.#run();
  }

  /** Tries a down appservice again now. */
  retryNow(): void {
    if (this.#isDown) void this.#recover();
  }

  /** Ends sending. */
  stop(): void {
    this.#isStopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#abort.abort();
  }

  async #run(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      while (!this.#isStopped) {
        const part = this.#take();
        if (part === null) return;
        // what comes while it is down and holds no event is dropped
        if (this.#isDown && part.events.length === 0) continue;
        const transaction = { id: this.#nextId++, events: part.events };
        if (this.#isDown || !(await this.#send(transaction.id, part))) {
          this.#backlog.push(transaction);
          if (!this.#isDown) this.#goDown();
        }
      }
    } finally {
      this.#isSending = false;
    }
  }

  #take(): Push | null {
    const { events, ephemeral, toDevice, changed, left } = this.#waiting;
    if (events.length + ephemeral.length + toDevice.length + changed.length + left.length === 0) {
      return null;
    }
    this.#waiting = {
      ...empty(),
      events: events.slice(MAX_EVENTS),
      toDevice: toDevice.slice(MAX_TO_DEVICE),
    };
    return {
      events: events.slice(0, MAX_EVENTS),
      ephemeral,
      toDevice: toDevice.slice(0, MAX_TO_DEVICE),
      changed,
      left,
    };
  }

  #goDown(): void {
    this.#isDown = true;
    this.#failures++;
    const pauseMs = this.#retryMs * 2 ** Math.min(this.#failures - 1, 8);
    this.#timer = setTimeout(() => void this.#recover(), pauseMs).unref();
  }

  async #recover(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (let first = this.#backlog[0]; first !== undefined; first = this.#backlog[0]) {
      if (this.#isStopped) return;
      if (!(await this.#send(first.id, { ...empty(), events: first.events }))) {
        this.#goDown();
        return;
      }
      this.#backlog.shift();
    }
    this.#isDown = false;
    this.#failures = 0;
  }

  async #send(id: number, push: Push): Promise<boolean> {
    const { url, hs_token: token } = this.#appservice.registration;
    if (url === null) return true;
    try {
      const response = await fetch(`${url.replace(/\/$/, "")}/_matrix/app/v1/transactions/${id}`, {
        method: "PUT",
        headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
        body: JSON.stringify(this.#body(push)),
        signal: this.#abort.signal,
      });
      await response.arrayBuffer();
      return response.ok;
    } catch {
      return false;
    }
  }

  #body(push: Push): JsonObject {
    const { registration } = this.#appservice;
    const stable = registration.receive_ephemeral === true;
    const unstable = registration["de.sorunome.msc2409.push_ephemeral"] === true;
    return {
      events: push.events.map(({ event, room }) => clientEvent(room, event, null)),
      ...(stable ? { ephemeral: push.ephemeral } : {}),
      ...(unstable ? { "de.sorunome.msc2409.ephemeral": push.ephemeral } : {}),
      ...(stable || unstable ? { "de.sorunome.msc2409.to_device": push.toDevice } : {}),
      ...(registration["org.matrix.msc3202"] === true ? this.#extensions(push) : {}),
    };
  }

  #extensions(push: Push): JsonObject {
    const users = this.#touchedUsers(push);
    const counts: [string, JsonObject][] = [];
    const fallbacks: [string, JsonObject][] = [];
    for (const userId of users) {
      const devices = [...(this.#store.accounts.users.get(userId)?.devices.values() ?? [])];
      if (devices.length === 0) continue;
      const byDevice = <T>(read: (device: (typeof devices)[number]) => T): Record<string, T> =>
        Object.fromEntries(devices.map((device) => [device.deviceId, read(device)]));
      counts.push([userId, byDevice((device) => device.oneTimeKeyCounts())]);
      fallbacks.push([userId, byDevice((device) => device.unusedFallbackKeyTypes())]);
    }
    const { changed, left } = push;
    const prefix = "org.matrix.msc3202";
    return {
      ...(counts.length === 0
        ? {}
        : {
            [`${prefix}.device_one_time_key_counts`]: Object.fromEntries(counts),
            [`${prefix}.device_one_time_keys_count`]: Object.fromEntries(counts),
            [`${prefix}.device_unused_fallback_key_types`]: Object.fromEntries(fallbacks),
          }),
      ...(changed.length + left.length === 0
        ? {}
        : { [`${prefix}.device_lists`]: { changed, left } }),
    };
  }

  #touchedUsers(push: Push): Set<string> {
    const users = new Set([this.#appservice.senderId]);
    const roomIds = new Set(push.events.map(({ room }) => room.roomId));
    for (const event of push.ephemeral) {
      if (typeof event["room_id"] === "string") roomIds.add(event["room_id"]);
    }
    for (const roomId of roomIds) {
      for (const member of this.#store.rooms.all.get(roomId)?.members("join") ?? []) {
        if (this.#appservice.ownsUser(member)) users.add(member);
      }
    }
    for (const event of push.toDevice) {
      if (isObject(event) && typeof event["to_user_id"] === "string") {
        users.add(event["to_user_id"]);
      }
    }
    return users;
  }
}

function empty(): Push {
  return { events: [], ephemeral: [], toDevice: [], changed: [], left: [] };
}
