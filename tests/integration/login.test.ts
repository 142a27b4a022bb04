import { randomBytes } from "node:crypto";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver, type TestUser } from "../support/homeserver.ts";
import { Interceptor, jsonAnswer } from "../support/interceptor.ts";
import { asRecord, stringField } from "../support/json.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { PlainRest } from "../support/peers/plain-rest.ts";
import { rest, restOk, type RestResponse } from "../support/rest.ts";

type JsonObject = Readonly<Record<string, unknown>>;

let homeserver: TestHomeserver;
let wire: Interceptor;
let daemon: Daemon;
/** An encrypted device that reads what the clients of these tests send. */
let reader: LightDevice;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  wire = await Interceptor.start(homeserver.url);
  daemon = await Daemon.start({ homeserver: wire.url });
  reader = await LightDevice.start(homeserver.url, await homeserver.registerUser("reader"));
});

afterAll(async () => {
  await daemon.dispose();
  await wire.stop();
  await homeserver.stop();
});

const CLIENT = "/_matrix/client/v3";

/** One address for each request, as homeservers limit log-ins by address. */
function fromAnywhere(): { readonly "X-Forwarded-For": string } {
  const [a, b] = randomBytes(2);
  return { "X-Forwarded-For": `198.19.${a ?? 0}.${b ?? 0}` };
}

/** A POST without a token, through Kirjava; rate limits are waited out. */
function post(path: string, body: JsonObject): Promise<JsonObject> {
  return restOk(daemon.url + path, { method: "POST", headers: fromAnywhere(), body });
}

function accountOf(answer: JsonObject): TestUser {
  return {
    userId: stringField(answer, "user_id"),
    deviceId: stringField(answer, "device_id"),
    accessToken: stringField(answer, "access_token"),
    password: "",
  };
}

/** The client sends at once, and the reader can read it: the device is known and has its keys. */
async function expectEncrypts(account: TestUser): Promise<PlainRest> {
  const client = new PlainRest(daemon.url, account);
  const roomId = await client.createEncryptedRoom([reader.userId]);
  await new PlainRest(homeserver.url, reader.account).join(roomId);
  const word = randomBytes(8).toString("hex");
  const eventId = await client.sendText(roomId, word);
  expect((await reader.read(roomId, eventId)).content).toMatchObject({ body: word });
  const { content } = await reader.event(roomId, eventId);
  expect(JSON.stringify(content)).not.toContain(word);
  return client;
}

function passwordLogin(user: TestUser): JsonObject {
  return {
    type: "m.login.password",
    identifier: { type: "m.id.user", user: user.userId },
    password: user.password,
  };
}

async function expectUnknownToken(account: TestUser): Promise<void> {
  const client = new PlainRest(daemon.url, account);
  const room = encodeURIComponent("!room:example.org");
  const tries: [string, string][] = [
    ["GET", "/sync?timeout=0"],
    ["GET", `/rooms/${room}/messages?dir=b`],
    ["GET", "/account/whoami"],
    ["PUT", `/rooms/${room}/send/m.room.message/1`],
    ["GET", "/joined_rooms"],
  ];
  for (const [method, path] of tries) {
    const answer = await client.request(method, path, method === "PUT" ? {} : undefined);
    expect([path, answer.status, answer.json["errcode"]]).toEqual([path, 401, "M_UNKNOWN_TOKEN"]);
  }
}

/** The fingerprint key that the homeserver holds for a device. */
async function deviceKey({ userId, deviceId }: TestUser): Promise<string> {
  const answer = await restOk(`${homeserver.url}${CLIENT}/keys/query`, {
    method: "POST",
    token: reader.account.accessToken,
    body: { device_keys: { [userId]: [] } },
  });
  const ofUser = asRecord(asRecord(answer["device_keys"])[userId] ?? {});
  const device = asRecord(ofUser[deviceId] ?? {});
  return stringField(asRecord(device["keys"]), `ed25519:${deviceId}`);
}

describe("logging in through Kirjava", () => {
  it("works with a password, under v3 and r0", async () => {
    const user = await homeserver.registerUser("password");
    for (const path of [`${CLIENT}/login`, "/_matrix/client/r0/login"]) {
      const answer = await post(path, passwordLogin(user));
      expect(answer["user_id"]).toBe(user.userId);
      await expectEncrypts(accountOf(answer));
    }
  });

  it("passes the refusal of a wrong password", async () => {
    const user = await homeserver.registerUser("wrong");
    const answer = await rest(`${daemon.url}${CLIENT}/login`, {
      method: "POST",
      headers: fromAnywhere(),
      body: { ...passwordLogin(user), password: "not this" },
    });
    expect([answer.status, answer.json["errcode"]]).toEqual([403, "M_FORBIDDEN"]);
  });

  it("works with a login token, and points well_known to itself", async () => {
    const user = await homeserver.registerUser("token");
    const remove = wire.on("POST", /\/login$/, async (request) => {
      expect(JSON.parse(request.body)).toEqual({ type: "m.login.token", token: "once" });
      const { userId, deviceId, accessToken } = await homeserver.login(user);
      return jsonAnswer(200, {
        user_id: userId,
        device_id: deviceId,
        access_token: accessToken,
        well_known: { "m.homeserver": { base_url: "https://away.example.org" }, "org.x": 1 },
      });
    });
    const answer = await post(`${CLIENT}/login`, { type: "m.login.token", token: "once" });
    remove();
    expect(answer["well_known"]).toEqual({ "m.homeserver": { base_url: daemon.url }, "org.x": 1 });
    await expectEncrypts(accountOf(answer));
  });

  it("works as an application service", async () => {
    const appservice = await homeserver.claimAppservice();
    const username = `${appservice.userPrefix}ghost${randomBytes(3).toString("hex")}`;
    const asService = (path: string, body: JsonObject) =>
      restOk(daemon.url + path, { method: "POST", token: appservice.asToken, body });
    const registered = await asService(`${CLIENT}/register`, {
      type: "m.login.application_service",
      username,
      inhibit_login: true,
    });
    expect(registered).not.toHaveProperty("access_token");
    const answer = await asService(`${CLIENT}/login`, {
      type: "m.login.application_service",
      identifier: { type: "m.id.user", user: username },
    });
    await expectEncrypts(accountOf(answer));
  });

  it("passes single sign-on redirects with their Location untouched", async () => {
    const location = "https://sso.example.org/auth?client=%7B&redirect=http%3A%2F%2Flocalhost#x";
    const paths: string[] = [];
    const remove = wire.on("GET", /\/login\/sso\/redirect/, (request) => {
      paths.push(request.path);
      return Promise.resolve({ status: 302, headers: { location }, body: Buffer.alloc(0) });
    });
    const path = `${CLIENT}/login/sso/redirect/oidc-a?redirectUrl=http%3A%2F%2Flocalhost%2F%3Fq%3D1`;
    const answer = await rest(daemon.url + path);
    remove();
    expect([answer.status, answer.headers.get("location")]).toEqual([302, location]);
    expect(paths).toEqual([path]);
  });

  it("needs no login at all: a token that it never saw before works", async () => {
    await expectEncrypts(await homeserver.registerUser("unseen"));
  });
});

describe("registering through Kirjava", () => {
  async function register(body: JsonObject): Promise<JsonObject> {
    const username = `made-${randomBytes(5).toString("hex")}`;
    const account = { username, password: randomBytes(9).toString("hex"), ...body };
    const headers = fromAnywhere();
    const url = `${daemon.url}${CLIENT}/register`;
    const asked = await rest(url, { method: "POST", headers, body: account });
    if (asked.status === 200) return asked.json;
    // A round of user-interactive authentication passes as it is.
    expect(asked.status).toBe(401);
    const session = stringField(asked.json, "session");
    const auth = { type: "m.login.dummy", session };
    return restOk(url, { method: "POST", headers, body: { ...account, auth } });
  }

  it("gives a device that encrypts at once", async () => {
    await expectEncrypts(accountOf(await register({})));
  });

  it("with inhibit_login gives none", async () => {
    const answer = await register({ inhibit_login: true });
    expect(answer).not.toHaveProperty("access_token");
    expect(answer["user_id"]).toMatch(/^@made-/);
  });
});

describe("refreshing a token through Kirjava", () => {
  it("keeps the device and its keys", async () => {
    const user = await homeserver.registerUser("refresh");
    const answer = await post(`${CLIENT}/login`, { ...passwordLogin(user), refresh_token: true });
    const before = accountOf(answer);
    await expectEncrypts(before);
    const ed25519 = await deviceKey(before);
    const refreshToken = stringField(answer, "refresh_token");
    const fresh = await post(`${CLIENT}/refresh`, { refresh_token: refreshToken });
    const accessToken = stringField(fresh, "access_token");
    expect(accessToken).not.toBe(before.accessToken);
    await expectEncrypts({ ...before, accessToken });
    expect(await deviceKey(before)).toBe(ed25519);
  });
});

describe("logging out", () => {
  it("ends the token and the device at once", async () => {
    const user = await homeserver.registerUser("logout");
    const client = await expectEncrypts(user);
    await client.ok("POST", "/logout", {});
    await expectUnknownToken(user);
    await expect(deviceKey(user)).rejects.toThrow();
  });

  it("everywhere ends every device of the user", async () => {
    const user = await homeserver.registerUser("logout-all");
    const second = await homeserver.login(user);
    const client = await expectEncrypts(user);
    await expectEncrypts(second);
    await client.ok("POST", "/logout/all", {});
    await expectUnknownToken(user);
    await expectUnknownToken(second);
  });

  it("at the homeserver itself is noticed at the next request", async () => {
    const user = await homeserver.registerUser("elsewhere");
    const client = await expectEncrypts(user);
    const rooms = (await client.ok("GET", "/joined_rooms"))["joined_rooms"] as readonly string[];
    await new PlainRest(homeserver.url, user).ok("POST", "/logout", {});
    const sent = await client.trySend(rooms[0] ?? "", "too late");
    expect([sent.status, sent.json["errcode"]]).toEqual([401, "M_UNKNOWN_TOKEN"]);
    await expectUnknownToken(user);
  });
});

describe("a token that nobody gave out", () => {
  it("is answered as by the homeserver, wherever it stands", async () => {
    const account = await homeserver.registerUser("nobody");
    const accessToken = `syt_${randomBytes(12).toString("hex")}`;
    await expectUnknownToken({ ...account, accessToken });
    const url = (base: string) => `${base}${CLIENT}/sync?timeout=0&access_token=${accessToken}`;
    const seen = ({ status, json }: RestResponse) => [status, json["errcode"]];
    expect(seen(await rest(url(daemon.url)))).toEqual(seen(await rest(url(homeserver.url))));
  });
});
