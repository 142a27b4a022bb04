import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DeviceStore } from "../../../crypto-store/index.ts";
import { inbox } from "../../../proxy/crypto/inbox.ts";
import { Stores } from "./fixture.ts";

let stores: Stores;
let store: DeviceStore;
beforeEach(() => {
  stores = new Stores();
  store = stores.open();
});
afterEach(() => stores.remove());

const hello = { type: "org.example.hello", sender: "@a:x", content: { text: "hello" } };
const world = { type: "org.example.hello", sender: "@a:x", content: { text: "world" } };

/** One response as the feed takes it: an acknowledging `since`, events, a `next_batch`. */
async function response(o: {
  readonly serial: number;
  readonly since?: string;
  readonly next: string;
  readonly events?: readonly (typeof hello)[];
  readonly unique?: boolean;
  /** The smallest serial of the requests under way; this one's where left out. */
  readonly oldest?: number;
}): Promise<void> {
  await store.transaction((database) => {
    const { since = null, next: nextBatch, serial } = o;
    if (since !== null) inbox.acknowledgeAtServer(database, since, serial);
    const events = (o.events ?? []).map((event) => ({ event, unique: o.unique === true }));
    inbox.take(database, events, { since, nextBatch, serial });
    inbox.prune(database, o.oldest ?? serial);
    // As the feed notes it.
    database
      .prepare(
        `INSERT OR IGNORE INTO feed_position VALUES
           (?, 0, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'inbox'), 0))`,
      )
      .run(nextBatch);
  });
}

/** What waits for the client, by its text. */
async function waiting(): Promise<unknown[]> {
  const { events } = await store.transaction((database) => inbox.waiting(database));
  return events.map((event) => (event["content"] as { text: string }).text);
}

/** The client acknowledges everything that waits. */
async function acknowledge(): Promise<void> {
  await store.transaction((database) =>
    inbox.acknowledgeByClient(database, inbox.waiting(database).upTo),
  );
}

const rows = () =>
  store.transaction((database) => database.prepare("SELECT count(*) FROM inbox").pluck().get());

describe("the inbox", () => {
  it("keeps events, in order, until the client acknowledged them", async () => {
    await response({ serial: 1, next: "b", events: [hello, world] });
    expect(await waiting()).toEqual(["hello", "world"]);
    expect(await waiting()).toEqual(["hello", "world"]);
    await acknowledge();
    expect(await waiting()).toEqual([]);
  });

  it("acknowledges only up to what the response held", async () => {
    await response({ serial: 1, next: "b", events: [hello] });
    const { upTo } = await store.transaction((database) => inbox.waiting(database));
    await response({ serial: 2, since: "b", next: "c", events: [world] });
    await store.transaction((database) => inbox.acknowledgeByClient(database, upTo));
    expect(await waiting()).toEqual(["world"]);
  });

  it("takes an event once that two streams of the device show", async () => {
    await response({ serial: 1, since: "a", next: "b", events: [hello] });
    await response({ serial: 2, since: "a", next: "c", events: [hello, world] });
    expect(await waiting()).toEqual(["hello", "world"]);
  });

  it("takes it once after the client has acknowledged it, too", async () => {
    await response({ serial: 1, since: "a", next: "b", events: [hello], oldest: 1 });
    await acknowledge();
    await response({ serial: 2, since: "a", next: "c", events: [hello], oldest: 2 });
    expect(await waiting()).toEqual([]);
  });

  it("takes two equal events of one response for two", async () => {
    await response({ serial: 1, next: "b", events: [hello, hello] });
    expect(await waiting()).toEqual(["hello", "hello"]);
  });

  it("takes the second of two equal events that another stream shows together", async () => {
    await response({ serial: 1, since: "a", next: "b", events: [hello] });
    await response({ serial: 2, since: "a", next: "c", events: [hello, hello] });
    expect(await waiting()).toEqual(["hello", "hello"]);
  });

  it("takes an equal event again that came after the first was acknowledged upstream", async () => {
    await response({ serial: 1, since: "a", next: "b", events: [hello] });
    await response({ serial: 2, since: "b", next: "c", events: [hello] });
    expect(await waiting()).toEqual(["hello", "hello"]);
    await response({ serial: 3, since: "c", next: "d", events: [hello] });
    expect(await waiting()).toEqual(["hello", "hello", "hello"]);
  });

  it("takes an equal event again when the first was acknowledged by another stream's position", async () => {
    await response({ serial: 1, since: "a", next: "b", events: [hello] });
    await response({ serial: 2, since: "a", next: "c", events: [hello] });
    await acknowledge();
    await response({ serial: 3, since: "c", next: "d" });
    await response({ serial: 4, since: "d", next: "e", events: [hello] });
    expect(await waiting()).toEqual(["hello"]);
  });

  it("does not take what a request from before the acknowledgement still shows", async () => {
    await response({ serial: 1, since: "a", next: "b", events: [hello], oldest: 1 });
    await acknowledge();
    await response({ serial: 3, since: "b", next: "c", oldest: 2 });
    await response({ serial: 2, since: "a", next: "d", events: [hello], oldest: 2 });
    expect(await waiting()).toEqual([]);
  });

  it("does not take what a request shows that was sent while the acknowledging one was under way", async () => {
    await response({ serial: 1, since: "a", next: "b", events: [hello], oldest: 1 });
    await acknowledge();
    await response({ serial: 2, since: "b", next: "c", oldest: 2 });
    await response({ serial: 3, since: "a", next: "d", events: [hello], oldest: 3 });
    expect(await waiting()).toEqual([]);
  });

  it("lets each event through that the feed has seen to be a new one", async () => {
    await response({ serial: 1, since: "a", next: "b", events: [hello], unique: true });
    await response({ serial: 2, since: "a", next: "c", events: [hello], unique: true });
    expect(await waiting()).toEqual(["hello", "hello"]);
  });

  it("forgets an event when both the homeserver and the client are done with it", async () => {
    await response({ serial: 1, since: "a", next: "b", events: [hello] });
    await acknowledge();
    expect(await rows()).toBe(1);
    await response({ serial: 2, since: "b", next: "c" });
    await response({ serial: 3, since: "c", next: "d" });
    expect(await rows()).toBe(0);
  });

  it("keeps what the client has not acknowledged, whatever the homeserver has", async () => {
    await response({ serial: 1, since: "a", next: "b", events: [hello] });
    for (const [serial, since] of "bcdefg".split("").entries()) {
      await response({ serial: serial + 2, since, next: String.fromCharCode(99 + serial) });
    }
    expect(await waiting()).toEqual(["hello"]);
  });

  it("is the same after a restart", async () => {
    await response({ serial: 10, since: "a", next: "b", events: [hello, world] });
    store = await stores.reopen(store);
    expect(await waiting()).toEqual(["hello", "world"]);
    await response({ serial: 11, since: "a", next: "c", events: [hello, world] });
    expect(await waiting()).toEqual(["hello", "world"]);
    await acknowledge();
    store = await stores.reopen(store);
    expect(await waiting()).toEqual([]);
  });

  it("gives at most a hundred events at once, and the rest next", async () => {
    const events = Array.from({ length: 250 }, (_, index) => ({
      ...hello,
      content: { text: String(index) },
    }));
    await response({ serial: 1, next: "b", events });
    const given: unknown[] = [];
    for (let round = 0; round < 3; round++) {
      given.push(...(await waiting()));
      await acknowledge();
    }
    expect(given).toEqual(events.map((event) => event.content.text));
  });

  it("drops the oldest of more than ten thousand that nobody fetches", async () => {
    const events = Array.from({ length: 10_005 }, (_, index) => ({
      ...hello,
      content: { text: String(index) },
    }));
    await response({ serial: 1, next: "b", events });
    expect(await rows()).toBe(10_000);
    expect((await waiting())[0]).toBe("5");
  });
});
