import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SectionDatabase } from "../../../proxy/accounts/section-database.ts";
import type { RoomId } from "../../../proxy/matrix/identifiers.ts";
import { EncryptionPins, MEGOLM, ROTATION_LIMITS } from "../../../proxy/rooms/encryption-pins.ts";
import { ManualClock, Place } from "../accounts/section-fixture.ts";

const room = "!room:example.org" as RoomId;
const HOUR_MS = 3_600_000;
const MONTH_MS = 2_592_000_000;

let place: Place;
let database: SectionDatabase;
let pins: EncryptionPins;
beforeEach(() => {
  place = new Place();
  open();
});
afterEach(() => {
  database.close();
  place.remove();
});

function open(): void {
  database = place.open();
  pins = new EncryptionPins(database, new ManualClock());
}

function reopen(): void {
  database.close();
  open();
}

const megolm = (rest: object = {}): object => ({ algorithm: MEGOLM, ...rest });

describe("EncryptionPins", () => {
  it("says nothing about a room never seen encrypted", () => {
    expect(pins.get(room)).toBeNull();
    expect(pins.size).toBe(0);
  });

  it("pins a room with its settings", () => {
    const pin = pins.pin(
      room,
      megolm({ rotation_period_ms: 2 * HOUR_MS, rotation_period_msgs: 50 }),
    );
    expect(pin).toEqual({
      roomId: room,
      algorithm: MEGOLM,
      rotationPeriodMs: 2 * HOUR_MS,
      rotationPeriodMessages: 50,
    });
    expect(pins.get(room)).toEqual(pin);
    expect(pins.get("!other:example.org" as RoomId)).toBeNull();
  });

  it("is on disk when pin returns: a kill right after it does not unpin", () => {
    const pin = pins.pin(room, megolm({ rotation_period_msgs: 7 }));
    const killed = place.image("killed");
    database.close();
    place.putBack(killed);
    open();
    expect(pins.get(room)).toEqual(pin);
  });

  it("does not pin in memory what it could not write", () => {
    database.connection.exec("DROP TABLE encryption_pin");
    expect(() => pins.pin(room, megolm())).toThrow(/no such table/);
    expect(pins.get(room)).toBeNull();
  });

  it.each([
    null,
    undefined,
    "m.megolm.v1.aes-sha2",
    42,
    [],
    [MEGOLM],
    {},
    { algorithm: null },
    { algorithm: "" },
    { algorithm: 1 },
    { algorithm: [MEGOLM] },
  ])("pins with the defaults what names no algorithm: %j", (content) => {
    expect(pins.pin(room, content)).toEqual({
      roomId: room,
      algorithm: MEGOLM,
      rotationPeriodMs: null,
      rotationPeriodMessages: null,
    });
  });

  it.each([
    [0, null, null],
    [-1, null, null],
    [-1e300, null, null],
    ["100", null, null],
    [true, null, null],
    [null, null, null],
    [[5], null, null],
    [{}, null, null],
    [0.5, HOUR_MS, 1],
    [1, HOUR_MS, 1],
    [99.9, HOUR_MS, 99],
    [HOUR_MS + 0.5, HOUR_MS, 10_000],
    [Number.MAX_SAFE_INTEGER, MONTH_MS, 10_000],
    [1e300, MONTH_MS, 10_000],
  ])("takes a rotation of %j for %j ms and %j messages", (value, periodMs, messages) => {
    const content = megolm({ rotation_period_ms: value, rotation_period_msgs: value });
    expect(pins.pin(room, content)).toMatchObject({
      rotationPeriodMs: periodMs,
      rotationPeriodMessages: messages,
    });
    reopen();
    expect(pins.get(room)).toMatchObject({
      rotationPeriodMs: periodMs,
      rotationPeriodMessages: messages,
    });
  });

  it("keeps an algorithm that it cannot encrypt with, so that sends fail closed", () => {
    expect(pins.pin(room, { algorithm: "m.new.v2" }).algorithm).toBe("m.new.v2");
    expect(pins.pin(room, {}).algorithm).toBe("m.new.v2");
    reopen();
    expect(pins.get(room)?.algorithm).toBe("m.new.v2");
    expect(pins.pin(room, megolm()).algorithm).toBe(MEGOLM);
  });

  it("bounds the length of an algorithm's name, without making another one Megolm", () => {
    expect(pins.pin(room, { algorithm: "x".repeat(100_000) }).algorithm).toHaveLength(255);
    for (const algorithm of [`${MEGOLM}\0`, `${MEGOLM}\ud800`, MEGOLM.toUpperCase()]) {
      const pin = pins.pin(room, { algorithm });
      expect(pin.algorithm).not.toBe(MEGOLM);
      reopen();
      expect(pins.get(room)).toEqual(pin);
    }
  });

  it("changes the rotation with a later event, and nothing with the rest of a redacted one", () => {
    pins.pin(room, megolm({ rotation_period_msgs: 10 }));
    expect(pins.pin(room, {}).rotationPeriodMessages).toBe(10);
    expect(pins.pin(room, null).rotationPeriodMessages).toBe(10);
    expect(pins.pin(room, megolm({ rotation_period_msgs: 20 })).rotationPeriodMessages).toBe(20);
    expect(pins.pin(room, megolm()).rotationPeriodMessages).toBeNull();
  });

  it("writes nothing when nothing changed", () => {
    pins.pin(room, megolm());
    const writes = (): unknown =>
      database.connection.prepare("SELECT total_changes()").pluck().get();
    const before = writes();
    pins.pin(room, megolm());
    pins.pin(room, null);
    expect(writes()).toBe(before);
  });

  it("does not let the caller change a pin", () => {
    const pin = pins.pin(room, megolm());
    expect(() => Object.assign(pin, { algorithm: "none" })).toThrow(TypeError);
    reopen();
    expect(() => Object.assign(pins.get(room) ?? {}, { algorithm: "none" })).toThrow(TypeError);
  });

  it("reads no setting from a prototype", () => {
    const content: unknown = JSON.parse('{"__proto__": {"algorithm": "m.evil"}}');
    expect(pins.pin(room, content).algorithm).toBe(MEGOLM);
  });

  it("never unpins, and keeps every setting within its limits, whatever comes in any order", () => {
    const value = fc.oneof(
      fc.double(),
      fc.integer(),
      fc.constantFrom(0, -1, 1, HOUR_MS, MONTH_MS + 1, Number.MAX_SAFE_INTEGER),
      fc.jsonValue(),
    );
    const content = fc.oneof(
      fc.jsonValue(),
      fc.record(
        {
          algorithm: fc.oneof(fc.constant(MEGOLM), fc.string(), fc.jsonValue()),
          rotation_period_ms: value,
          rotation_period_msgs: value,
        },
        { requiredKeys: [] },
      ),
    );
    const roomId = fc.constantFrom(...["!a:x", "!b:x", "!c:x"].map((id) => id as RoomId));
    const step = fc.oneof(
      { weight: 12, arbitrary: fc.record({ roomId, content }) },
      { weight: 1, arbitrary: fc.constant("reopen" as const) },
    );
    const seen = new Set<RoomId>();
    const inLimits = (setting: number | null, limits: { least: number; most: number }): boolean =>
      setting === null ||
      (Number.isInteger(setting) && setting >= limits.least && setting <= limits.most);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        for (const action of steps) {
          if (action === "reopen") {
            const before = [...seen].map((id) => pins.get(id));
            reopen();
            expect([...seen].map((id) => pins.get(id))).toEqual(before);
            continue;
          }
          seen.add(action.roomId);
          expect(pins.pin(action.roomId, action.content)).toEqual(pins.get(action.roomId));
          for (const id of seen) {
            const pin = pins.get(id);
            if (pin === null) throw new Error(`${id} was unpinned`);
            expect(pin.algorithm).not.toBe("");
            expect(inLimits(pin.rotationPeriodMs, ROTATION_LIMITS.periodMs)).toBe(true);
            expect(inLimits(pin.rotationPeriodMessages, ROTATION_LIMITS.messages)).toBe(true);
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});
