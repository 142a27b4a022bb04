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
  RoomId,
  ToDeviceRequest,
  TrustRequirement,
  UserId,
} from "@matrix-org/matrix-sdk-crypto-wasm";

import { asObject, asObjects, type JsonObject, timelineEvents } from "./json-object.ts";
import type { RestClient } from "./rest-client.ts";

/** An end-to-end encrypted client, keys in memory, that talks to the homeserver directly. */
export class EncryptedPeer {
  readonly client: RestClient;
  readonly #machine: OlmMachine;

  private constructor(client: RestClient, machine: OlmMachine) {
    this.client = client;
    this.#machine = machine;
  }

  /** Makes the client's device an encrypted one. */
  static async start(client: RestClient): Promise<EncryptedPeer> {
    await initAsync();
    const machine = await OlmMachine.initialize(
      new UserId(client.userId),
      new DeviceId(client.deviceId),
    );
    const peer = new EncryptedPeer(client, machine);
    await peer.#sendDue();
    return peer;
  }

  /** Sends an encrypted text message and returns its event id. */
  async sendText(roomId: string, body: string): Promise<string> {
    const room = encodeURIComponent(roomId);
    const { joined } = await this.client.request("GET", `/rooms/${room}/joined_members`);
    const members = Object.keys(asObject(joined));
    const ids = () => members.map((member) => new UserId(member));
    await this.#machine.updateTrackedUsers(ids());
    await this.#sendDue();
    const claim = await this.#machine.getMissingSessions(ids());
    if (claim !== null) await this.#send(claim);
    const settings = new EncryptionSettings();
    for (const request of await this.#machine.shareRoomKey(new RoomId(roomId), ids(), settings)) {
      await this.#send(request);
    }
    const content = JSON.stringify({ msgtype: "m.text", body });
    const type = "m.room.message";
    const encrypted = await this.#machine.encryptRoomEvent(new RoomId(roomId), type, content);
    return this.client.sendEvent(roomId, "m.room.encrypted", JSON.parse(encrypted));
  }

  /** Follows the device's sync; `onMessage` gets what could be decrypted. */
  async follow(onMessage: (event: JsonObject) => void, signal: AbortSignal): Promise<void> {
    await this.client.follow(async (response) => {
      await this.#receive(response);
      for (const { roomId, event } of timelineEvents(response)) {
        if (event["type"] !== "m.room.encrypted") continue;
        const settings = new DecryptionSettings(TrustRequirement.Untrusted);
        const text = JSON.stringify(event);
        const decrypted = await this.#machine.decryptRoomEvent(text, new RoomId(roomId), settings);
        onMessage(asObject(JSON.parse(decrypted.event)));
      }
    }, signal);
  }

  async #receive(response: JsonObject): Promise<void> {
    const events = JSON.stringify(asObjects(asObject(response["to_device"])["events"]));
    const changed = asObject(response["device_lists"])["changed"];
    const users = Array.isArray(changed) ? changed.map((user) => new UserId(String(user))) : [];
    const counts = Object.entries(asObject(response["device_one_time_keys_count"]));
    await this.#machine.receiveSyncChanges(
      events,
      new DeviceLists(users, []),
      new Map(counts.map(([algorithm, count]) => [algorithm, Number(count)])),
    );
    await this.#sendDue();
  }

  async #sendDue(): Promise<void> {
    for (const request of await this.#machine.outgoingRequests()) await this.#send(request);
  }

  async #send(request: unknown): Promise<void> {
    const parts = partsOf(request);
    const answer = await this.client.request(parts.method, parts.path, JSON.parse(parts.body));
    await this.#machine.markRequestAsSent(parts.id, parts.type, JSON.stringify(answer));
  }
}

function partsOf(request: unknown) {
  if (request instanceof KeysUploadRequest) return post(request, "/keys/upload");
  if (request instanceof KeysQueryRequest) return post(request, "/keys/query");
  if (request instanceof KeysClaimRequest) return post(request, "/keys/claim");
  if (request instanceof ToDeviceRequest) {
    const { id, type, body, event_type: eventType, txn_id: txnId } = request;
    return { id, type, body, method: "PUT", path: `/sendToDevice/${eventType}/${txnId}` };
  }
  throw new Error("the engine asks for a request that this peer does not know");
}

function post(request: KeysUploadRequest | KeysQueryRequest | KeysClaimRequest, path: string) {
  const { id, type, body } = request;
  return { id, type, body, method: "POST", path };
}
