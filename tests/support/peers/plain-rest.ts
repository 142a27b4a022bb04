import { asRecord, stringField } from "../json.ts";
import { rest, restOk, type RestResponse } from "../rest.ts";
import { Waiter } from "../waiter.ts";
import type { PeerAccount } from "./sdk-peer.ts";

/** An event as a response of `/sync` showed it. */
export interface SyncedEvent {
  readonly eventId: string;
  readonly roomId: string;
  readonly type: string;
  readonly content: Readonly<Record<string, unknown>>;
  readonly raw: Readonly<Record<string, unknown>>;
}

/** What one response of `/sync` held, as far as tests look. */
export interface SyncAnswer {
  readonly nextBatch: string;
  /** Timeline events of joined rooms. */
  readonly events: readonly SyncedEvent[];
  readonly toDevice: readonly Readonly<Record<string, unknown>>[];
}

let transactions = 0;

/**
 * A plain client of single requests: no SDK between the test and what goes over the wire, every
 * status as it came.
 */
export class PlainRest {
  /** Base URL that it talks to. */
  readonly url: string;
  readonly account: PeerAccount;

  constructor(url: string, account: PeerAccount) {
    this.url = url;
    this.account = account;
  }

  get userId(): string {
    return this.account.userId;
  }

  /** One request below `/_matrix/client/v3`; any status is an answer. */
  request(method: string, path: string, body?: unknown): Promise<RestResponse> {
    const url = `${this.url}/_matrix/client/v3${path}`;
    return rest(url, { method, token: this.account.accessToken, body });
  }

  /** As {@link request}; rate limits are waited out and anything but a 2xx throws. */
  ok(method: string, path: string, body?: unknown): Promise<Readonly<Record<string, unknown>>> {
    const url = `${this.url}/_matrix/client/v3${path}`;
    return restOk(url, { method, token: this.account.accessToken, body });
  }

  async createRoom(options: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const body = { preset: "private_chat", ...options };
    return stringField(await this.ok("POST", "/createRoom", body), "room_id");
  }

  /** A room that is encrypted from its first event on. */
  createEncryptedRoom(
    invite: readonly string[] = [],
    encryption: Readonly<Record<string, unknown>> = {},
  ): Promise<string> {
    const content = { algorithm: "m.megolm.v1.aes-sha2", ...encryption };
    return this.createRoom({
      invite,
      initial_state: [{ type: "m.room.encryption", state_key: "", content }],
    });
  }

  async join(roomId: string): Promise<void> {
    await this.ok("POST", `/join/${encodeURIComponent(roomId)}`, {});
  }

  async leave(roomId: string): Promise<void> {
    await this.ok("POST", `/rooms/${encodeURIComponent(roomId)}/leave`, {});
  }

  async invite(roomId: string, userId: string): Promise<void> {
    await this.ok("POST", `/rooms/${encodeURIComponent(roomId)}/invite`, { user_id: userId });
  }

  /** One attempt to send a text message. */
  trySend(roomId: string, body: string, txnId = nextTxn()): Promise<RestResponse> {
    const path = `/rooms/${encodeURIComponent(roomId)}/send/m.room.message/${txnId}`;
    return this.request("PUT", path, { msgtype: "m.text", body });
  }

  /** Sends a text message and returns its event id; rate limits are waited out. */
  async sendText(roomId: string, body: string, txnId = nextTxn()): Promise<string> {
    const path = `/rooms/${encodeURIComponent(roomId)}/send/m.room.message/${txnId}`;
    return stringField(await this.ok("PUT", path, { msgtype: "m.text", body }), "event_id");
  }

  /** Sends a to-device message of an application. */
  async sendToDevice(
    type: string,
    messages: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  ): Promise<void> {
    await this.ok("PUT", `/sendToDevice/${type}/${nextTxn()}`, { messages });
  }

  /** One `/sync`; `timeoutMs` is the homeserver's to wait. */
  async sync(since: string | null, timeoutMs = 0, signal?: AbortSignal): Promise<SyncAnswer> {
    const query = new URLSearchParams({ timeout: String(timeoutMs) });
    query.set("filter", JSON.stringify({ room: { timeline: { limit: 1000 } } }));
    if (since !== null) query.set("since", since);
    const response = await fetch(`${this.url}/_matrix/client/v3/sync?${query.toString()}`, {
      headers: { Authorization: `Bearer ${this.account.accessToken}` },
      ...(signal === undefined ? {} : { signal }),
    });
    const text = await response.text();
    if (response.status !== 200) {
      throw new Error(`/sync: expected 200, got ${response.status}: ${text}`);
    }
    return readSync(asRecord(JSON.parse(text)));
  }
}

/** A {@link PlainRest} that syncs without pause and keeps what it is shown. */
export class PlainSyncer {
  /** Each timeline event of each response, in order. */
  readonly events = new Waiter<SyncedEvent>((event) =>
    JSON.stringify({ ...event, raw: undefined }),
  );
  /** Each to-device event of each response, in order. */
  readonly toDevice = new Waiter<Readonly<Record<string, unknown>>>();
  /** Responses whose position this client has taken over. */
  readonly positions = new Waiter<string>();
  readonly #client: PlainRest;
  readonly #abort = new AbortController();
  #since: string | null;
  #failure: unknown = null;
  readonly #running: Promise<void>;

  private constructor(client: PlainRest, since: string | null) {
    this.#client = client;
    this.#since = since;
    this.#running = this.#run();
  }

  /** Starts after an initial sync, whose events are not kept; or at a position. */
  static async start(client: PlainRest, since?: string): Promise<PlainSyncer> {
    return new PlainSyncer(client, since ?? (await client.sync(null)).nextBatch);
  }

  /** The position to go on from. */
  get position(): string | null {
    return this.#since;
  }

  /** How often an event was shown. */
  count(predicate: (event: SyncedEvent) => boolean): number {
    return this.events.seen.filter(predicate).length;
  }

  /** The text messages of a room in the order in which they came. */
  texts(roomId: string): unknown[] {
    return this.events.seen
      .filter((event) => event.roomId === roomId && event.type === "m.room.message")
      .map((event) => event.content["body"]);
  }

  waitForText(body: string, timeoutMs?: number): Promise<SyncedEvent> {
    return this.events.find(
      `a message ${JSON.stringify(body)}`,
      (event) => event.type === "m.room.message" && event.content["body"] === body,
      timeoutMs,
    );
  }

  /** Ends it; throws where a sync had failed. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
    if (this.#failure !== null) throw this.#failure as Error;
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    try {
      while (!signal.aborted) {
        const answer = await this.#client.sync(this.#since, 30_000, signal);
        this.#since = answer.nextBatch;
        for (const event of answer.events) this.events.push(event);
        for (const event of answer.toDevice) this.toDevice.push(event);
        this.positions.push(answer.nextBatch);
      }
    } catch (error) {
      if (!signal.aborted) this.#failure = error;
    }
  }
}

function readSync(answer: Readonly<Record<string, unknown>>): SyncAnswer {
  const joined = asRecord(asRecord(answer["rooms"] ?? {})["join"] ?? {});
  const events = Object.entries(joined).flatMap(([roomId, room]) => {
    const timeline = asRecord(asRecord(room)["timeline"] ?? {});
    return ((timeline["events"] ?? []) as unknown[]).map((item) => {
      const raw = asRecord(item);
      return {
        eventId: stringField(raw, "event_id"),
        roomId,
        type: stringField(raw, "type"),
        content: asRecord(raw["content"] ?? {}),
        raw,
      };
    });
  });
  const toDevice = (asRecord(answer["to_device"] ?? {})["events"] ?? []) as unknown[];
  return { nextBatch: stringField(answer, "next_batch"), events, toDevice: toDevice.map(asRecord) };
}

/** A transaction id that was not used before. */
export function nextTxn(): string {
  transactions += 1;
  return `txn-${process.pid}-${Date.now()}-${transactions}`;
}
