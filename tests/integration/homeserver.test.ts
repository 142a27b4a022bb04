import { afterAll, beforeAll, expect, it } from "vitest";

import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { restOk } from "../support/rest.ts";

let homeserver: TestHomeserver;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
});

afterAll(async () => {
  await homeserver.stop();
});

it("gives each user a name of its own and each login a device of its own", async () => {
  const first = await homeserver.registerUser("same");
  const second = await homeserver.registerUser("same");
  const again = await homeserver.login(first);
  const named = await homeserver.login(first, "NAMED");

  expect(first.userId).not.toBe(second.userId);
  expect(again.userId).toBe(first.userId);
  expect(new Set([first.deviceId, again.deviceId, "NAMED"]).size).toBe(3);
  expect(named.deviceId).toBe("NAMED");
});

it("shows the to-device messages that wait for a device", async () => {
  const alice = await homeserver.registerUser("alice");
  const bob = await homeserver.registerUser("bob");
  const path = "/_matrix/client/v3/sendToDevice/org.example.greeting/one";
  await restOk(homeserver.url + path, {
    method: "PUT",
    token: alice.accessToken,
    body: { messages: { [bob.userId]: { [bob.deviceId]: { greeting: "hello" } } } },
  });

  const inbox = await homeserver.toDeviceInbox(bob.userId, bob.deviceId);

  expect(inbox).toHaveLength(1);
  expect(inbox[0]).toContain("hello");
  expect(await homeserver.toDeviceInbox(alice.userId, alice.deviceId)).toEqual([]);
});

it("hands out each appservice registration once", async () => {
  const one = await homeserver.claimAppservice();
  const two = await homeserver.claimAppservice();
  const answer = await restOk(`${homeserver.url}/_matrix/client/v3/login`, {
    method: "POST",
    token: one.asToken,
    body: {
      type: "m.login.application_service",
      identifier: { type: "m.id.user", user: one.senderLocalpart },
    },
  });

  expect(one.id).not.toBe(two.id);
  expect(answer["user_id"]).toBe(`@${one.senderLocalpart}:${homeserver.serverName}`);
});

it("shows a user online from its first sync on, where the homeserver has presence", async () => {
  const user = await homeserver.registerUser("alice");
  expect(await homeserver.presenceOf(user)).toBe("offline");
  await restOk(`${homeserver.url}/_matrix/client/v3/sync?timeout=0`, { token: user.accessToken });
  const hasPresence = homeserver.kind !== "synapse";
  expect(await homeserver.presenceOf(user)).toBe(hasPresence ? "online" : "offline");
});
