import type { Playground } from "../../../playground/server.ts";

/** What the tests use of a room event of matrix-js-sdk. */
export interface SdkEvent {
  getId(): string;
  getType(): string;
  getContent(): Record<string, unknown>;
  getWireType(): string;
  getRoomId(): string;
  isDecryptionFailure(): boolean;
  getAge(): number | undefined;
}

/** What the tests use of a client of matrix-js-sdk. */
export interface SdkClient {
  getUserId(): string;
  getDeviceId(): string;
  initRustCrypto(options: { useIndexedDB: boolean }): Promise<void>;
  startClient(options: Record<string, unknown>): Promise<void>;
  stopClient(): void;
  createRoom(options: Record<string, unknown>): Promise<{ room_id: string }>;
  joinRoom(roomId: string): Promise<unknown>;
  sendEvent(roomId: string, type: string, content: unknown): Promise<{ event_id: string }>;
  invite(roomId: string, userId: string): Promise<unknown>;
  getRoom(roomId: string): { getMember(userId: string): { membership?: string } | null } | null;
  getCrypto(): SdkCrypto;
  on(event: string, listener: (...values: never[]) => void): void;
  off(event: string, listener: (...values: never[]) => void): void;
}

/** What the tests use of the client's crypto. */
export interface SdkCrypto {
  bootstrapCrossSigning(options: {
    authUploadDeviceSigningKeys: (request: (auth: null) => Promise<void>) => Promise<void>;
  }): Promise<void>;
  getDeviceVerificationStatus(
    userId: string,
    deviceId: string,
  ): Promise<{ readonly signedByOwner: boolean } | null>;
  getUserDeviceInfo(userIds: string[]): Promise<Map<string, Map<string, unknown>>>;
}

interface Sdk {
  createClient(options: Record<string, unknown>): SdkClient;
}

interface Session {
  readonly user_id: string;
  readonly device_id: string;
  readonly access_token: string;
}

// the library's types need the DOM's, which this project does not have
const sdkName = ["matrix", "js", "sdk"].join("-");
const silent = Object.fromEntries(
  ["trace", "debug", "info", "warn", "error"].map((level) => [level, () => undefined]),
);
const logger: Record<string, unknown> = { ...silent, getChild: () => logger };

/** An encrypted client: matrix-js-sdk with its own crypto, keys in memory. */
export class SdkPeer {
  readonly client: SdkClient;
  readonly #events: SdkEvent[] = [];
  readonly #waiting = new Set<() => void>();

  private constructor(client: SdkClient) {
    this.client = client;
    const note = (event: SdkEvent): void => {
      if (!this.#events.includes(event)) this.#events.push(event);
      for (const wake of this.#waiting) wake();
    };
    const wake = (): void => {
      for (const check of this.#waiting) check();
    };
    client.on("event", note);
    client.on("Event.decrypted", note);
    client.on("sync", wake);
  }

  /** Registers the user and starts its first device. */
  static async register(playground: Playground, username: string): Promise<SdkPeer> {
    return SdkPeer.#start(playground, "register", {
      username,
      password: `${username}-password`,
      auth: { type: "m.login.dummy" },
    });
  }

  /** Logs in on a further device. */
  static async login(playground: Playground, username: string): Promise<SdkPeer> {
    return SdkPeer.#start(playground, "login", {
      type: "m.login.password",
      identifier: { type: "m.id.user", user: username },
      password: `${username}-password`,
    });
  }

  static async #start(playground: Playground, path: string, body: unknown): Promise<SdkPeer> {
    const response = await fetch(`${playground.url}/_matrix/client/v3/${path}`, {
      method: "POST",
      body: JSON.stringify(body),
    });
    const session = (await response.json()) as Session;
    const sdk = (await import(sdkName)) as Sdk;
    const client = sdk.createClient({
      baseUrl: playground.url,
      userId: session.user_id,
      deviceId: session.device_id,
      accessToken: session.access_token,
      logger,
    });
    await client.initRustCrypto({ useIndexedDB: false });
    const peer = new SdkPeer(client);
    await client.startClient({ initialSyncLimit: 20 });
    await playground.store.notifier.untilWaiting(session.user_id);
    return peer;
  }

  /** Resolves with the first decrypted event of this body. */
  async message(body: string): Promise<SdkEvent> {
    const find = (): SdkEvent | undefined =>
      this.#events.find((event) => event.getContent()["body"] === body);
    await this.until(() => find() !== undefined);
    const found = find();
    if (found === undefined) throw new Error(`no event with the body ${body}`);
    return found;
  }

  /** Resolves once `check` holds; looked at whenever the client saw something. */
  until(check: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!check()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** Resolves once the client has the keys of the device. */
  async knowsDevice(userId: string, deviceId: string): Promise<void> {
    for (;;) {
      let updated = (): void => undefined;
      const update = new Promise<void>((resolve) => {
        updated = resolve;
      });
      this.client.on("crypto.devicesUpdated", updated);
      const devices = await this.client.getCrypto().getUserDeviceInfo([userId]);
      if (devices.get(userId)?.has(deviceId) === true) return;
      await update;
      this.client.off("crypto.devicesUpdated", updated);
    }
  }

  stop(): void {
    this.client.stopClient();
  }
}
