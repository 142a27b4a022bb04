import { rest } from "../rest.ts";
import { Waiter } from "../waiter.ts";
import { createSdkClient, type SdkClient, type SdkEvent, type SdkMember } from "./js-sdk.ts";

/** What a peer saw of an event, at one moment: an event decrypted late is seen twice. */
export interface PeerEvent {
  readonly eventId: string;
  readonly roomId: string;
  readonly sender: string;
  /** Type and content as the peer's user would see them. */
  readonly type: string;
  readonly content: Readonly<Record<string, unknown>>;
  /** Whether it came to this peer encrypted. */
  readonly encrypted: boolean;
  /** Why this peer could not decrypt it; null where it could, or had nothing to decrypt. */
  readonly failure: string | null;
  /** The event as this peer's server sent it, before the peer's own decryption. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** Who to be, and where. `accessToken` and `deviceId` come from a registration or a login. */
export interface PeerAccount {
  readonly userId: string;
  readonly deviceId: string;
  readonly accessToken: string;
}

/** A matrix-js-sdk client that syncs and keeps what it sees. The base of both js-sdk peers. */
export class SdkPeer {
  readonly account: PeerAccount;
  /** The base URL it talks to. */
  readonly url: string;
  readonly client: SdkClient;
  /** Each sight of each event, in order. */
  readonly events = new Waiter<PeerEvent>((event) => JSON.stringify({ ...event, raw: undefined }));
  readonly #changes = new Waiter<string>();

  protected constructor(url: string, account: PeerAccount, client: SdkClient) {
    this.url = url;
    this.account = account;
    this.client = client;
    client.on("Room.timeline", (event: SdkEvent, _room: unknown, toStart: boolean | undefined) => {
      if (toStart !== true) this.#saw(event);
    });
    client.on("Event.decrypted", (event: SdkEvent) => {
      this.#saw(event);
    });
    client.on("Room.localEchoUpdated", (event: SdkEvent) => {
      this.#saw(event);
    });
    // A new room is known only at the end of the sync that brought it, after its state's events.
    client.on("sync", (state: string) => {
      this.#changes.push(state);
    });
    client.on("RoomState.events", (event: SdkEvent) => {
      this.#changes.push(event.getType());
    });
    // An edit takes effect on the event that it replaces later than it comes itself.
    for (const name of ["Event.replaced", "Room.timeline", "Room.redaction", "Event.decrypted"]) {
      client.on(name, () => {
        this.#changes.push(name);
      });
    }
    client.on("RoomMember.membership", (_event: SdkEvent, member: SdkMember) => {
      this.#changes.push(`${member.userId} ${member.membership ?? ""}`);
    });
  }

  /** A client for `url`, not started. */
  protected static client(url: string, account: PeerAccount): Promise<SdkClient> {
    return createSdkClient({
      baseUrl: url,
      userId: account.userId,
      deviceId: account.deviceId,
      accessToken: account.accessToken,
    });
  }

  /** Starts syncing and resolves after the first sync. */
  protected async begin(): Promise<void> {
    const states = new Waiter<string>();
    this.client.on("sync", (state: string) => {
      states.push(state);
    });
    await this.client.startClient({ initialSyncLimit: 50 });
    await states.find("the first sync", (state) => state === "PREPARED");
  }

  get userId(): string {
    return this.account.userId;
  }

  get deviceId(): string {
    return this.account.deviceId;
  }

  /** Creates a room in the clear, waits until this client knows it, and returns its id. */
  async createRoom(options: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const { room_id: roomId } = await this.client.createRoom({
      preset: "private_chat",
      ...options,
    });
    await this.waitForMember(roomId, this.userId, "join");
    return roomId;
  }

  /** Joins a room and waits until this client knows that it is in. */
  async join(roomId: string): Promise<void> {
    await this.client.joinRoom(roomId);
    await this.waitForMember(roomId, this.userId, "join");
  }

  /** Sends a text message and returns its event id. */
  sendText(roomId: string, body: string): Promise<string> {
    return this.send(roomId, "m.room.message", { msgtype: "m.text", body });
  }

  /** Sends an event and returns its id. */
  async send(
    roomId: string,
    type: string,
    content: Readonly<Record<string, unknown>>,
    txnId?: string,
  ): Promise<string> {
    const answer = await this.client.sendEvent(roomId, type, content, txnId);
    return answer.event_id;
  }

  /** The first sight, past or future, of an event that the predicate accepts. */
  waitForEvent(
    what: string,
    predicate: (event: PeerEvent) => boolean,
    timeoutMs?: number,
  ): Promise<PeerEvent> {
    return this.events.find(what, predicate, timeoutMs);
  }

  /** Waits until a text message with this body is readable. */
  waitForText(body: string, timeoutMs?: number): Promise<PeerEvent> {
    return this.waitForEvent(
      `a message ${JSON.stringify(body)}`,
      (event) => event.type === "m.room.message" && event.content["body"] === body,
      timeoutMs,
    );
  }

  /** Waits until this client knows that a user's membership of a room is as given. */
  async waitForMember(roomId: string, userId: string, membership: string): Promise<void> {
    await this.waitForState(
      `${userId} to be "${membership}" in ${roomId}`,
      () => this.client.getRoom(roomId)?.getMember(userId)?.membership === membership,
    );
  }

  /** Waits until something about this client's rooms is true; looked at whenever state changes. */
  async waitForState(what: string, holds: () => boolean): Promise<void> {
    if (holds()) return;
    await this.#changes.find(what, () => holds());
  }

  /** The live timeline of a room as the client's user sees it, oldest first. */
  timeline(roomId: string): PeerEvent[] {
    const room = this.client.getRoom(roomId);
    return (room?.getLiveTimeline().getEvents() ?? []).map(peerEvent);
  }

  /** What the client's user sees of an event now, relations applied; undefined where it is unknown. */
  view(roomId: string, eventId: string): SdkEvent | undefined {
    return this.client.getRoom(roomId)?.findEventById(eventId);
  }

  /** The events that relate to an event, as this client has gathered them. */
  relating(roomId: string, eventId: string, relationType: string, eventType: string): SdkEvent[] {
    const relations = this.client.getRoom(roomId)?.relations;
    const found = relations?.getChildEventsForEvent(eventId, relationType, eventType);
    return found?.getRelations() ?? [];
  }

  /** Asks this peer's server with the peer's token. */
  request(path: string, method = "GET", body?: unknown): ReturnType<typeof rest> {
    return rest(this.url + path, { method, token: this.account.accessToken, body });
  }

  /** Logs this device out and stops. */
  async logout(): Promise<void> {
    await this.client.logout(true);
    this.stop();
  }

  /** Stops syncing; the device stays. */
  stop(): void {
    this.client.stopClient();
  }

  #saw(event: SdkEvent): void {
    // A local echo has no id of the server's yet and is seen again when it has.
    if (event.getId()?.startsWith("$") !== true) return;
    if (event.isBeingDecrypted()) return;
    this.events.push(peerEvent(event));
  }
}

function peerEvent(event: SdkEvent): PeerEvent {
  return {
    eventId: event.getId() ?? "",
    roomId: event.getRoomId() ?? "",
    sender: event.getSender() ?? "",
    type: event.getType(),
    content: event.getContent(),
    encrypted: event.isEncrypted(),
    failure: event.isDecryptionFailure() ? (event.decryptionFailureReason ?? "unknown") : null,
    raw: event.event,
  };
}
