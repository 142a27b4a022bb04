import {
  DecryptionSettings,
  DeviceId,
  DeviceLists,
  EncryptionSettings,
  initAsync,
  KeysClaimRequest,
  KeysQueryRequest,
  KeysUploadRequest,
  OlmMachine,
  RequestType,
  RoomId,
  ToDeviceRequest,
  TrustRequirement,
  UserId,
} from "@matrix-org/matrix-sdk-crypto-wasm";

import { asRecord, stringField } from "../json.ts";
import { restOk } from "../rest.ts";
import type { PeerAccount } from "./sdk-peer.ts";

/** What an event says once it is decrypted. */
export interface ReadEvent {
  readonly type: string;
  readonly content: Readonly<Record<string, unknown>>;
  /** The Megolm session that it came with. */
  readonly sessionId: string;
}

/** A room key that was made and is still in the sender's hands. */
export interface HeldKey {
  /** Brings it to those it is for. */
  release(): Promise<void>;
}

/**
 * An encrypted device without a client around it: the engine with its keys in memory, asked step by
 * step. It does nothing by itself, so that a test can say when it uploads, syncs, shares and reads;
 * and it costs little enough to have fifty.
 */
export class LightDevice {
  readonly account: PeerAccount;
  readonly #url: string;
  readonly #machine: OlmMachine;
  #since: string | null = null;

  private constructor(url: string, account: PeerAccount, machine: OlmMachine) {
    this.#url = url;
    this.account = account;
    this.#machine = machine;
  }

  /** Makes fresh keys for a device that has none and uploads them. */
  static async start(url: string, account: PeerAccount): Promise<LightDevice> {
    await initAsync();
    const { userId, deviceId } = account;
    const machine = await OlmMachine.initialize(new UserId(userId), new DeviceId(deviceId));
    const device = new LightDevice(url, account, machine);
    await device.#flush();
    return device;
  }

  get userId(): string {
    return this.account.userId;
  }

  /** Its fingerprint key. */
  get ed25519(): string {
    return this.#machine.identityKeys.ed25519.toBase64();
  }

  /** Takes in what the homeserver has for this device now. */
  async sync(): Promise<void> {
    for (;;) {
      const filter = JSON.stringify({ room: { rooms: [] }, presence: { types: [] } });
      const query = new URLSearchParams({ timeout: "0", filter });
      if (this.#since !== null) query.set("since", this.#since);
      const answer = await this.#get(`/sync?${query.toString()}`);
      const events = asRecord(answer["to_device"] ?? {})["events"] ?? [];
      const lists = asRecord(answer["device_lists"] ?? {});
      const ids = (value: unknown) => ((value ?? []) as string[]).map((id) => new UserId(id));
      const counts = asRecord(answer["device_one_time_keys_count"] ?? {});
      await this.#machine.receiveSyncChanges(
        JSON.stringify(events),
        new DeviceLists(ids(lists["changed"]), ids(lists["left"])),
        new Map(Object.entries(counts) as [string, number][]),
      );
      this.#since = stringField(answer, "next_batch");
      if ((events as unknown[]).length === 0) break;
    }
    await this.#flush();
  }

  /** Syncs once, fetches an event and decrypts it. Throws where it has no key for it by then. */
  async read(roomId: string, eventId: string): Promise<ReadEvent> {
    await this.sync();
    return this.decrypt(await this.event(roomId, eventId));
  }

  /** An event as the homeserver shows it. */
  event(roomId: string, eventId: string): Promise<Readonly<Record<string, unknown>>> {
    return this.#get(`/rooms/${encodeURIComponent(roomId)}/event/${encodeURIComponent(eventId)}`);
  }

  /** Decrypts an event with the keys it has. Throws where it cannot, or where nothing is encrypted. */
  async decrypt(event: Readonly<Record<string, unknown>>): Promise<ReadEvent> {
    const type = stringField(event, "type");
    if (type !== "m.room.encrypted") throw new Error(`expected m.room.encrypted, got ${type}`);
    const settings = new DecryptionSettings(TrustRequirement.Untrusted);
    const roomId = new RoomId(stringField(event, "room_id"));
    try {
      const decrypted = await this.#machine.decryptRoomEvent(
        JSON.stringify(event),
        roomId,
        settings,
      );
      const plain = asRecord(JSON.parse(decrypted.event));
      return {
        type: stringField(plain, "type"),
        content: asRecord(plain["content"]),
        sessionId: stringField(asRecord(event["content"]), "session_id"),
      };
    } catch (error) {
      // The engine's own errors are no Error.
      const description = asRecord(error)["description"];
      throw new Error(`not decrypted: ${String(description ?? error)}`, { cause: error });
    }
  }

  /** Makes a new room key for these users' devices and keeps it back. */
  async makeKey(roomId: string, userIds: readonly string[]): Promise<HeldKey> {
    const machine = this.#machine;
    const users = () => [...userIds, this.userId].map((id) => new UserId(id));
    await machine.updateTrackedUsers(users());
    await this.#flush();
    const claim = await machine.getMissingSessions(users());
    if (claim !== null) await this.#send(claim);
    await machine.invalidateGroupSession(new RoomId(roomId));
    const settings = new EncryptionSettings();
    const requests = await machine.shareRoomKey(new RoomId(roomId), users(), settings);
    return {
      release: async () => {
        for (const request of requests.splice(0)) await this.#send(request);
      },
    };
  }

  /** The content of an encrypted event under the newest room key; sends nothing. */
  async encrypt(
    roomId: string,
    type: string,
    content: Readonly<Record<string, unknown>>,
  ): Promise<Record<string, unknown>> {
    const text = JSON.stringify(content);
    return JSON.parse(
      await this.#machine.encryptRoomEvent(new RoomId(roomId), type, text),
    ) as Record<string, unknown>;
  }

  /** Sends an event under the newest room key and returns its id. */
  async send(
    roomId: string,
    type: string,
    content: Readonly<Record<string, unknown>>,
  ): Promise<string> {
    const encrypted = await this.#machine.encryptRoomEvent(
      new RoomId(roomId),
      type,
      JSON.stringify(content),
    );
    const path = `/rooms/${encodeURIComponent(roomId)}/send/m.room.encrypted/${nextTxn()}`;
    const answer = await this.#call("PUT", path, JSON.parse(encrypted));
    return stringField(answer, "event_id");
  }

  /** Sends a text message under the newest room key and returns its id. */
  sendText(roomId: string, body: string): Promise<string> {
    return this.send(roomId, "m.room.message", { msgtype: "m.text", body });
  }

  /** Makes a room key, brings it to these users' devices and sends a text message under it. */
  async sendTextWithNewKey(
    roomId: string,
    userIds: readonly string[],
    body: string,
  ): Promise<string> {
    await (await this.makeKey(roomId, userIds)).release();
    return this.sendText(roomId, body);
  }

  async #flush(): Promise<void> {
    for (;;) {
      const requests = await this.#machine.outgoingRequests();
      if (requests.length === 0) return;
      for (const request of requests) await this.#send(request);
    }
  }

  async #send(request: unknown): Promise<void> {
    const sent = async (id: string, type: RequestType, answer: unknown): Promise<void> => {
      await this.#machine.markRequestAsSent(id, type, JSON.stringify(answer));
    };
    if (request instanceof KeysUploadRequest) {
      const answer = await this.#call("POST", "/keys/upload", JSON.parse(request.body));
      return sent(request.id, RequestType.KeysUpload, answer);
    }
    if (request instanceof KeysQueryRequest) {
      const answer = await this.#call("POST", "/keys/query", JSON.parse(request.body));
      return sent(request.id, RequestType.KeysQuery, answer);
    }
    if (request instanceof KeysClaimRequest) {
      const answer = await this.#call("POST", "/keys/claim", JSON.parse(request.body));
      return sent(request.id, RequestType.KeysClaim, answer);
    }
    if (request instanceof ToDeviceRequest) {
      const { event_type: type, txn_id: txnId } = request;
      const path = `/sendToDevice/${encodeURIComponent(type)}/${encodeURIComponent(txnId)}`;
      const answer = await this.#call("PUT", path, JSON.parse(request.body));
      return sent(request.id, RequestType.ToDevice, answer);
    }
    throw new Error("the engine asks for a request that this device does not make");
  }

  #get(path: string): Promise<Readonly<Record<string, unknown>>> {
    return this.#call("GET", path);
  }

  #call(method: string, path: string, body?: unknown): Promise<Readonly<Record<string, unknown>>> {
    const url = `${this.#url}/_matrix/client/v3${path}`;
    return restOk(url, { method, token: this.account.accessToken, body });
  }
}

let transactions = 0;

function nextTxn(): string {
  transactions += 1;
  return `light-${process.pid}-${transactions}`;
}
