import { randomBytes } from "node:crypto";

import { startPlayground, type Playground } from "../../../playground/index.ts";
import type { StoredEvent, TestAppservice, TestHomeserver, TestUser } from "../homeserver.ts";
import { stringField } from "../json.ts";
import { freePort } from "../ports.ts";
import { restOk } from "../rest.ts";

/** A playground of the test file's own, in the test process. */
export class PlaygroundHomeserver implements TestHomeserver {
  readonly kind = "playground";
  /** For switches that only the playground has (faults, its store). */
  readonly playground: Playground;
  #appservices = 0;

  private constructor(playground: Playground) {
    this.playground = playground;
  }

  static async start(): Promise<PlaygroundHomeserver> {
    return new PlaygroundHomeserver(await startPlayground({}));
  }

  get url(): string {
    return this.playground.url.replace(/\/+$/, "");
  }

  get serverName(): string {
    return this.playground.store.serverName;
  }

  async registerUser(localpart: string, password?: string): Promise<TestUser> {
    const secret = password ?? randomBytes(8).toString("hex");
    const answer = await restOk(`${this.url}/_matrix/client/v3/register`, {
      method: "POST",
      body: {
        username: `${localpart}-${randomBytes(4).toString("hex")}`.toLowerCase(),
        password: secret,
        auth: { type: "m.login.dummy" },
      },
    });
    return userOf(answer, secret);
  }

  async login(user: TestUser, deviceId?: string): Promise<TestUser> {
    const answer = await restOk(`${this.url}/_matrix/client/v3/login`, {
      method: "POST",
      body: {
        type: "m.login.password",
        identifier: { type: "m.id.user", user: user.userId },
        password: user.password,
        ...(deviceId === undefined ? {} : { device_id: deviceId }),
      },
    });
    return userOf(answer, user.password);
  }

  eventContents(roomId?: string): Promise<readonly StoredEvent[]> {
    const events = this.playground.store.events(roomId);
    return Promise.resolve(
      events.map(({ eventId, roomId, type, sender, ...rest }) => ({
        eventId,
        roomId,
        type,
        sender,
        json: JSON.stringify({ type, sender, ...rest }),
      })),
    );
  }

  toDeviceInbox(userId: string, deviceId: string): Promise<readonly string[]> {
    const inbox = this.playground.store.inbox(userId, deviceId);
    return Promise.resolve(inbox.map((message) => JSON.stringify(message)));
  }

  presenceOf(user: TestUser): Promise<string> {
    return Promise.resolve(this.playground.store.presenceShown(user.userId).at(-1) ?? "offline");
  }

  async claimAppservice(): Promise<TestAppservice> {
    const index = this.#appservices++;
    const appservice: TestAppservice = {
      id: `appservice${index}`,
      port: await freePort(),
      asToken: randomBytes(16).toString("hex"),
      hsToken: randomBytes(16).toString("hex"),
      senderLocalpart: `_as${index}bot`,
      userPrefix: `_as${index}_`,
    };
    const server = this.serverName.replaceAll(".", "\\.");
    this.playground.registerAppservice({
      id: appservice.id,
      url: `http://127.0.0.1:${appservice.port}`,
      as_token: appservice.asToken,
      hs_token: appservice.hsToken,
      sender_localpart: appservice.senderLocalpart,
      receive_ephemeral: true,
      "org.matrix.msc3202": true,
      namespaces: {
        users: [{ exclusive: true, regex: `@${appservice.userPrefix}.*:${server}` }],
        aliases: [{ exclusive: true, regex: `#${appservice.userPrefix}.*:${server}` }],
      },
    });
    return appservice;
  }

  stop(): Promise<void> {
    return this.playground.stop();
  }
}

function userOf(answer: Readonly<Record<string, unknown>>, password: string): TestUser {
  return {
    userId: stringField(answer, "user_id"),
    deviceId: stringField(answer, "device_id"),
    accessToken: stringField(answer, "access_token"),
    password,
  };
}
