import { describe, expect, it } from "vitest";
import { SyncResponse } from "../../../proxy/crypto/sync-response.ts";

const roomId = "!room:example.org";
const touched = (timeline: unknown) => [
  ...new SyncResponse({ rooms: { join: { [roomId]: { timeline } } } }, [], false).touched,
];

describe("SyncResponse", () => {
  it.each(["m.room.member", "m.room.history_visibility"])(
    "notes a room in which %s came",
    (type) => {
      expect(touched({ events: [{ type, state_key: "", content: {} }] })).toEqual([roomId]);
    },
  );

  it("notes a room with a gap, which may hide who came or left", () => {
    expect(touched({ events: [], limited: true })).toEqual([roomId]);
    expect(touched({ events: [{ type: "m.room.message" }], limited: false })).toEqual([]);
  });
});
