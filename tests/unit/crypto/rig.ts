import type { Playground } from "../../../playground/index.ts";
import { DeviceChanges } from "../../../proxy/crypto/device-changes.ts";
import { Feed, loadFeedPositions, takeFeedPart } from "../../../proxy/crypto/feed.ts";
import { OutgoingRequests } from "../../../proxy/crypto/outgoing-requests.ts";
import { OwnApi } from "../../../proxy/crypto/own-api.ts";
import type { RoomEncryption, TrustPolicy } from "../../../proxy/crypto/protocol.ts";
import { RoomEncryptor } from "../../../proxy/crypto/room-encryptor.ts";
import { Homeserver } from "../../../proxy/homeserver/homeserver.ts";
import { OwnRequests } from "../../../proxy/homeserver/own-requests.ts";
import type { RoomId } from "../../../proxy/matrix/identifiers.ts";
import { parseObject } from "../../../proxy/matrix/json.ts";
import { LightDevice } from "../../support/peers/light-device.ts";
import { address } from "../accounts/section-fixture.ts";
import { type Client, register } from "../playground/api.ts";
import { openEngine, silent, Stores, TestClock } from "./fixture.ts";

/** So long that no real timer derived from it ends a test; the test's clock passes it in no time. */
export const sendDeadlineMs = 2_000_000;

export const megolm: RoomEncryption = {
  algorithm: "m.megolm.v1.aes-sha2",
  rotationPeriodMs: null,
  rotationPeriodMessages: null,
};

/** What a rig may be told to be like. */
export interface RigOptions {
  readonly trust?: TrustPolicy;
  readonly freshness?: "barrier" | "stream";
}

/** Everything of one device that encrypts, with its own store, before a homeserver. */
export class Rig {
  readonly stores = new Stores();
  readonly clock = new TestClock();
  readonly client: Client;
  readonly #homeserver: Homeserver;
  readonly #options: RigOptions;
  #parts: Awaited<ReturnType<Rig["assemble"]>> | null = null;
  #transactions = 0;
  readonly refused: string[] = [];

  private constructor(client: Client, options: RigOptions) {
    this.client = client;
    this.#options = options;
    const url = new URL(client.url);
    this.#homeserver = new Homeserver({ url, tls: { verify: true }, timeoutMs: 30_000 });
  }

  static async start(
    playground: Playground,
    name = "proxied",
    options: RigOptions = {},
  ): Promise<Rig> {
    const rig = new Rig(await register(playground, name), options);
    rig.#parts = await rig.assemble();
    return rig;
  }

  get parts() {
    if (this.#parts === null) throw new Error("the rig was not started");
    return this.#parts;
  }

  /** Closes the store and assembles everything anew on the same file. */
  async restart(): Promise<void> {
    await this.#close();
    this.#parts = await this.assemble();
  }

  async stop(): Promise<void> {
    await this.#close();
    await this.#homeserver.close();
    await this.stores.remove();
  }

  room(roomId: string): RoomEncryptor {
    const { trust = "all", freshness = "barrier" } = this.#options;
    const context = { ...this.parts, trust, freshness, sendDeadlineMs };
    return new RoomEncryptor(context, roomId as RoomId);
  }

  /** Encrypts a text for the room and sends it; the event's id. */
  async say(room: RoomEncryptor, roomId: string, body: string, encryption = megolm) {
    const content = await room.encrypt({
      eventType: "m.room.message",
      txnId: null,
      content: JSON.stringify({ msgtype: "m.text", body }),
      encryption,
    });
    this.#transactions += 1;
    const path = `rooms/${roomId}/send/m.room.encrypted/t${this.#transactions}`;
    const parsed = parseObject(content) ?? {};
    const { event_id: eventId } = await this.client.put(path, parsed);
    return { eventId: String(eventId), sessionId: String(parsed["session_id"]) };
  }

  /** Takes one sync as the client's or our own loop would. */
  async sync(since: string | null): Promise<string> {
    const response = await this.client.sync(since ?? undefined);
    const nextBatch = String(response["next_batch"]);
    const serial = ++this.#transactions;
    const startedMs = this.clock.now() + 1;
    const place = { since, nextBatch, serial, oldestSerial: serial, startedMs };
    await this.parts.feed.take(takeFeedPart({ ...response }, place));
    await this.parts.outgoing.flush();
    return nextBatch;
  }

  /** A peer in memory. */
  static async peer(
    playground: Playground,
    name: string,
  ): Promise<LightDevice & { client: Client }> {
    const client = await register(playground, name);
    const { userId, deviceId, token: accessToken } = client;
    const account = { userId, deviceId, accessToken, password: "" };
    return Object.assign(await LightDevice.start(playground.url, account), { client });
  }

  async assemble() {
    const { clock } = this;
    const store = this.stores.open();
    const device = address(this.client.userId, this.client.deviceId);
    const { machine, engine } = await openEngine(store, device, clock);
    const requests = new OwnRequests(this.#homeserver, clock, silent);
    const api = new OwnApi(requests, this.client.token, () => store.settled());
    const base = { machine, engine, store, api, clock, logger: silent };
    const outgoing = new OutgoingRequests({
      ...base,
      onKeysRefused: () => this.refused.push(device.userId),
    });
    const taken: string[] = [];
    const feed = new Feed(
      {
        ...base,
        onTaken: (part) => taken.push(part.nextBatch),
        lastUploadMs: () => outgoing.lastUploadMs,
      },
      await loadFeedPositions(store),
    );
    const changes = new DeviceChanges({ machine, feed, api, outgoing, deadlineMs: sendDeadlineMs });
    return { ...base, outgoing, feed, changes, taken };
  }

  async #close(): Promise<void> {
    const { machine, store } = this.parts;
    machine.close();
    await this.stores.close(store);
  }
}
