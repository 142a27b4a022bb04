import { describe, expect, it } from "vitest";
import {
  eachEvent,
  readEncryptionState,
  readMegolmEvent,
  stripMarks,
  withoutEncryptionState,
} from "../../../proxy/matrix/room-events.ts";

const megolm = { algorithm: "m.megolm.v1.aes-sha2", session_id: "s", ciphertext: "c" };

describe("readMegolmEvent", () => {
  it("reads session and ciphertext", () => {
    expect(readMegolmEvent({ type: "m.room.encrypted", content: megolm })).toEqual({
      sessionId: "s",
      ciphertext: "c",
    });
  });

  it.each([
    ["another type", { type: "m.room.message", content: megolm }],
    ["a redacted event", { type: "m.room.encrypted", content: {} }],
    ["no content", { type: "m.room.encrypted" }],
    ["a list for content", { type: "m.room.encrypted", content: [megolm] }],
    ["Olm", { type: "m.room.encrypted", content: { ...megolm, algorithm: "m.olm.v1" } }],
    [
      "a ciphertext by device",
      { type: "m.room.encrypted", content: { ...megolm, ciphertext: {} } },
    ],
    ["a number for a session", { type: "m.room.encrypted", content: { ...megolm, session_id: 1 } }],
  ])("says null for %s", (_, event) => {
    expect(readMegolmEvent(event)).toBeNull();
  });
});

describe("readEncryptionState", () => {
  it("reads the content, an empty one where it was redacted", () => {
    const event = { type: "m.room.encryption", state_key: "" };
    expect(readEncryptionState({ ...event, content: { algorithm: "x" } })).toEqual({
      algorithm: "x",
    });
    expect(readEncryptionState({ ...event, content: null })).toEqual({});
    expect(readEncryptionState(event)).toEqual({});
  });

  it("takes neither a message event nor another state key for it", () => {
    expect(readEncryptionState({ type: "m.room.encryption", content: {} })).toBeNull();
    expect(readEncryptionState({ type: "m.room.encryption", state_key: "x" })).toBeNull();
  });

  it("is left out of lists where it is hidden, and nothing else is", () => {
    const message = { type: "m.room.message" };
    expect(
      withoutEncryptionState([message, { type: "m.room.encryption", state_key: "" }, null, 1]),
    ).toEqual([message, null, 1]);
  });
});

describe("stripMarks", () => {
  it("removes forged marks whatever they say, at the top level alone", () => {
    const event = { decrypted: false, verified: "yes", content: { verified: true }, type: "t" };
    expect(stripMarks(event)).toBe(true);
    expect(event).toEqual({ content: { verified: true }, type: "t" });
    expect(stripMarks(event)).toBe(false);
  });
});

describe("eachEvent", () => {
  it("visits objects with their places and passes everything else over", () => {
    const seen: [unknown, number][] = [];
    eachEvent([{ a: 1 }, null, "x", [], { b: 2 }], (event, index) => seen.push([event, index]));
    expect(seen).toEqual([
      [{ a: 1 }, 0],
      [{ b: 2 }, 4],
    ]);
    eachEvent({ length: 1, 0: {} }, () => expect.unreachable());
  });
});

describe("readMegolmEvent", () => {
  it("takes no state event for a message", () => {
    const content = { algorithm: "m.megolm.v1.aes-sha2", session_id: "s", ciphertext: "c" };
    const event = { type: "m.room.encrypted", content };
    expect(readMegolmEvent(event)).toEqual({ sessionId: "s", ciphertext: "c" });
    expect(readMegolmEvent({ ...event, state_key: "" })).toBeNull();
    expect(readMegolmEvent({ ...event, state_key: "@victim:hs" })).toBeNull();
  });
});
