import { createHmac, randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import type { StoredEvent, TestAppservice, TestHomeserver, TestUser } from "../homeserver.ts";
import { asRecord, stringField } from "../json.ts";
import type { Target } from "../manifest.ts";
import { restOk } from "../rest.ts";
import { SynapseDatabase } from "./synapse-database.ts";

/** What `npm run test:synapse` says about the Synapse it started (`KIRJAVA_TEST_CONNECTION`). */
interface Connection {
  readonly url: string;
  readonly serverName: string;
  readonly sharedSecret: string;
  /** Null where the homeserver is somebody else's: then only its API can be asked. */
  readonly databasePath: string | null;
  readonly claimFolder: string | null;
  readonly appservices: readonly TestAppservice[];
}

/** A homeserver that runs outside the test process: our Synapse, or any URL with a shared secret. */
export class RunningHomeserver implements TestHomeserver {
  readonly kind: Target;
  readonly #connection: Connection;
  readonly #database: SynapseDatabase | null;
  readonly #users: TestUser[] = [];

  private constructor(kind: Target, connection: Connection) {
    this.kind = kind;
    this.#connection = connection;
    this.#database =
      connection.databasePath === null ? null : new SynapseDatabase(connection.databasePath);
  }

  /** Reads the connection from the environment and, for a URL, asks the server for its name. */
  static async connect(kind: Target, environment: NodeJS.ProcessEnv): Promise<RunningHomeserver> {
    if (kind !== "url") {
      const text = environment["KIRJAVA_TEST_CONNECTION"];
      if (text === undefined) {
        throw new Error(
          `KIRJAVA_TEST_HOMESERVER is ${kind} but KIRJAVA_TEST_CONNECTION is missing: use npm run test:synapse`,
        );
      }
      return new RunningHomeserver(kind, JSON.parse(text) as Connection);
    }
    const url = (environment["KIRJAVA_TEST_HOMESERVER"] ?? "").replace(/\/+$/, "");
    const sharedSecret = environment["KIRJAVA_TEST_SHARED_SECRET"] ?? "";
    const probe = await registerBySecret(
      url,
      sharedSecret,
      "probe",
      randomBytes(8).toString("hex"),
    );
    return new RunningHomeserver(kind, {
      url,
      sharedSecret,
      serverName: probe.userId.slice(probe.userId.indexOf(":") + 1),
      databasePath: environment["KIRJAVA_TEST_DATABASE"] ?? null,
      claimFolder: null,
      appservices: [],
    });
  }

  get url(): string {
    return this.#connection.url;
  }

  get serverName(): string {
    return this.#connection.serverName;
  }

  async registerUser(localpart: string, password?: string): Promise<TestUser> {
    const user = await registerBySecret(
      this.url,
      this.#connection.sharedSecret,
      localpart,
      password ?? randomBytes(8).toString("hex"),
    );
    this.#users.push(user);
    return user;
  }

  async login(user: TestUser, deviceId?: string): Promise<TestUser> {
    const answer = await restOk(`${this.url}/_matrix/client/v3/login`, {
      method: "POST",
      headers: { "X-Forwarded-For": randomAddress() },
      body: {
        type: "m.login.password",
        identifier: { type: "m.id.user", user: user.userId },
        password: user.password,
        ...(deviceId === undefined ? {} : { device_id: deviceId }),
      },
    });
    const again = {
      userId: user.userId,
      deviceId: stringField(answer, "device_id"),
      accessToken: stringField(answer, "access_token"),
      password: user.password,
    };
    this.#users.push(again);
    return again;
  }

  async eventContents(roomId?: string): Promise<readonly StoredEvent[]> {
    if (this.#database !== null) return this.#database.events(roomId);
    return this.#eventsByApi(roomId);
  }

  toDeviceInbox(userId: string, deviceId: string): Promise<readonly string[]> {
    if (this.#database === null) {
      throw new Error("the to-device inbox can be read only where KIRJAVA_TEST_DATABASE is given");
    }
    return Promise.resolve(this.#database.toDeviceInbox(userId, deviceId));
  }

  async presenceOf(user: TestUser): Promise<string> {
    const path = `/_matrix/client/v3/presence/${encodeURIComponent(user.userId)}/status`;
    const answer = await restOk(this.url + path, { token: user.accessToken });
    return stringField(answer, "presence");
  }

  claimAppservice(): Promise<TestAppservice> {
    const { claimFolder, appservices } = this.#connection;
    for (const appservice of claimFolder === null ? [] : appservices) {
      try {
        // Making a folder is atomic: test files run in processes of their own.
        mkdirSync(join(claimFolder ?? "", appservice.id));
        return Promise.resolve(appservice);
      } catch {
        continue;
      }
    }
    throw new Error(`expected a free appservice registration, all ${appservices.length} are taken`);
  }

  stop(): Promise<void> {
    this.#database?.close();
    return Promise.resolve();
  }

  /** Without its database: what the homeserver itself shows of the rooms of this test's users. */
  async #eventsByApi(roomId?: string): Promise<StoredEvent[]> {
    const found = new Map<string, StoredEvent>();
    for (const user of this.#users) {
      const base = `${this.url}/_matrix/client/v3`;
      const token = user.accessToken;
      const joined = await restOk(`${base}/joined_rooms`, { token });
      for (const room of joined["joined_rooms"] as readonly string[]) {
        if (roomId !== undefined && room !== roomId) continue;
        let from = "";
        do {
          const query = `dir=b&limit=100${from === "" ? "" : `&from=${encodeURIComponent(from)}`}`;
          const page = await restOk(`${base}/rooms/${encodeURIComponent(room)}/messages?${query}`, {
            token,
          });
          for (const item of page["chunk"] as readonly unknown[]) {
            const event = asRecord(item);
            const eventId = stringField(event, "event_id");
            found.set(eventId, {
              eventId,
              roomId: room,
              type: stringField(event, "type"),
              sender: stringField(event, "sender"),
              json: JSON.stringify(event),
            });
          }
          from = typeof page["end"] === "string" ? page["end"] : "";
        } while (from !== "");
      }
    }
    return [...found.values()];
  }
}

/** A test address (RFC 2544): each log-in comes as from a machine of its own. */
function randomAddress(): string {
  const [a, b] = randomBytes(2);
  return `198.18.${a ?? 0}.${b ?? 0}`;
}

async function registerBySecret(
  url: string,
  sharedSecret: string,
  localpart: string,
  password: string,
): Promise<TestUser> {
  const path = `${url}/_synapse/admin/v1/register`;
  const nonce = stringField(await restOk(path), "nonce");
  const username = `${localpart}-${randomBytes(4).toString("hex")}`.toLowerCase();
  const mac = createHmac("sha1", sharedSecret)
    .update([nonce, username, password, "notadmin"].join("\0"))
    .digest("hex");
  const answer = await restOk(path, {
    method: "POST",
    body: { nonce, username, password, admin: false, mac },
  });
  return {
    userId: stringField(answer, "user_id"),
    deviceId: stringField(answer, "device_id"),
    accessToken: stringField(answer, "access_token"),
    password,
  };
}
