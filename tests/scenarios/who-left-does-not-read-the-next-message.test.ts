import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver, type TestUser } from "../support/homeserver.ts";
import { asRecord, stringField } from "../support/json.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { PlainRest } from "../support/peers/plain-rest.ts";

let homeserver: TestHomeserver;
let daemon: Daemon;
let plain: PlainRest;
let staying: LightDevice;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  daemon = await Daemon.start({ homeserver: homeserver.url });
  plain = new PlainRest(daemon.url, await homeserver.registerUser("plain"));
  staying = await LightDevice.start(homeserver.url, await homeserver.registerUser("staying"));
});

afterAll(async () => {
  await daemon.dispose();
  await homeserver.stop();
});

async function sessionOf(roomId: string, eventId: string): Promise<string> {
  const event = await staying.event(roomId, eventId);
  expect(event["type"]).toBe("m.room.encrypted");
  return stringField(asRecord(event["content"]), "session_id");
}

/** Sends, checks that the staying member can read it, and says which session it used. */
async function send(roomId: string, body: string): Promise<{ eventId: string; session: string }> {
  const eventId = await plain.sendText(roomId, body);
  expect((await staying.read(roomId, eventId)).content["body"]).toBe(body);
  return { eventId, session: await sessionOf(roomId, eventId) };
}

async function roomWith(...users: readonly TestUser[]): Promise<string> {
  const invited = [staying.userId, ...users.map(({ userId }) => userId)];
  const roomId = await plain.createEncryptedRoom(invited);
  await new PlainRest(homeserver.url, staying.account).join(roomId);
  for (const user of users) await new PlainRest(homeserver.url, user).join(roomId);
  return roomId;
}

describe("the next message uses a new session", () => {
  it("right after a member left", async () => {
    const user = await homeserver.registerUser("leaver");
    const leaver = await LightDevice.start(homeserver.url, user);
    const roomId = await roomWith(user);
    const before = await send(roomId, "for both");
    await leaver.read(roomId, before.eventId);
    await new PlainRest(homeserver.url, user).leave(roomId);

    const after = await send(roomId, "for who stayed");

    expect(after.session).not.toBe(before.session);
    await leaver.sync();
    const event = { ...(await staying.event(roomId, after.eventId)) };
    await expect(leaver.decrypt(event)).rejects.toThrow("not decrypted");
  });

  it("right after a member was kicked through this proxy", async () => {
    const user = await homeserver.registerUser("kicked");
    const kicked = await LightDevice.start(homeserver.url, user);
    const roomId = await roomWith(user);
    const before = await send(roomId, "for both");
    const path = `/rooms/${encodeURIComponent(roomId)}/kick`;
    await plain.ok("POST", path, { user_id: user.userId });

    const after = await send(roomId, "for who stayed");

    expect(after.session).not.toBe(before.session);
    await kicked.sync();
    const event = await staying.event(roomId, after.eventId);
    await expect(kicked.decrypt(event)).rejects.toThrow("not decrypted");
  });

  it("right after an invited user declined", async () => {
    const user = await homeserver.registerUser("declining");
    await LightDevice.start(homeserver.url, user);
    const roomId = await plain.createEncryptedRoom([staying.userId, user.userId]);
    await new PlainRest(homeserver.url, staying.account).join(roomId);
    const before = await send(roomId, "for both");
    await new PlainRest(homeserver.url, user).leave(roomId);
    const after = await send(roomId, "for who stayed");
    expect(after.session).not.toBe(before.session);
  });

  it("right after a device logged out", async () => {
    const user = await homeserver.registerUser("peer");
    const first = await LightDevice.start(homeserver.url, user);
    const second = await homeserver.login(user);
    await LightDevice.start(homeserver.url, second);
    const roomId = await roomWith(user);
    const before = await send(roomId, "for both devices");
    await new PlainRest(homeserver.url, second).ok("POST", "/logout", {});

    const after = await send(roomId, "for the device that stayed");

    expect(after.session).not.toBe(before.session);
    const seen = await first.read(roomId, after.eventId);
    expect(seen.content["body"]).toBe("for the device that stayed");
  });
});

describe("the session goes on", () => {
  it("from message to message, when a member joins, and over a restart of the daemon", async () => {
    const roomId = await roomWith();
    const first = await send(roomId, "one");
    const second = await send(roomId, "two");
    const user = await homeserver.registerUser("joiner");
    const joiner = await LightDevice.start(homeserver.url, user);
    await plain.invite(roomId, user.userId);
    await new PlainRest(homeserver.url, user).join(roomId);
    const third = await send(roomId, "three");

    await daemon.restart();
    const fourth = await send(roomId, "four");
    await daemon.crash();
    const fifth = await send(roomId, "five");

    const sessions = [second, third, fourth, fifth].map(({ session }) => session);
    expect(sessions).toEqual(Array(4).fill(first.session));
    expect((await joiner.read(roomId, fifth.eventId)).content["body"]).toBe("five");
  });

  it("up to rotation_period_msgs messages, then a new one begins", async () => {
    const roomId = await plain.createEncryptedRoom([staying.userId], { rotation_period_msgs: 3 });
    await new PlainRest(homeserver.url, staying.account).join(roomId);
    const sessions: string[] = [];
    for (let index = 0; index < 5; index++) {
      sessions.push((await send(roomId, `message ${index}`)).session);
    }
    // Not at the restart, and not forgotten over it: messages 3 to 5 share the second session.
    await daemon.restart();
    sessions.push((await send(roomId, "message 5")).session);
    sessions.push((await send(roomId, "message 6")).session);

    const order = [...new Set(sessions)];
    expect(sessions.map((session) => order.indexOf(session))).toEqual([0, 0, 0, 1, 1, 1, 2]);
  });

  it("is not known to be older than it is: leavers during a stop of the daemon end it", async () => {
    const user = await homeserver.registerUser("leaver");
    const leaver = await LightDevice.start(homeserver.url, user);
    const roomId = await roomWith(user);
    const before = await send(roomId, "for both");
    await daemon.stop();
    await new PlainRest(homeserver.url, user).leave(roomId);
    await daemon.launch();

    const after = await send(roomId, "for who stayed");

    expect(after.session).not.toBe(before.session);
    await leaver.sync();
    const event = await staying.event(roomId, after.eventId);
    await expect(leaver.decrypt(event)).rejects.toThrow("not decrypted");
  });
});
