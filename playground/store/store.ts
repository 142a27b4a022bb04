import type { JsonObject } from "../json.ts";
import { Accounts } from "./accounts.ts";
import { Appservices } from "./appservices.ts";
import type { Device, ToDeviceMessage } from "./device.ts";
import { DeviceLists } from "./device-lists.ts";
import { Media } from "./media.ts";
import { Notifier } from "./notifier.ts";
import { Rooms } from "./rooms.ts";
import { ToDevice } from "./to-device.ts";

/** A sync request as it came. */
export interface SyncRequest {
  readonly userId: string;
  readonly deviceId: string | null;
  readonly since: string | null;
  readonly timeoutMs: number;
  readonly filter: string | null;
  readonly fullState: boolean;
  /** As sent; null: not given, which means online. */
  readonly setPresence: string | null;
}

/** An event as the homeserver holds it. */
export interface StoredEvent {
  readonly eventId: string;
  readonly roomId: string;
  readonly type: string;
  readonly sender: string;
  readonly stateKey: string | null;
  readonly content: JsonObject;
}

/** Everything the homeserver knows, open for tests to look into. */
export class Store {
  readonly serverName: string;
  readonly notifier = new Notifier();
  readonly accounts: Accounts;
  readonly rooms: Rooms;
  readonly deviceLists: DeviceLists;
  readonly toDevice: ToDevice;
  readonly media: Media;
  readonly appservices = new Appservices();
  /** Sync requests in the order in which they came. */
  readonly syncRequests: SyncRequest[] = [];

  constructor(serverName: string) {
    this.serverName = serverName;
    this.accounts = new Accounts(serverName, (userId) => {
      this.deviceLists.changed(userId);
    });
    this.rooms = new Rooms(this.accounts, this.notifier);
    this.deviceLists = new DeviceLists(this.notifier, this.rooms);
    this.toDevice = new ToDevice(this.accounts, this.notifier);
    this.media = new Media(serverName);
  }

  /** Stored events, oldest first; of one room if it is named. */
  events(roomId?: string): readonly StoredEvent[] {
    const events = roomId === undefined ? this.rooms.events : this.rooms.get(roomId).events;
    return events.map(({ eventId, type, sender, stateKey, content, ...rest }) => ({
      eventId,
      roomId: rest.roomId,
      type,
      sender,
      stateKey,
      content,
    }));
  }

  /** The device, or null. */
  device(userId: string, deviceId: string): Device | null {
    return this.accounts.device(userId, deviceId);
  }

  /** To-device messages that the device has not acknowledged. */
  inbox(userId: string, deviceId: string): readonly ToDeviceMessage[] {
    return this.device(userId, deviceId)?.inbox ?? [];
  }

  /** One-time keys left of a device, by algorithm. */
  oneTimeKeysLeft(userId: string, deviceId: string): Readonly<Record<string, number>> {
    return this.device(userId, deviceId)?.oneTimeKeyCounts() ?? {};
  }

  /** The presences that the user's syncs stood for, in order: "online" where none was given. */
  presenceShown(userId: string): readonly string[] {
    return this.accounts.users.get(userId)?.presenceShown ?? [];
  }
}
