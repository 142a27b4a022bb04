import { AppserviceQueue } from "./appservice-queue.ts";
import type { Push } from "./appservice-queue.ts";
import type { Appservice } from "./store/appservices.ts";
import type { Room, RoomEvent } from "./store/room.ts";
import type { Store } from "./store/store.ts";
import { ephemeralOf } from "./sync/ephemeral.ts";

/**
 * Decides what concerns an appservice and hands it to its queue.
 *
 * @see https://spec.matrix.org/v1.16/application-service-api/#pushing-events
 */
export class AppservicePusher {
  readonly #store: Store;
  readonly #retryMs: number;
  readonly #queues = new Map<string, AppserviceQueue>();
  #isStopped = false;

  constructor(store: Store, retryMs: number) {
    this.#store = store;
    this.#retryMs = retryMs;
    store.rooms.onEvent((event, room) => this.#event(event, room));
    store.toDevice.onMessage((device, message) => {
      const { sender, type, content } = message;
      const { userId, deviceId } = device;
      const event = { sender, type, content, to_user_id: userId, to_device_id: deviceId };
      for (const appservice of this.#all()) {
        if (appservice.ownsUser(userId)) this.#push(appservice, { toDevice: [event] });
      }
    });
    store.deviceLists.onChange((userId) => {
      const sharers = [...store.deviceLists.sharers(userId)];
      for (const appservice of this.#all()) {
        if (sharers.some((id) => appservice.ownsUser(id))) {
          this.#push(appservice, { changed: [userId] });
        }
      }
    });
  }

  /** The queue of an appservice: what is pending, whether it is up. */
  queue(appservice: Appservice): AppserviceQueue {
    const { id } = appservice.registration;
    const known = this.#queues.get(id);
    if (known !== undefined) return known;
    const queue = new AppserviceQueue(appservice, this.#store, this.#retryMs);
    this.#queues.set(id, queue);
    return queue;
  }

  /** Pushes a room's typing users, or the user's receipts in it. */
  ephemeral(room: Room, type: "m.typing" | "m.receipt", userId: string): void {
    for (const appservice of this.#all()) {
      const { registration } = appservice;
      const isWanted =
        registration.receive_ephemeral === true ||
        registration["de.sorunome.msc2409.push_ephemeral"] === true;
      if (!isWanted || !this.#concernsRoom(appservice, room)) continue;
      const event = ephemeralOf(room, type, userId);
      this.#push(appservice, { ephemeral: [{ ...event, room_id: room.roomId }] });
    }
  }

  /** Ends all pushing. */
  stop(): void {
    this.#isStopped = true;
    for (const queue of this.#queues.values()) queue.stop();
  }

  #all(): Appservice[] {
    const all = [...this.#store.appservices.byId.values()];
    return this.#isStopped ? [] : all.filter((one) => one.registration.url !== null);
  }

  #event(event: RoomEvent, room: Room): void {
    for (const appservice of this.#all()) {
      const isOfMember =
        event.type === "m.room.member" && appservice.ownsUser(event.stateKey ?? "");
      const isWanted =
        isOfMember || appservice.ownsUser(event.sender) || this.#concernsRoom(appservice, room);
      if (isWanted) this.#push(appservice, { events: [{ event, room }] });
      this.#memberLists(appservice, event, room);
    }
  }

  // whose devices the appservice must now know, or need not know any more
  #memberLists(appservice: Appservice, event: RoomEvent, room: Room): void {
    if (event.type !== "m.room.member" || event.stateKey === null) return;
    const userId = event.stateKey;
    const before = event.replaces?.content["membership"] === "join";
    const now = event.content["membership"] === "join";
    if (before === now || appservice.ownsUser(userId)) return;
    if (!this.#concernsRoom(appservice, room)) return;
    if (now) this.#push(appservice, { changed: [userId] });
    const sharers = [...this.#store.deviceLists.sharers(userId)];
    if (!now && !sharers.some((id) => appservice.ownsUser(id))) {
      this.#push(appservice, { left: [userId] });
    }
  }

  #concernsRoom(appservice: Appservice, room: Room): boolean {
    if (appservice.ownsRoom(room.roomId)) return true;
    if (room.members("join").some((id) => appservice.ownsUser(id))) return true;
    for (const [alias, held] of this.#store.rooms.aliases) {
      if (held.roomId === room.roomId && appservice.ownsAlias(alias)) return true;
    }
    return false;
  }

  #push(appservice: Appservice, push: Partial<Push>): void {
    this.queue(appservice).add(push);
  }
}
