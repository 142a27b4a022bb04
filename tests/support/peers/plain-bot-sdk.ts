import { asRecord, stringField } from "../json.ts";
import { Waiter } from "../waiter.ts";
import { abortRequests, botSdk, type BotSdkClient } from "./bot-sdk.ts";
import type { PeerAccount } from "./sdk-peer.ts";

/** An event as a bot's handler gets it. */
export interface BotEvent {
  readonly eventId: string;
  readonly roomId: string;
  readonly sender: string;
  readonly type: string;
  readonly content: Readonly<Record<string, unknown>>;
  /** The whole event. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/**
 * A matrix-bot-sdk client without any crypto: the plain bot that sits behind Kirjava. `events` is what
 * its handlers were called with.
 */
export class PlainBotSdk {
  readonly account: PeerAccount;
  /** The base URL it talks to. */
  readonly url: string;
  readonly client: BotSdkClient;
  /** Each call of the `room.event` handler, in order. */
  readonly events = new Waiter<BotEvent>((event) => JSON.stringify({ ...event, raw: undefined }));
  /** Rooms it was invited to, in order. */
  readonly invites = new Waiter<string>();
  readonly #synced = new Waiter<string | null>();

  private constructor(url: string, account: PeerAccount) {
    this.url = url;
    this.account = account;
    const sdk = botSdk();
    const storage = new sdk.MemoryStorageProvider();
    const setSyncToken = storage.setSyncToken.bind(storage);
    storage.setSyncToken = (token) => {
      setSyncToken(token);
      this.#synced.push(token);
    };
    this.client = new sdk.MatrixClient(url, account.accessToken, storage);
    // The token is then stored after the handlers ran: that is when a sync is through.
    this.client.persistTokenAfterSync = true;
    this.client.on("room.event", (roomId: string, event: unknown) => {
      this.events.push(botEvent(roomId, asRecord(event)));
    });
    this.client.on("room.invite", (roomId: string) => {
      this.invites.push(roomId);
    });
  }

  /** Starts a client on `url` (a homeserver's or a proxy's) and waits for its first sync. */
  static async start(url: string, account: PeerAccount): Promise<PlainBotSdk> {
    const bot = new PlainBotSdk(url, account);
    await bot.client.start();
    await bot.#synced.find("the first sync", (token) => token !== null);
    return bot;
  }

  get userId(): string {
    return this.account.userId;
  }

  get deviceId(): string {
    return this.account.deviceId;
  }

  /** Sends a text message and returns its event id. */
  sendText(roomId: string, body: string): Promise<string> {
    return this.client.sendEvent(roomId, "m.room.message", { msgtype: "m.text", body });
  }

  /** The first event, past or future, that the predicate accepts. */
  waitForEvent(
    what: string,
    predicate: (event: BotEvent) => boolean,
    timeoutMs?: number,
  ): Promise<BotEvent> {
    return this.events.find(what, predicate, timeoutMs);
  }

  /** Waits until a handler was called with a text message of this body. */
  waitForText(body: string, timeoutMs?: number): Promise<BotEvent> {
    return this.waitForEvent(
      `a message ${JSON.stringify(body)}`,
      (event) => event.type === "m.room.message" && event.content["body"] === body,
      timeoutMs,
    );
  }

  /** Stops syncing; the device stays. */
  stop(): void {
    this.client.stop();
    abortRequests(this.account.accessToken);
  }
}

function botEvent(roomId: string, event: Readonly<Record<string, unknown>>): BotEvent {
  return {
    eventId: stringField(event, "event_id"),
    roomId,
    sender: stringField(event, "sender"),
    type: stringField(event, "type"),
    content: asRecord(event["content"] ?? {}),
    raw: event,
  };
}
