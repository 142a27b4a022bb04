import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { OwedEvents, type OwedEntry, type OwedState } from "../../../proxy/crypto/owed-events.ts";
import { arrangeTimeline } from "../../../proxy/crypto/room-timeline.ts";
import type { RoomId } from "../../../proxy/matrix/identifiers.ts";
import type { JsonObject } from "../../../proxy/matrix/json.ts";
import { Stores, TestClock } from "./fixture.ts";

const roomId = "!flood:hs" as RoomId;

function ciphertext(index: number): JsonObject {
  return {
    type: "m.room.encrypted",
    event_id: `$${index}`,
    origin_server_ts: 10,
    content: { algorithm: "m.megolm.v1.aes-sha2", session_id: `s${index}`, ciphertext: "c" },
  };
}

function entry(index: number, state: OwedState, firstSeenMs: number): OwedEntry {
  const item = { id: index, roomId, event: ciphertext(index), sessionId: `s${index}` };
  return { item: { ...item, limited: false, prevBatch: null, firstSeenMs }, state };
}

describe("a flood of events that nobody can decrypt", () => {
  const arrange = (count: number) => {
    const events = Array.from({ length: count }, (_, index) => ciphertext(index));
    const input = { roomId, owed: [], events, limited: false, prevBatch: null, left: false };
    const outcomes = events.map(
      (event, index) => ({ kind: "late", event, sessionId: `s${index}` }) as const,
    );
    return arrangeTimeline(input, outcomes, {
      nowMs: 20,
      lateKeyTimeoutMs: 1_000,
      deviceCreatedMs: 0,
    });
  };

  it("is held back up to 500 events", () => {
    expect(arrange(500).fresh).toHaveLength(500);
  });

  it("is given as it is beyond that", () => {
    const { events, fresh } = arrange(501);
    expect([events.length, fresh.length]).toEqual([501, 0]);
  });
});

describe("what is carried from cursor to cursor", () => {
  let stores: Stores;

  beforeEach(() => {
    stores = new Stores();
  });

  afterEach(() => stores.remove());

  it("is everything that is held, and the newest 200 of what was given raw", () => {
    const clock = new TestClock();
    const owed = new OwedEvents(stores.open(), clock);
    const raw = Array.from({ length: 1_000 }, (_, index) => entry(index, "raw", clock.now()));
    const held = [entry(1_000, "held", clock.now())];
    const carried = owed.carry([...raw, ...held]);
    expect(carried.map(({ item }) => item.id)).toEqual(
      Array.from({ length: 201 }, (_, index) => 800 + index),
    );
  });

  it("is nothing raw after a week", () => {
    const clock = new TestClock();
    const owed = new OwedEvents(stores.open(), clock);
    const old = entry(1, "raw", clock.now() - 8 * 24 * 60 * 60 * 1000);
    expect(owed.carry([old, entry(2, "raw", clock.now())]).map(({ item }) => item.id)).toEqual([2]);
  });
});
