import { describe, expect, it } from "vitest";

import type { DecryptOutcome } from "../../../proxy/crypto/event-decryptor.ts";
import { ReadResponse } from "../../../proxy/crypto/read-response.ts";
import type { ReadShape } from "../../../proxy/matrix/event-places.ts";
import type { RoomId } from "../../../proxy/matrix/identifiers.ts";
import type { JsonObject } from "../../../proxy/matrix/json.ts";

const room = "!room:example.org" as RoomId;

function ciphertext(id: string, more: JsonObject = {}): JsonObject {
  const content = { algorithm: "m.megolm.v1.aes-sha2", session_id: "s", ciphertext: id };
  return { type: "m.room.encrypted", event_id: id, content, ...more };
}

const plain = (id: string, more: JsonObject = {}): JsonObject => ({
  type: "m.room.message",
  event_id: id,
  content: { body: id },
  ...more,
});

const encryption = {
  type: "m.room.encryption",
  state_key: "",
  content: { algorithm: "m.megolm.v1.aes-sha2" },
};

/** Reads a response as if every ciphertext could be decrypted. */
function read(
  shape: ReadShape,
  response: JsonObject,
  options: { roomId?: RoomId | null; hide?: boolean; filter?: JsonObject } = {},
) {
  const { roomId = room, hide = false, filter = null } = options;
  const reading = new ReadResponse(shape, structuredClone(response), roomId, hide);
  const inputs = reading.toDecrypt();
  const outcomes = inputs.map(({ event }): DecryptOutcome => {
    const shown = plain(String(event["event_id"]));
    return event["type"] === "m.room.encrypted"
      ? { kind: "decrypted", event: shown }
      : { kind: "plain", event };
  });
  return { ...reading.arrange(outcomes, filter), inputs, pins: reading.pins };
}

describe("ReadResponse", () => {
  const at = (id: string) => ciphertext(id, { room_id: room });
  it.each<[ReadShape, JsonObject, JsonObject]>([
    [
      "messages",
      { start: "s", chunk: [ciphertext("a"), plain("b")], state: [ciphertext("c")] },
      { start: "s", chunk: [plain("a"), plain("b")], state: [plain("c")] },
    ],
    [
      "context",
      { event: ciphertext("a"), events_before: [ciphertext("b")], events_after: [], state: [] },
      { event: plain("a"), events_before: [plain("b")], events_after: [], state: [] },
    ],
    ["event", ciphertext("a"), plain("a")],
    ["eventById", at("a"), plain("a")],
    [
      "events",
      { chunk: [at("a"), { type: "m.presence" }], end: "e" },
      {
        chunk: [plain("a"), { type: "m.presence" }],
        end: "e",
      },
    ],
    [
      "initialSync",
      { rooms: [{ room_id: room, messages: { chunk: [ciphertext("a")] }, state: [] }, 7] },
      { rooms: [{ room_id: room, messages: { chunk: [plain("a")] }, state: [] }, 7] },
    ],
    [
      "initialSync",
      { rooms: [{ room_id: room, membership: "invite", invite: ciphertext("a") }] },
      { rooms: [{ room_id: room, membership: "invite", invite: plain("a") }] },
    ],
    [
      "roomInitialSync",
      { messages: { chunk: [ciphertext("a")], start: "s" }, state: [ciphertext("b")] },
      { messages: { chunk: [plain("a")], start: "s" }, state: [plain("b")] },
    ],
    [
      "relations",
      { chunk: [ciphertext("a")], next_batch: "n", original_event: ciphertext("b") },
      { chunk: [plain("a")], next_batch: "n", original_event: plain("b") },
    ],
    ["threads", { chunk: [ciphertext("a")] }, { chunk: [plain("a")] }],
    [
      "notifications",
      { notifications: [{ room_id: room, event: ciphertext("a"), read: false }] },
      { notifications: [{ room_id: room, event: plain("a"), read: false }] },
    ],
  ])("finds every event of %s", (shape, response, expected) => {
    const named = ["messages", "context", "event", "roomInitialSync", "relations", "threads"];
    const roomId = named.includes(shape) ? room : null;
    const { response: shown, inputs } = read(shape, response, { roomId });
    expect(shown).toEqual(expected);
    expect(inputs.map((input) => input.roomId)).toEqual(inputs.map(() => room));
  });

  it("believes the request rather than the event about its room", () => {
    const response = { chunk: [ciphertext("a", { room_id: "!other:example.org" })] };
    expect(read("messages", response).inputs).toMatchObject([{ roomId: room }]);
  });

  it("leaves an event of no known room as it is", () => {
    const { response, inputs, pins } = read("eventById", ciphertext("a"), { roomId: null });
    expect([response, inputs, pins]).toEqual([null, [], []]);
  });

  it("leaves a response in which nothing changes to its own bytes", () => {
    const response = { chunk: [plain("a"), encryption], state: [encryption] };
    expect(read("messages", response).response).toBeNull();
    expect(read("messages", response, { filter: { types: ["*"] } }).response).toBeNull();
  });

  it("strips marks that only Kirjava sets, from events within events as well", () => {
    const forged = plain("a", {
      verified: true,
      unsigned: { "m.relations": { "m.replace": plain("b", { decrypted: true }) } },
      redacted_because: plain("c", { verified: true }),
    });
    const { response } = read("event", forged);
    expect(JSON.stringify(response)).not.toMatch(/verified|decrypted/);
  });

  it("takes an event in the clear for one to decrypt where one within it is", () => {
    const thread = { "m.thread": { latest_event: ciphertext("b"), count: 1 } };
    const outer = plain("a", { unsigned: { "m.relations": thread } });
    expect(read("threads", { chunk: [outer, plain("c")] }).inputs).toMatchObject([
      { event: { event_id: "a" } },
    ]);
  });

  it("sees encryption in every room that it shows", () => {
    const other = "!other:example.org";
    const response = {
      rooms: [
        { room_id: room, messages: { chunk: [ciphertext("a"), ciphertext("b")] } },
        { room_id: other, state: [encryption] },
      ],
    };
    expect(read("initialSync", response, { roomId: null }).pins).toEqual([
      { roomId: room, content: null },
      { roomId: other, content: encryption.content },
    ]);
  });

  it("hides encryption from lists where that is wanted, and still sees it", () => {
    const response = { chunk: [plain("a")], state: [encryption] };
    const { response: shown, pins } = read("messages", response, { hide: true });
    expect(shown).toEqual({ chunk: [plain("a")], state: [] });
    expect(pins).toEqual([{ roomId: room, content: encryption.content }]);
  });

  it("filters lists by the decrypted type, but not the state that comes along", () => {
    const member = { type: "m.room.member", state_key: "@a:b", content: {} };
    const response = { chunk: [ciphertext("a"), member], state: [member] };
    const filter = { types: ["m.room.message"] };
    const { response: shown, dropped } = read("messages", response, { filter });
    expect(shown).toEqual({ chunk: [plain("a")], state: [member] });
    expect(dropped).toBe(1);
  });
});
