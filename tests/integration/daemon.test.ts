import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver, type TestUser } from "../support/homeserver.ts";
import { rest } from "../support/rest.ts";

let homeserver: TestHomeserver;
let user: TestUser;
let daemon: Daemon;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  user = await homeserver.registerUser("alice");
});

afterAll(async () => {
  await homeserver.stop();
});

beforeEach(async () => {
  daemon = await Daemon.start({ homeserver: homeserver.url });
});

afterEach(async () => {
  await daemon.dispose();
});

const whoami = () =>
  rest(`${daemon.url}/_matrix/client/v3/account/whoami`, { token: user.accessToken });

it("serves the homeserver's API on its own address", async () => {
  expect((await whoami()).json).toMatchObject({ user_id: user.userId, device_id: user.deviceId });
});

it("ends with code 0 on SIGTERM and serves the same address after a restart", async () => {
  await daemon.stop();
  await expect(whoami()).rejects.toThrow("fetch failed");
  await daemon.launch();
  expect((await whoami()).status).toBe(200);
  await daemon.restart();
  expect((await whoami()).status).toBe(200);
});

it("comes back after a SIGKILL", async () => {
  await daemon.crash();
  expect((await whoami()).status).toBe(200);
});

it("refuses to start on a configuration with an unknown key, and says which", async () => {
  const section = { Colour: "blue" };
  await expect(Daemon.start({ homeserver: homeserver.url, section })).rejects.toThrow(/Colour/);
});

it("writes no access token to its log", async () => {
  await whoami();
  await daemon.stop();
  expect(daemon.lines.seen.length).toBeGreaterThan(0);
  expect(daemon.log).not.toContain(user.accessToken);
});
