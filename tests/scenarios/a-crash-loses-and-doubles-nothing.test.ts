import { randomInt } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";

import { megolmMessageIndex } from "../../proxy/matrix/megolm-message.ts";
import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { asRecord, stringField } from "../support/json.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { nextTxn, PlainRest, type SyncedEvent } from "../support/peers/plain-rest.ts";

/** At least; they go on until every crash has happened. */
const SENDS = 500;
const IN_FLIGHT = 8;
const ROOMS = 4;
const INCOMING = 60;

/** How each run of the daemon ends: at the n-th passing of a point, or after so many answers. */
type Ending = { readonly point: string } | { readonly afterAnswers: number };

const POINTS = [
  "claim-to-share",
  "share-to-send",
  "send-to-answer",
  "receive-to-commit",
  "receive-to-release",
];

/** Every point twice, at an early and at a later passing, and kills at random moments between. */
function endings(): Ending[] {
  return [1, 3].flatMap((passing) => [
    ...POINTS.map((name) => ({ point: `${name}:${passing}` })),
    { afterAnswers: randomInt(1, 10) },
    { afterAnswers: randomInt(10, 40) },
  ]);
}

let homeserver: TestHomeserver;
let daemon: Daemon;
let plain: PlainRest;
let reader: LightDevice;
let rooms: string[];

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  // A busy machine must not pass for a server that does not answer: such users are left out in time.
  const section = { SendDeadline: "60s" };
  daemon = await Daemon.start({ homeserver: homeserver.url, section });
  plain = new PlainRest(daemon.url, await homeserver.registerUser("plain"));
  reader = await LightDevice.start(homeserver.url, await homeserver.registerUser("reader"));
  rooms = [];
  for (let index = 0; index < ROOMS; index++) {
    // Few messages a session: room keys are made and shared all the time.
    const roomId = await plain.createEncryptedRoom([reader.userId], { rotation_period_msgs: 5 });
    await new PlainRest(homeserver.url, reader.account).join(roomId);
    // Read now. The reader's new Olm sessions below make the engine share the room key once more, at
    // the index of then; of two shares of one session in one batch, a receiving engine keeps the
    // later one, as of 18.9.0. That is so between any two clients.
    await reader.read(roomId, await plain.sendText(roomId, "before everything"));
    rooms.push(roomId);
  }
});

afterAll(async () => {
  await daemon.dispose();
  await homeserver.stop();
});

/** The daemon, killed over and over and started again; clients wait here for it to come back. */
class Crashes {
  done = 0;
  over = false;
  readonly missed: string[] = [];
  #answers = 0;
  #killAt = Infinity;
  #up: Promise<void> = Promise.resolve();

  get up(): Promise<void> {
    return this.#up;
  }

  /** A client got an answer: counts towards the next kill at a random moment. */
  answered(): void {
    this.#answers += 1;
    if (this.#answers < this.#killAt) return;
    this.#killAt = Infinity;
    daemon.signal("SIGKILL");
  }

  async run(plan: readonly Ending[]): Promise<void> {
    await daemon.kill();
    for (const ending of plan) {
      this.#start(ending);
      await this.#up;
      const { signal } = await daemon.exited;
      if (signal === "SIGKILL") this.done += 1;
      else this.missed.push(JSON.stringify(ending));
    }
    this.#up = daemon.launch();
    await this.#up;
    this.over = true;
  }

  #start(ending: Ending): void {
    const launched = daemon.launch("point" in ending ? ending.point : undefined);
    // A point in the feed may come by before the daemon listens: its end says all.
    this.#up = launched.catch(() => undefined);
    if ("afterAnswers" in ending) this.#killAt = this.#answers + ending.afterAnswers;
  }
}

/** Sends until there is an answer, always with the same transaction id, as a client does. */
async function sendAnyhow(
  crashes: Crashes,
  roomId: string,
  body: string,
): Promise<{ status: number; text: string }> {
  const txnId = nextTxn();
  for (;;) {
    try {
      const { status, text } = await plain.trySend(roomId, body, txnId);
      crashes.answered();
      return { status, text };
    } catch {
      await back(crashes);
    }
  }
}

/** Waits for a daemon that listens: the connection may break before its exit is noticed. */
async function back(crashes: Crashes): Promise<void> {
  await crashes.up;
  await new Promise((resolve) => setTimeout(resolve, 20));
}

/** A client that syncs through all crashes and keeps what it was shown, until `stop` says so. */
async function follow(
  crashes: Crashes,
  since: string,
  stop: (events: readonly SyncedEvent[]) => boolean,
): Promise<SyncedEvent[]> {
  const events: SyncedEvent[] = [];
  for (let position = since; !stop(events);) {
    try {
      const answer = await plain.sync(position, 2_000);
      position = answer.nextBatch;
      events.push(...answer.events);
    } catch {
      await back(crashes);
    }
  }
  return events;
}

async function ed25519(): Promise<unknown> {
  const { userId, deviceId } = plain.account;
  const answer = await new PlainRest(homeserver.url, reader.account).ok("POST", "/keys/query", {
    device_keys: { [userId]: [deviceId] },
  });
  const devices = asRecord(asRecord(answer["device_keys"])[userId]);
  return asRecord(asRecord(devices[deviceId])["keys"])[`ed25519:${deviceId}`];
}

it(`delivers ${SENDS} sends once and readable, over kills at every point and at random`, async () => {
  const identity = await ed25519();
  const { nextBatch } = await plain.sync(null);
  const crashes = new Crashes();
  const plan = endings();
  const crashing = crashes.run(plan);

  let next = 0;
  const answers: { roomId: string; body: string; status: number; text: string }[] = [];
  const worker = async (): Promise<void> => {
    while (next < SENDS || !crashes.over) {
      const index = next++;
      const roomId = rooms[index % ROOMS] ?? "";
      const body = `out ${index}`;
      answers.push({ roomId, body, ...(await sendAnyhow(crashes, roomId, body)) });
    }
  };
  const incoming = Array.from({ length: INCOMING }, (_, index) => `in ${index}`);
  const following = follow(crashes, nextBatch, (events) =>
    events.some(({ content }) => content["body"] === incoming.at(-1)),
  );
  const senders = Array.from({ length: IN_FLIGHT }, worker);
  for (const [index, body] of incoming.entries()) {
    await reader.sendTextWithNewKey(rooms[index % ROOMS] ?? "", [plain.userId], body);
    // The last one comes when all crashes are over, so that the client follows through all of them.
    if (index === INCOMING - 2) await Promise.all([crashing, ...senders]);
  }
  const events = await following;

  expect([crashes.done, crashes.missed]).toEqual([plan.length, []]);
  expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  expect(await ed25519()).toBe(identity);

  // What came in: each once, readable, and in the order of its room.
  for (const [index, roomId] of rooms.entries()) {
    const ofRoom = events.filter(
      ({ raw, roomId: room }) => room === roomId && raw["sender"] === reader.userId,
    );
    expect(ofRoom.map(({ content }) => content["body"])).toEqual(
      incoming.filter((_, at) => at % ROOMS === index),
    );
  }

  // What went out: every answer names an event, no event is there twice, and the peer reads all.
  const stored: { roomId: string; eventId: string; json: string }[] = [];
  for (const roomId of rooms) {
    const ofRoom = await homeserver.eventContents(roomId);
    expect(ofRoom.filter(({ type }) => type === "m.room.message")).toEqual([]);
    expect(ofRoom.filter(({ json }) => /"(out|in) \d+"/.test(json))).toEqual([]);
    stored.push(
      ...ofRoom.filter(
        ({ type, sender }) => type === "m.room.encrypted" && sender === plain.userId,
      ),
    );
  }
  expect(stored).toHaveLength(answers.length + ROOMS);

  await reader.sync();
  const read = new Map<string, unknown>();
  const indices = new Set<string>();
  const unread: string[] = [];
  const named = new Map(
    answers.map(({ body, text }) => [(JSON.parse(text) as { event_id: string }).event_id, body]),
  );
  for (const { roomId, eventId, json } of stored) {
    const event = asRecord(JSON.parse(json));
    const content = asRecord(event["content"]);
    const index = megolmMessageIndex(stringField(content, "ciphertext"));
    indices.add(`${stringField(content, "session_id")} ${String(index)}`);
    const seen = await reader
      .decrypt({ origin_server_ts: 0, ...event, room_id: roomId, event_id: eventId })
      .catch(String);
    if (typeof seen === "string") unread.push(`${named.get(eventId) ?? "before"}: ${seen}`);
    else read.set(eventId, seen.content["body"]);
  }
  expect(
    unread,
    daemon.lines.seen.filter((line) => /"level":"?(warn|40|50)/.test(line)).join("\n"),
  ).toEqual([]);
  expect(indices.size).toBe(stored.length);
  for (const { body, text } of answers) {
    const { event_id: eventId } = JSON.parse(text) as { event_id: string };
    expect(read.get(eventId)).toBe(body);
  }
  const sent = [...read.values()].filter((body) => body !== "before everything");
  expect(new Set(sent).size).toBe(answers.length);
}, 240_000);
