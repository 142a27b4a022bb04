import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DeviceStore } from "../../../crypto-store/index.ts";
import { inbox } from "../../../proxy/crypto/inbox.ts";
import { type NewOwedItem, OwedEvents } from "../../../proxy/crypto/owed-events.ts";
import type { RoomId } from "../../../proxy/matrix/identifiers.ts";
import { Stores, TestClock } from "./fixture.ts";

const dayMs = 24 * 60 * 60 * 1000;

let stores: Stores;
let store: DeviceStore;
let clock: TestClock;
let owed: OwedEvents;
beforeEach(() => {
  stores = new Stores();
  store = stores.open();
  clock = new TestClock();
  owed = new OwedEvents(store, clock);
});
afterEach(() => stores.remove());

async function restart(): Promise<void> {
  store = await stores.reopen(store);
  owed = new OwedEvents(store, clock);
}

const item = (id: string): NewOwedItem => ({
  roomId: "!room:x" as RoomId,
  event: { event_id: id, content: { text: "ü\u0000" } },
  sessionId: "session",
  limited: id === "limited",
  prevBatch: id === "limited" ? "p1" : null,
  firstSeenMs: clock.now(),
});
const idsAt = async (cursor: number | null) =>
  (await owed.at(cursor)).map((entry) => `${String(entry.item.event["event_id"])} ${entry.state}`);

describe("OwedEvents", () => {
  it("makes no cursor where nothing is outstanding", async () => {
    expect(await owed.store([], [], 0)).toBeNull();
    expect(await owed.at(null)).toEqual([]);
  });

  it("gives back what was stored, whole and in order, over a restart too", async () => {
    const items = [item("a"), item("limited"), item("b")];
    const cursor = await owed.store([], items, 0);
    await restart();
    const entries = await owed.at(cursor);
    expect(entries.map((entry) => ({ ...entry.item, id: undefined }))).toEqual(
      items.map((one) => ({ ...one, id: undefined })),
    );
    expect(entries.every(({ state }) => state === "held")).toBe(true);
  });

  it("changes no earlier cursor: who lost a response asks again and is given the same", async () => {
    const first = await owed.store([], [item("a"), item("b")], 0);
    const [, second] = await owed.at(first);
    const kept = second === undefined ? [] : [{ ...second, state: "raw" as const }];
    const next = await owed.store(kept, [item("c")], 0);
    expect(await idsAt(next)).toEqual(["b raw", "c held"]);
    await restart();
    expect(await idsAt(first)).toEqual(["a held", "b held"]);
    expect(await idsAt(next)).toEqual(["b raw", "c held"]);
  });

  it("keeps two clients of one device apart", async () => {
    const one = await owed.store([], [item("a")], 0);
    const other = await owed.store([], [item("b")], 0);
    expect(one).not.toBe(other);
    expect(await idsAt(one)).toEqual(["a held"]);
    expect(await idsAt(other)).toEqual(["b held"]);
  });

  it("never gives a cursor twice, not even after the last one is gone", async () => {
    const first = await owed.store([], [item("a")], 0);
    await store.transaction((database) => database.prepare("DELETE FROM owed_cursor").run());
    await restart();
    expect(await owed.store([], [item("b")], 0)).toBeGreaterThan(first ?? 0);
  });

  it.each([5, Number.MAX_SAFE_INTEGER, 0])(
    "owes nothing at the made-up cursor %d",
    async (cursor) => {
      await owed.store([], [item("a")], 0);
      expect(await owed.at(cursor)).toEqual([]);
    },
  );

  it("acknowledges to-device events when their cursor is presented, and only then", async () => {
    const event = { type: "t", sender: "@a:x", content: {} };
    const upTo = await store.transaction((database) => {
      inbox.take(database, [{ event, unique: true }], { since: null, nextBatch: "n", serial: 1 });
      return inbox.waiting(database).upTo;
    });
    const cursor = await owed.store([], [], upTo);
    const waits = () => store.transaction((database) => inbox.waiting(database).events.length);
    await owed.at((cursor ?? 0) + 1);
    expect(await waits()).toBe(1);
    await owed.at(cursor);
    expect(await waits()).toBe(0);
  });

  it("keeps what a client is owed that was away for months, also where its first response is lost", async () => {
    const cursor = await owed.store([], [item("a")], 0);
    clock.advance(90 * dayMs);
    expect(await idsAt(cursor)).toEqual(["a held"]);
    const entries = await owed.at(cursor);
    const next = await owed.store(entries, [item("b")], 0);
    await restart();
    expect(await idsAt(cursor)).toEqual(["a held"]);
    expect(await idsAt(next)).toEqual(["a held", "b held"]);
  });

  it("forgets cursors that nobody presented for a week, and then their events", async () => {
    const old = await owed.store([], [item("a")], 0);
    clock.advance(8 * dayMs);
    const next = await owed.store([], [item("b")], 0);
    expect(await owed.at(old)).toEqual([]);
    expect(await idsAt(next)).toEqual(["b held"]);
    const left = await store.transaction((database) =>
      database.prepare("SELECT count(*) FROM owed_item").pluck().get(),
    );
    expect(left).toBe(1);
  });
});
