import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Playground, startPlayground } from "../../../playground/index.ts";
import { MatrixError } from "../../../proxy/matrix/errors.ts";
import { deferred } from "../server/front.ts";
import { megolm, Rig, type RigOptions, sendDeadlineMs } from "./rig.ts";

let playground: Playground;
let rig: Rig;
let peer: Awaited<ReturnType<typeof Rig.peer>>;
let roomId: string;

beforeEach(async () => {
  playground = await startPlayground({});
});
afterEach(async () => {
  await rig.stop();
  await playground.stop();
});

/** Our device and a peer in one encrypted room. */
async function start(options: RigOptions = {}): Promise<void> {
  rig = await Rig.start(playground, "proxied", options);
  await rig.parts.outgoing.flush();
  peer = await Rig.peer(playground, "peer");
  const { room_id: id } = await rig.client.post("createRoom", {
    preset: "private_chat",
    invite: [peer.userId],
  });
  roomId = String(id);
  await peer.client.post(`join/${roomId}`);
}

/** What the peer reads of an event. */
const read = async (eventId: string, by = peer) => (await by.read(roomId, eventId)).content["body"];

describe("RoomEncryptor", () => {
  it("encrypts for everybody in the room, with one session for several messages", async () => {
    await start();
    const room = rig.room(roomId);
    const first = await rig.say(room, roomId, "one");
    const second = await rig.say(room, roomId, "two");
    expect(second.sessionId).toBe(first.sessionId);
    expect(await read(first.eventId)).toBe("one");
    expect(await read(second.eventId)).toBe("two");
  });

  it("shares one barrier among sends that wait, and keeps their order", async () => {
    await start();
    const room = rig.room(roomId);
    await rig.sync(null);
    await rig.say(room, roomId, "first");
    const held = deferred<undefined>();
    const changes = playground.faults.add({
      path: /keys\/changes/,
      action: { type: "delay", until: held.promise },
    });
    const before = rig.say(room, roomId, "before");
    await changes.hit();
    const bodies = Array.from({ length: 8 }, (_, index) => String(index));
    const sends = bodies.map((body) => rig.say(room, roomId, body));
    held.resolve(undefined);
    const sent = await Promise.all([before, ...sends]);
    // One barrier for the first, one for all who came while it was under way.
    expect(changes.hits).toBe(2);
    await peer.sync();
    for (const [index, { eventId }] of sent.slice(1).entries()) {
      expect(await read(eventId)).toBe(bodies[index]);
    }
  });

  it("uses a new session after as many messages as the room allows", async () => {
    await start();
    const room = rig.room(roomId);
    const encryption = { ...megolm, rotationPeriodMessages: 2 };
    const sessions: string[] = [];
    for (let index = 0; index < 6; index++) {
      const { sessionId, eventId } = await rig.say(room, roomId, String(index), encryption);
      sessions.push(sessionId);
      expect(await read(eventId)).toBe(String(index));
    }
    expect(sessions.map((id) => sessions.indexOf(id))).toEqual([0, 0, 2, 2, 4, 4]);
  });

  it("counts messages over a restart", async () => {
    await start();
    const encryption = { ...megolm, rotationPeriodMessages: 3 };
    const sessions: string[] = [];
    for (let index = 0; index < 7; index++) {
      const { sessionId } = await rig.say(rig.room(roomId), roomId, String(index), encryption);
      sessions.push(sessionId);
      await rig.restart();
    }
    expect(sessions.map((id) => sessions.indexOf(id))).toEqual([0, 0, 0, 3, 3, 3, 6]);
  });

  it.each([
    ["more messages", 2, 50],
    ["fewer messages", 50, 2],
  ])("survives that the room's settings change to %s", async (_, before, after) => {
    await start();
    for (const restarts of [false, true]) {
      let room = rig.room(roomId);
      await rig.say(room, roomId, "x", { ...megolm, rotationPeriodMessages: before });
      for (let index = 0; index < 5; index++) {
        if (restarts) {
          await rig.restart();
          room = rig.room(roomId);
        }
        const encryption = { ...megolm, rotationPeriodMessages: after };
        const { eventId } = await rig.say(room, roomId, String(index), encryption);
        expect(await read(eventId)).toBe(String(index));
      }
    }
  });

  it("uses a new session when the old one is older than the room allows, restarts or not", async () => {
    await start();
    const encryption = { ...megolm, rotationPeriodMs: 3_600_000 };
    let room = rig.room(roomId);
    const first = await rig.say(room, roomId, "1", encryption);
    rig.clock.advance(3_599_000);
    const second = await rig.say(room, roomId, "2", encryption);
    await rig.restart();
    room = rig.room(roomId);
    const third = await rig.say(room, roomId, "3", encryption);
    rig.clock.advance(1_000);
    const fourth = await rig.say(room, roomId, "4", encryption);
    const fifth = await rig.say(room, roomId, "5", encryption);
    expect([second.sessionId, third.sessionId]).toEqual([first.sessionId, first.sessionId]);
    expect(fourth.sessionId).not.toBe(first.sessionId);
    expect(fifth.sessionId).toBe(fourth.sessionId);
  });

  it("gives who joined just now the key, and takes a new session when somebody leaves", async () => {
    await start();
    const room = rig.room(roomId);
    const first = await rig.say(room, roomId, "before");
    const other = await Rig.peer(playground, "other");
    await rig.client.post(`rooms/${roomId}/invite`, { user_id: other.userId });
    await other.client.post(`join/${roomId}`);
    const second = await rig.say(room, roomId, "with other");
    expect(await read(second.eventId, other)).toBe("with other");
    await other.client.post(`rooms/${roomId}/leave`);
    const third = await rig.say(room, roomId, "without other");
    expect(third.sessionId).not.toBe(second.sessionId);
    expect(await read(third.eventId)).toBe("without other");
    expect(first.sessionId).toBe(second.sessionId);
  });

  it("takes a new session when the history visibility changes, and shares with the invited accordingly", async () => {
    await start();
    const room = rig.room(roomId);
    const first = await rig.say(room, roomId, "shared");
    await rig.client.put(`rooms/${roomId}/state/m.room.history_visibility/`, {
      history_visibility: "joined",
    });
    room.invalidate();
    const invited = await Rig.peer(playground, "invited");
    await rig.client.post(`rooms/${roomId}/invite`, { user_id: invited.userId });
    const second = await rig.say(room, roomId, "joined only");
    expect(second.sessionId).not.toBe(first.sessionId);
    await invited.client.post(`join/${roomId}`);
    await invited.sync();
    const event = await peer.event(roomId, second.eventId);
    await expect(invited.decrypt(event)).rejects.toThrow("not decrypted");
  });

  it("sends to those it could reach in time, and gives the rest the key with the next message", async () => {
    await start();
    const room = rig.room(roomId);
    const held = deferred<undefined>();
    const claim = playground.faults.add({
      path: /keys\/claim/,
      times: 1,
      action: { type: "delay", until: held.promise },
    });
    const first = rig.say(room, roomId, "in time");
    await claim.hit();
    rig.clock.advance(sendDeadlineMs);
    const { eventId } = await first;
    await expect(read(eventId)).rejects.toThrow("not decrypted");
    held.resolve(undefined);
    await claim.done();
    const next = await rig.say(room, roomId, "next");
    expect(await read(next.eventId)).toBe("next");
  });

  it.each(["members", "history_visibility"])(
    "does not send where %s cannot be had",
    async (what) => {
      await start();
      const room = rig.room(roomId);
      playground.faults.add({ path: new RegExp(what), action: { type: "fail", statusCode: 403 } });
      await expect(rig.say(room, roomId, "x")).rejects.toMatchObject({
        name: "OwnRequestRefused",
        statusCode: 502,
      });
    },
  );

  it.each([
    ["no list of members", {}],
    ["no object", []],
    ["no JSON", "<html>"],
  ])("does not send to nobody where the homeserver answers %s", async (_, body) => {
    await start();
    playground.faults.add({ path: /members/, action: { type: "fail", statusCode: 200, body } });
    await expect(rig.say(rig.room(roomId), roomId, "x")).rejects.toMatchObject({ statusCode: 502 });
  });

  it("refuses devices that are not verified under that policy, and names them", async () => {
    await start({ trust: "verified" });
    const sending = rig.say(rig.room(roomId), roomId, "x");
    await expect(sending).rejects.toMatchObject({
      name: "UntrustedDevices",
      statusCode: 403,
      errcode: "M_FORBIDDEN",
      fields: { "kirjava.untrusted_devices": [`${peer.userId} ${peer.account.deviceId}`] },
    });
  });

  it.each(["tofu", "cross-signed"] as const)(
    "says anything but an inner error under %s with users who have no cross-signing",
    async (trust) => {
      await start({ trust });
      const outcome = await rig.say(rig.room(roomId), roomId, "x").catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).toBeInstanceOf(MatrixError);
      else expect(outcome).toHaveProperty("eventId");
    },
  );

  it.each(["m.olm.v1", "", "m.megolm.v2.aes-sha2"])(
    "refuses the algorithm %j",
    async (algorithm) => {
      await start();
      const sending = rig.say(rig.room(roomId), roomId, "x", { ...megolm, algorithm });
      await expect(sending).rejects.toMatchObject({
        name: "UnsupportedAlgorithm",
        statusCode: 403,
      });
    },
  );

  it("refuses a room id that is none", async () => {
    await start();
    expect(() => rig.room("no room")).toThrow(MatrixError);
  });

  it("asks for members no more in stream mode, until it hears of a change", async () => {
    await start({ freshness: "stream" });
    const room = rig.room(roomId);
    await rig.say(room, roomId, "1");
    const members = playground.faults.add({ path: /\/members/, action: { type: "pass" } });
    await rig.say(room, roomId, "2");
    expect(members.hits).toBe(0);
    room.invalidate();
    await rig.say(room, roomId, "3");
    expect(members.hits).toBe(1);
  });
});
