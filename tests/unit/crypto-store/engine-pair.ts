import {
  DecryptionSettings,
  DeviceId,
  DeviceLists,
  EncryptionSettings,
  OlmMachine,
  RequestType,
  RoomId,
  StoreHandle,
  TrustRequirement,
  UserId,
} from "@matrix-org/matrix-sdk-crypto-wasm";

/** A room that both sides know. */
export const ROOM = "!room:example.org";

/** The part of a homeserver that two engines need to talk: uploaded keys and one-time keys. */
export class KeyServer {
  readonly #devices: Record<string, Record<string, unknown>> = {};
  readonly #oneTimeKeys = new Map<string, [string, unknown][]>();

  upload(userId: string, deviceId: string, body: unknown): number {
    const { device_keys: device, one_time_keys: keys } = body as Record<
      string,
      Record<string, unknown> | undefined
    >;
    if (device !== undefined) (this.#devices[userId] ??= {})[deviceId] = device;
    const known = this.#oneTimeKeys.get(userId + deviceId) ?? [];
    known.push(...Object.entries(keys ?? {}));
    this.#oneTimeKeys.set(userId + deviceId, known);
    return known.length;
  }

  query(): string {
    return JSON.stringify({ device_keys: this.#devices, failures: {} });
  }

  claim(userId: string, deviceId: string): string {
    const [name, key] = this.#oneTimeKeys.get(userId + deviceId)?.shift() ?? ["none", null];
    return JSON.stringify({
      one_time_keys: { [userId]: { [deviceId]: { [name]: key } } },
      failures: {},
    });
  }
}

/** Opens the engine on whatever IndexedDB is installed; the handle is freed so that closing the machine closes its databases. */
export async function openMachine(
  storeName: string,
  userId: string,
  deviceId: string,
): Promise<OlmMachine> {
  const handle = await StoreHandle.open(storeName, null);
  const machine = await OlmMachine.initFromStore(
    new UserId(userId),
    new DeviceId(deviceId),
    handle,
  );
  handle.free();
  return machine;
}

/** Answers what a machine wants to send, until it wants nothing more. */
export async function pump(machine: OlmMachine, server: KeyServer): Promise<void> {
  for (;;) {
    const requests = await machine.outgoingRequests();
    if (requests.length === 0) return;
    for (const request of requests) {
      if (request.type === RequestType.KeysUpload) {
        const count = server.upload(
          machine.userId.toString(),
          machine.deviceId.toString(),
          JSON.parse(request.body),
        );
        const answer = { one_time_key_counts: { signed_curve25519: count } };
        await machine.markRequestAsSent(request.id ?? "", request.type, JSON.stringify(answer));
      } else if (request.type === RequestType.KeysQuery) {
        await machine.markRequestAsSent(request.id ?? "", request.type, server.query());
      } else {
        throw new Error(`unexpected request of type ${request.type}`);
      }
    }
  }
}

/** Gives `receiver` the room key of `sender`, by way of an Olm session. */
export async function shareRoomKey(
  sender: OlmMachine,
  receiver: OlmMachine,
  server: KeyServer,
): Promise<void> {
  await pump(sender, server);
  await pump(receiver, server);
  const to = receiver.userId.toString();
  await sender.updateTrackedUsers([new UserId(to)]);
  await pump(sender, server);
  const claim = await sender.getMissingSessions([new UserId(to)]);
  if (claim !== null) {
    await sender.markRequestAsSent(
      claim.id,
      claim.type,
      server.claim(to, receiver.deviceId.toString()),
    );
  }
  const toDevice: unknown[] = [];
  for (const request of await sender.shareRoomKey(
    new RoomId(ROOM),
    [new UserId(to)],
    new EncryptionSettings(),
  )) {
    const { messages } = JSON.parse(request.body) as {
      messages: Record<string, Record<string, unknown>>;
    };
    const content = messages[to]?.[receiver.deviceId.toString()];
    toDevice.push({ type: request.event_type, sender: sender.userId.toString(), content });
    await sender.markRequestAsSent(request.id, request.type, "{}");
  }
  await receiver.receiveSyncChanges(
    JSON.stringify(toDevice),
    new DeviceLists(),
    new Map([["signed_curve25519", 49]]),
  );
}

let lastEvent = 0;

/** Encrypts a text message and returns the room event, as JSON. */
export async function encryptText(sender: OlmMachine, body: string): Promise<string> {
  const content = await sender.encryptRoomEvent(
    new RoomId(ROOM),
    "m.room.message",
    JSON.stringify({ msgtype: "m.text", body }),
  );
  lastEvent += 1;
  return JSON.stringify({
    type: "m.room.encrypted",
    sender: sender.userId.toString(),
    event_id: `$${lastEvent}`,
    room_id: ROOM,
    origin_server_ts: lastEvent,
    content: JSON.parse(content) as unknown,
  });
}

/** Decrypts a room event and returns its text. */
export async function decryptText(receiver: OlmMachine, event: string): Promise<string> {
  const settings = new DecryptionSettings(TrustRequirement.Untrusted);
  const decrypted = await receiver.decryptRoomEvent(event, new RoomId(ROOM), settings);
  return (JSON.parse(decrypted.event) as { content: { body: string } }).content.body;
}
