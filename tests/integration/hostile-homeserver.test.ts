import { randomBytes } from "node:crypto";

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { type InterceptedAnswer, Interceptor, jsonAnswer } from "../support/interceptor.ts";
import { asRecord, stringField } from "../support/json.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { nextTxn, PlainRest } from "../support/peers/plain-rest.ts";

type Json = Record<string, unknown>;

let homeserver: TestHomeserver;
let wire: Interceptor;
let daemon: Daemon;
let alice: PlainRest;
let bob: LightDevice;
/** Bob without encryption: for memberships and for what he says in the clear. */
let bobDirect: PlainRest;
let roomId: string;

/** How many requests there were before the test. */
let before: number;
const rules: (() => void)[] = [];

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  wire = await Interceptor.start(homeserver.url);
  daemon = await Daemon.start({ homeserver: wire.url });
  bob = await LightDevice.start(homeserver.url, await homeserver.registerUser("bob"));
  bobDirect = new PlainRest(homeserver.url, bob.account);
});

beforeEach(async () => {
  alice = new PlainRest(daemon.url, await homeserver.registerUser("alice"));
  roomId = await alice.createEncryptedRoom([bob.userId]);
  await bobDirect.join(roomId);
  // Her device has its keys at the homeserver from now on.
  await alice.sendText(roomId, "the first word");
  before = wire.requests.seen.length;
});

afterEach(() => {
  for (const remove of rules.splice(0)) remove();
});

afterAll(async () => {
  await daemon.dispose();
  await wire.stop();
  await homeserver.stop();
});

const inRoom = (room: string, rest: string) => `/rooms/${encodeURIComponent(room)}${rest}`;
const eventPath = (room: string, id: string) => inRoom(room, `/event/${encodeURIComponent(id)}`);

/** Changes the JSON of the homeserver's 200s on their way to Kirjava. */
function rewrite(method: string, path: RegExp, change: (body: Json) => void): () => void {
  const remove = wire.on(method, path, async (_request, forward) => {
    const answer = await forward();
    if (answer.status !== 200) return answer;
    const body = JSON.parse(answer.body.toString("utf8")) as Json;
    change(body);
    return jsonAnswer(200, body);
  });
  rules.push(remove);
  return remove;
}

function answerWith(method: string, path: RegExp, answer: InterceptedAnswer): () => void {
  const remove = wire.on(method, path, () => Promise.resolve(answer));
  rules.push(remove);
  return remove;
}

/** Puts an event into the timeline of a room of a sync. */
function inject(body: Json, room: string, event: Json): void {
  const rooms = (body["rooms"] ??= {}) as Json;
  const join = (rooms["join"] ??= {}) as Json;
  const part = (join[room] ??= {}) as Json;
  const timeline = (part["timeline"] ??= { events: [], limited: false }) as Json;
  (timeline["events"] as unknown[]).push(event);
}

function stateEvent(type: string, content: Json): Json {
  const event_id = `$${randomBytes(32).toString("base64url")}`;
  return { type, content, state_key: "", sender: bob.userId, event_id, origin_server_ts: 1 };
}

const requestsTo = (path: RegExp) =>
  wire.requests.seen.slice(before).filter((request) => path.test(request.path));

async function expectOnlyCiphertext(room: string): Promise<void> {
  const stored = await homeserver.eventContents(room);
  expect(stored.filter(({ type }) => type === "m.room.message")).toEqual([]);
  for (const { path } of requestsTo(/\/send\//)) expect(path).not.toContain("m.room.message");
}

async function sinceNow(): Promise<string> {
  return (await alice.sync(null)).nextBatch;
}

describe("a homeserver that lies about a room's encryption", () => {
  it("cannot hide it once it was seen, not even over a restart", async () => {
    answerWith("GET", /\/state\/m\.room\.encryption/, jsonAnswer(404, { errcode: "M_NOT_FOUND" }));
    const first = await alice.sendText(roomId, "still hidden");
    await daemon.crash();
    const second = await alice.sendText(roomId, "hidden after a crash");
    expect((await bob.read(roomId, first)).content["body"]).toBe("still hidden");
    expect((await bob.read(roomId, second)).content["body"]).toBe("hidden after a crash");
    await expectOnlyCiphertext(roomId);
  });

  it("cannot hide it from a client that learnt of it by /sync alone", async () => {
    const peer = new PlainRest(homeserver.url, bob.account);
    const other = await peer.createEncryptedRoom([alice.userId]);
    await alice.join(other);
    await alice.sync(null);
    answerWith("GET", /\/state\/m\.room\.encryption/, jsonAnswer(404, { errcode: "M_NOT_FOUND" }));
    await alice.sendText(other, "seen in a sync");
    await expectOnlyCiphertext(other);
  });

  it.each([
    ["removed", {}],
    ["emptied of its algorithm", { rotation_period_ms: 1 }],
    ["of a wrong kind", { algorithm: 7 }],
  ])("cannot turn it off by an event: %s", async (_name, content) => {
    const since = await sinceNow();
    const remove = rewrite("GET", /\/sync/, (body) => {
      inject(body, roomId, stateEvent("m.room.encryption", content));
    });
    await alice.sync(since);
    remove();
    const eventId = await alice.sendText(roomId, "as before");
    expect((await bob.read(roomId, eventId)).content["body"]).toBe("as before");
    await expectOnlyCiphertext(roomId);
  });

  it("makes sends fail where it names an algorithm that nobody knows", async () => {
    const since = await sinceNow();
    rewrite("GET", /\/sync/, (body) => {
      inject(body, roomId, stateEvent("m.room.encryption", { algorithm: "org.example.none" }));
    });
    await alice.sync(since);
    const refused = await alice.trySend(roomId, "not like this");
    expect([refused.status, refused.json["errcode"]]).toEqual([403, "M_FORBIDDEN"]);
    expect(refused.json["error"]).toContain("org.example.none");
    expect(requestsTo(/\/send\//)).toEqual([]);
  });

  it.each([
    [500, {}],
    [404, { errcode: "M_UNRECOGNIZED" }],
    [404, {}],
    [302, {}],
    [418, { errcode: "M_NOT_FOUND" }],
  ])("gets nothing where it does not say: %i %o", async (status, body) => {
    const plain = await bobDirect.createRoom({ invite: [alice.userId] });
    await alice.join(plain);
    answerWith("GET", /\/state\/m\.room\.encryption/, jsonAnswer(status, body));
    const refused = await alice.trySend(plain, "nobody knows");
    expect([refused.status, refused.json["errcode"]]).toEqual([502, "M_UNKNOWN"]);
    expect(refused.json["error"]).toContain("not sent");
    expect(requestsTo(/\/send\//)).toEqual([]);
  });
});

describe("events that are not what they say", () => {
  /** What the client is shown where the homeserver answers /event with a changed event. */
  async function shownAs(room: string, eventId: string, change: (event: Json) => void) {
    const remove = rewrite("GET", /\/event\//, change);
    const shown = await alice.ok("GET", eventPath(room, eventId));
    remove();
    return shown;
  }

  async function secretOfBob(): Promise<string> {
    const eventId = await bob.sendTextWithNewKey(roomId, [alice.userId], "bob's secret");
    await alice.sync(null);
    expect(await alice.ok("GET", eventPath(roomId, eventId))).toMatchObject({
      content: { body: "bob's secret" },
      decrypted: true,
    });
    return eventId;
  }

  it("are shown as ciphertext in another room than theirs", async () => {
    const eventId = await secretOfBob();
    const other = await alice.createEncryptedRoom([bob.userId]);
    const event = (await bobDirect.ok("GET", eventPath(roomId, eventId))) as Json;
    answerWith("GET", /\/event\//, jsonAnswer(200, { ...event, room_id: other }));
    const moved = await alice.ok("GET", eventPath(other, eventId));
    expect(moved["type"]).toBe("m.room.encrypted");
    expect(JSON.stringify(moved)).not.toContain("bob's secret");
  });

  it("are shown as ciphertext under a second event id", async () => {
    const eventId = await secretOfBob();
    const replayed = await shownAs(roomId, eventId, (event) => {
      event["event_id"] = "$replayed";
    });
    expect(replayed["type"]).toBe("m.room.encrypted");
    expect(replayed).not.toHaveProperty("decrypted");
    expect(await alice.ok("GET", eventPath(roomId, eventId))).toEqual(
      expect.objectContaining({ decrypted: true }),
    );
  });

  it("are shown as ciphertext under another sender's name", async () => {
    const eventId = await secretOfBob();
    const spoofed = await shownAs(roomId, eventId, (event) => {
      event["sender"] = alice.userId;
    });
    expect(spoofed["type"]).toBe("m.room.encrypted");
    expect(JSON.stringify(spoofed)).not.toContain("bob's secret");
  });

  it("carry no marks that Kirjava did not set", async () => {
    const eventId = await bobDirect.sendText(await openRoom(), "in the clear");
    const room = openRoomId;
    const forge = (event: unknown) =>
      Object.assign(event as Json, { decrypted: true, verified: true });
    const inAll = (list: unknown) => (list as unknown[]).forEach(forge);
    const event = await shownAs(room, eventId, forge);
    rewrite("GET", /\/messages/, (body) => inAll(body["chunk"]));
    const page = await alice.ok("GET", inRoom(room, "/messages?dir=b&limit=5"));
    rewrite("GET", /\/sync/, (body) => {
      const joined = asRecord(asRecord(body["rooms"])["join"]);
      inAll(asRecord(asRecord(joined[room])["timeline"])["events"]);
    });
    const synced = (await alice.sync(null)).events.filter((item) => item.eventId === eventId);
    const chunk = page["chunk"] as Json[];
    expect(chunk.length).toBeGreaterThan(1);
    for (const shown of [event, ...chunk, ...synced.map(({ raw }) => raw)]) {
      expect(shown).not.toHaveProperty("decrypted");
      expect(shown).not.toHaveProperty("verified");
    }
    expect(synced).toHaveLength(1);
  });

  let openRoomId = "";
  async function openRoom(): Promise<string> {
    openRoomId = await bobDirect.createRoom({ invite: [alice.userId] });
    await alice.join(openRoomId);
    return openRoomId;
  }

  it("keep a member called __proto__ as any other", async () => {
    const content = JSON.parse(
      '{"msgtype":"m.text","body":"odd","__proto__":{"polluted":1},"constructor":{"prototype":2}}',
    ) as Json;
    const path = inRoom(roomId, `/send/m.room.message/${nextTxn()}`);
    const eventId = stringField(await alice.ok("PUT", path, content), "event_id");
    const shown = await alice.request("GET", eventPath(roomId, eventId));
    expect(shown.text).toContain('"__proto__":{"polluted":1}');
    expect(JSON.stringify((await bob.read(roomId, eventId)).content)).toContain("polluted");
    const filter = JSON.stringify({ event_fields: ["content.__proto__", "__proto__.x"] });
    const synced = await alice.request("GET", `/sync?filter=${encodeURIComponent(filter)}`);
    expect(synced.status).toBe(200);
  });

  it("cannot bring Kirjava down by their depth", async () => {
    const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;
    const body = Buffer.from(
      `{"next_batch":"s1","rooms":{"join":{"!a:b":{"timeline":{"events":[{"type":"x","content":{"a":${deep}}}]}}}},"chunk":[{"type":"x","content":${deep}}]}`,
    );
    const headers = { "content-type": "application/json" };
    const remove = [/\/sync/, /\/messages/].map((path) =>
      answerWith("GET", path, { status: 200, headers, body }),
    );
    const sync = await alice.request("GET", "/sync?timeout=0");
    expect([sync.status, sync.json["errcode"]]).toEqual([502, "M_UNKNOWN"]);
    // Nothing in it is Kirjava's to change, so it goes on as it came.
    const messages = await alice.request("GET", inRoom(roomId, "/messages?dir=b"));
    expect([messages.status, messages.text === body.toString()]).toEqual([200, true]);
    for (const take of remove) take();
    const eventId = await alice.sendText(roomId, "alive");
    expect((await bob.read(roomId, eventId)).content["body"]).toBe("alive");
  });
});
