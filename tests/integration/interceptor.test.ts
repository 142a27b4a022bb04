import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";

import { startTestHomeserver, type TestHomeserver, type TestUser } from "../support/homeserver.ts";
import { Interceptor, jsonAnswer } from "../support/interceptor.ts";
import { rest } from "../support/rest.ts";

const WHOAMI = "/_matrix/client/v3/account/whoami";
let homeserver: TestHomeserver;
let user: TestUser;
let wire: Interceptor;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  user = await homeserver.registerUser("alice");
});

afterAll(async () => {
  await homeserver.stop();
});

beforeEach(async () => {
  wire = await Interceptor.start(homeserver.url);
});

afterEach(async () => {
  await wire.stop();
});

const whoami = () => rest(wire.url + WHOAMI, { token: user.accessToken });

it("lets requests and answers through", async () => {
  expect((await whoami()).json).toMatchObject({ user_id: user.userId });
  expect(wire.requests.seen.map(({ method, path }) => [method, path])).toEqual([["GET", WHOAMI]]);
});

it("holds a request until it is released", async () => {
  const held = wire.hold("GET", /whoami/);
  let answered = false;
  const answer = whoami().finally(() => {
    answered = true;
  });
  await wire.waitForRequest("GET", /whoami/);
  await rest(`${wire.url}/_matrix/client/versions`);
  expect(answered).toBe(false);
  held.release();
  expect((await answer).status).toBe(200);
});

it("answers in the homeserver's place until the rule is taken back", async () => {
  const remove = wire.on("GET", /whoami/, () =>
    Promise.resolve(jsonAnswer(429, { errcode: "M_LIMIT_EXCEEDED" })),
  );
  expect((await whoami()).status).toBe(429);
  remove();
  expect((await whoami()).status).toBe(200);
});

it("loses one answer of a request that the homeserver got", async () => {
  const roomName = { name: "lost" };
  wire.loseNextAnswer("POST", /createRoom/);
  const create = () =>
    rest(`${wire.url}/_matrix/client/v3/createRoom`, {
      method: "POST",
      token: user.accessToken,
      body: roomName,
    });
  await expect(create()).rejects.toThrow("fetch failed");
  expect((await create()).status).toBe(200);
  const events = await homeserver.eventContents();
  expect(events.filter((event) => event.json.includes('"name":"lost"'))).toHaveLength(2);
});

it("refuses connections while the wire is cut", async () => {
  await wire.cut();
  await expect(whoami()).rejects.toThrow("fetch failed");
  await wire.mend();
  expect((await whoami()).status).toBe(200);
});
