import {
  DeviceId,
  EncryptionSettings,
  OlmMachine,
  RequestType,
  RoomId,
  StoreHandle,
  UserId,
} from "@matrix-org/matrix-sdk-crypto-wasm";

/** A parsed JSON object. */
export type Json = Record<string, unknown>;

/** What one device has at the homeserver. */
export interface PublishedKeys {
  deviceKeys: Json | null;
  readonly oneTimeKeys: [id: string, key: unknown][];
  fallbackKey: [id: string, key: unknown] | null;
}

/** Takes a `/keys/upload` body in. */
export function publish(keys: PublishedKeys, body: Json): void {
  if (body["device_keys"] !== undefined) keys.deviceKeys = body["device_keys"] as Json;
  keys.oneTimeKeys.push(...Object.entries((body["one_time_keys"] ?? {}) as Json));
  keys.fallbackKey = Object.entries((body["fallback_keys"] ?? {}) as Json)[0] ?? keys.fallbackKey;
}

/** One key for a new Olm session with the device; `null` where it has none. */
export function claim(keys: PublishedKeys): Json | null {
  const key = keys.oneTimeKeys.shift() ?? keys.fallbackKey;
  return key === null ? null : { [key[0]]: key[1] };
}

/** A sync's worth of encrypted events: the room keys that they need, and the events. */
export interface Backlog {
  readonly toDevice: readonly Json[];
  readonly events: readonly Json[];
}

/** Another user with one encrypted device: the real engine on its memory store. */
export class Person {
  readonly userId: string;
  readonly deviceId: string;
  readonly keys: PublishedKeys;
  readonly #machine: OlmMachine;

  private constructor(userId: string, deviceId: string, machine: OlmMachine, keys: PublishedKeys) {
    this.userId = userId;
    this.deviceId = deviceId;
    this.#machine = machine;
    this.keys = keys;
  }

  static async create(userId: string): Promise<Person> {
    const deviceId = "BENCHDEVICE";
    const handle = await StoreHandle.open(undefined, undefined);
    const machine = await OlmMachine.initFromStore(
      new UserId(userId),
      new DeviceId(deviceId),
      handle,
    );
    const keys: PublishedKeys = { deviceKeys: null, oneTimeKeys: [], fallbackKey: null };
    for (const request of await machine.outgoingRequests()) {
      let answer: unknown = { device_keys: {} };
      if (request.type === RequestType.KeysUpload) {
        publish(keys, JSON.parse(request.body) as Json);
        answer = { one_time_key_counts: { signed_curve25519: keys.oneTimeKeys.length } };
      }
      await machine.markRequestAsSent(request.id ?? "", request.type, JSON.stringify(answer));
    }
    return new Person(userId, deviceId, machine, keys);
  }

  /** Events of this person's for one reader, with a new Megolm session every `perSession` events. */
  async write(
    roomId: string,
    reader: { readonly userId: string; readonly deviceId: string; readonly keys: PublishedKeys },
    count: number,
    perSession: number,
  ): Promise<Backlog> {
    await this.#meet(reader);
    const toDevice: Json[] = [];
    const events: Json[] = [];
    for (let i = 0; i < count; i += 1) {
      if (i % perSession === 0) {
        await this.#machine.invalidateGroupSession(new RoomId(roomId));
        toDevice.push(...(await this.#shareRoomKey(roomId, reader.userId, reader.deviceId)));
      }
      const plain = JSON.stringify({ msgtype: "m.text", body: `message ${i} of a long backlog` });
      const text = await this.#machine.encryptRoomEvent(
        new RoomId(roomId),
        "m.room.message",
        plain,
      );
      events.push({
        type: "m.room.encrypted",
        sender: this.userId,
        event_id: `$${roomId.slice(1, 12)}-${i}`,
        origin_server_ts: Date.now(),
        content: JSON.parse(text) as Json,
        unsigned: { age: 1 },
      });
    }
    return { toDevice, events };
  }

  /** Learns the reader's device and opens an Olm session with it, where that is still to be done. */
  async #meet(reader: {
    readonly userId: string;
    readonly deviceId: string;
    readonly keys: PublishedKeys;
  }): Promise<void> {
    const { userId, deviceId, keys } = reader;
    await this.#machine.updateTrackedUsers([new UserId(userId)]);
    for (const request of await this.#machine.outgoingRequests()) {
      const answer =
        request.type === RequestType.KeysQuery
          ? { device_keys: { [userId]: { [deviceId]: keys.deviceKeys } } }
          : { one_time_key_counts: { signed_curve25519: 50 } };
      await this.#machine.markRequestAsSent(request.id ?? "", request.type, JSON.stringify(answer));
    }
    const missing = await this.#machine.getMissingSessions([new UserId(userId)]);
    if (missing === null) return;
    const answer = { one_time_keys: { [userId]: { [deviceId]: claim(keys) } } };
    await this.#machine.markRequestAsSent(missing.id, missing.type, JSON.stringify(answer));
  }

  async #shareRoomKey(roomId: string, userId: string, deviceId: string): Promise<Json[]> {
    const settings = new EncryptionSettings();
    settings.rotationPeriodMessages = 1_000_000n;
    const shared: Json[] = [];
    const requests = await this.#machine.shareRoomKey(
      new RoomId(roomId),
      [new UserId(userId)],
      settings,
    );
    for (const request of requests) {
      const { messages } = JSON.parse(request.body) as { messages: Record<string, Json> };
      const content = messages[userId]?.[deviceId];
      if (content !== undefined)
        shared.push({ type: request.event_type, sender: this.userId, content });
      await this.#machine.markRequestAsSent(request.id, request.type, "{}");
    }
    return shared;
  }
}
