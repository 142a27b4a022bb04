import {
  array,
  assert,
  boolean,
  constantFrom,
  oneof,
  property,
  record,
  string,
  type Arbitrary,
} from "fast-check";
import { describe, expect, it } from "vitest";
import {
  passesEventFilter,
  pruneEvent,
  roomEventFilters,
  widenEventFilter,
  widenMessagesFilter,
  widenSyncFilter,
} from "../../../proxy/matrix/filter.ts";
import type { JsonObject } from "../../../proxy/matrix/json.ts";

const types = constantFrom(
  "m.room.message",
  "m.room.member",
  "m.room.encrypted",
  "m.room.encryption",
  "m.sticker",
  "org.example.custom",
  "m.room.message.extra",
);
const patterns = oneof(
  types,
  constantFrom("*", "m.*", "m.room.*", "*.custom", "m.*.message", "**", "", "m.room.*.extra"),
  string({ maxLength: 4 }),
);
const filters: Arbitrary<JsonObject> = record(
  {
    types: array(patterns, { maxLength: 3 }),
    not_types: array(patterns, { maxLength: 3 }),
    contains_url: boolean(),
    limit: constantFrom(1, 10),
    lazy_load_members: boolean(),
  },
  { requiredKeys: [] },
);
const events: Arbitrary<JsonObject> = record({
  type: types,
  content: constantFrom<JsonObject[]>({ body: "x" }, { url: "mxc://x/y" }, { url: 5 }, {}),
});

/** What the homeserver sees of the event. */
const asCiphertext = (event: JsonObject): JsonObject => ({
  type: "m.room.encrypted",
  content: { algorithm: "m.megolm.v1.aes-sha2", ciphertext: "c", event: JSON.stringify(event) },
});

const timelineOf = (filter: JsonObject): JsonObject =>
  roomEventFilters(widenSyncFilter({ room: { timeline: filter } })).timeline;

describe("a widened filter", () => {
  it("never hides an event, plain or encrypted, that the client asked for", () => {
    assert(
      property(filters, events, (filter, event) => {
        if (!passesEventFilter(event, filter)) return;
        for (const widened of [timelineOf(filter), widenMessagesFilter(filter)]) {
          expect(passesEventFilter(event, widened)).toBe(true);
          expect(passesEventFilter(asCiphertext(event), widened)).toBe(true);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it("always lets through what encryption and membership are seen by", () => {
    assert(
      property(filters, (filter) => {
        const widened = timelineOf(filter);
        for (const type of [
          "m.room.encrypted",
          "m.room.encryption",
          "m.room.member",
          "m.room.history_visibility",
        ]) {
          expect(passesEventFilter({ type, content: {} }, widened)).toBe(true);
        }
        const { state } = roomEventFilters(widenSyncFilter({ room: { state: filter } }));
        expect(passesEventFilter({ type: "m.room.encryption", content: {} }, state)).toBe(true);
      }),
    );
  });

  it("leaves everything else of the filter as it was, and the filter itself unchanged", () => {
    const filter = {
      presence: { types: [] },
      event_fields: ["content.body"],
      event_format: "federation",
      room: {
        rooms: ["!a:x"],
        include_leave: true,
        ephemeral: { not_types: ["m.typing"] },
        timeline: { limit: 5, types: ["m.room.message"], senders: ["@a:x"], contains_url: true },
      },
    };
    const before = structuredClone(filter);
    expect(widenSyncFilter(filter)).toEqual({
      presence: { types: [] },
      room: {
        rooms: ["!a:x"],
        include_leave: true,
        ephemeral: { not_types: ["m.typing"] },
        timeline: {
          limit: 5,
          senders: ["@a:x"],
          types: [
            "m.room.message",
            "m.room.encrypted",
            "m.room.encryption",
            "m.room.member",
            "m.room.history_visibility",
          ],
        },
      },
    });
    expect(filter).toEqual(before);
  });

  it("adds no type that a pattern of the client's covers already", () => {
    expect(widenEventFilter({ types: ["m.room.*"] }, ["m.room.encrypted"])).toEqual({
      types: ["m.room.*"],
    });
  });

  it("drops only those exclusions that would hide what is needed", () => {
    expect(
      widenEventFilter({ not_types: ["m.*", "org.*", "m.room.encrypted"] }, ["m.room.encrypted"]),
    ).toEqual({ not_types: ["org.*"] });
  });

  it("takes malformed parts for absent ones", () => {
    expect(widenSyncFilter({ room: "x" })).toEqual({ room: "x" });
    expect(widenSyncFilter({ room: { timeline: [] } })).toEqual({ room: { timeline: [] } });
    expect(widenEventFilter({ types: "m.room.message" }, ["m.room.encrypted"])).toEqual({
      types: "m.room.message",
    });
  });
});

describe("passesEventFilter", () => {
  const message = { type: "m.room.message", content: { url: "mxc://x/y" } };

  it.each<[string, JsonObject, boolean]>([
    ["no types", {}, true],
    ["an empty list of types", { types: [] }, false],
    ["its type", { types: ["a", "m.room.message"] }, true],
    ["a pattern in front", { types: ["*.message"] }, true],
    ["a pattern in the middle", { types: ["m.*.message"] }, true],
    ["a pattern behind", { types: ["m.room.*"] }, true],
    [
      "a pattern that needs the same characters twice",
      { types: ["m.room.message*message"] },
      false,
    ],
    ["a star that stands for nothing", { types: ["m.room.message*"] }, true],
    ["two stars", { types: ["*room*"] }, true],
    ["parts in the wrong order", { types: ["*message*room*"] }, false],
    [
      "characters that mean something elsewhere",
      { types: ["m.room.messag[e]", "m?room?message"] },
      false,
    ],
    ["an exclusion over an inclusion", { types: ["*"], not_types: ["m.*"] }, false],
    ["contains_url", { contains_url: true }, true],
    ["contains_url: false", { contains_url: false }, false],
    ["a contains_url that is no boolean", { contains_url: "no" }, true],
  ])("knows %s", (_, filter, passes) => {
    expect(passesEventFilter(message, filter)).toBe(passes);
  });

  it("asks for a string as url, and has a type even where there is none", () => {
    expect(passesEventFilter({ type: "t", content: { url: 1 } }, { contains_url: true })).toBe(
      false,
    );
    expect(passesEventFilter({ content: {} }, { types: ["m.room.message"] })).toBe(false);
  });

  it("answers patterns of many stars without going back and forth", () => {
    const event = { type: `${"a".repeat(50_000)}b`, content: {} };
    expect(passesEventFilter(event, { types: ["*a".repeat(2_000) + "*c"] })).toBe(false);
  });
});

describe("event_fields", () => {
  const fields = (...names: unknown[]) => roomEventFilters({ event_fields: names }).eventFields;
  const event = {
    type: "m.room.message",
    content: { body: "x", "m.relates_to": { event_id: "$1" }, "a\\b": 1 },
    unsigned: { age: 1 },
  };
  const pruned = (...names: unknown[]) => pruneEvent(event, fields(...names) ?? []);

  it("keep whole members and parts of them", () => {
    expect(pruned("type", "content.body")).toEqual({
      type: "m.room.message",
      content: { body: "x" },
    });
    expect(pruned("content", "content.body")).toEqual({ content: event.content });
  });

  it("split at unescaped dots alone", () => {
    expect(pruned("content.m\\.relates_to.event_id")).toEqual({
      content: { "m.relates_to": { event_id: "$1" } },
    });
    expect(pruned("content.a\\\\b")).toEqual({ content: { "a\\b": 1 } });
  });

  it("leave out what is not there, and what is no object on the way", () => {
    expect(pruned("missing", "type.x", 5, "")).toEqual({});
  });

  it("reach nothing that is inherited", () => {
    expect(pruned("__proto__", "constructor.name", "content.toString")).toEqual({});
    expect(Object.getPrototypeOf(pruned("__proto__.x"))).toBe(Object.prototype);
  });

  it("mean everything where the list is empty or absent", () => {
    expect(fields()).toBeNull();
    expect(roomEventFilters({}).eventFields).toBeNull();
    expect(roomEventFilters(null)).toEqual({ timeline: {}, state: {}, eventFields: null });
  });

  it("never change the event", () => {
    const before = structuredClone(event);
    pruned("content.body", "unsigned");
    expect(event).toEqual(before);
  });
});
