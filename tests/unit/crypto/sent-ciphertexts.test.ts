import { describe, expect, it } from "vitest";

import { SentCiphertexts } from "../../../proxy/crypto/sent-ciphertexts.ts";

const share = {};
const send = { eventType: "m.room.message", content: '{"body":"ping"}', share };

describe("a send that comes again", () => {
  it("is the same ciphertext", () => {
    const sent = new SentCiphertexts();
    sent.remember("1", send, "ciphertext", 0);
    expect(sent.find("1", { ...send }, 299_999)).toBe("ciphertext");
  });

  it("is encrypted anew after five minutes: a homeserver may take it for another event by then", () => {
    const sent = new SentCiphertexts();
    sent.remember("1", send, "ciphertext", 0);
    expect(sent.find("1", send, 300_000)).toBeNull();
  });

  it.each([
    ["another transaction", "2", send],
    ["no transaction", null, send],
    ["another content", "1", { ...send, content: '{"body":"pong"}' }],
    ["another type", "1", { ...send, eventType: "m.sticker" }],
    ["another share of the room key", "1", { ...send, share: {} }],
  ])("is encrypted anew with %s", (_, txnId, other) => {
    const sent = new SentCiphertexts();
    sent.remember("1", send, "ciphertext", 0);
    expect(sent.find(txnId, other, 1)).toBeNull();
  });

  it("is remembered for the newest 64 only", () => {
    const sent = new SentCiphertexts();
    for (let index = 0; index < 65; index++) sent.remember(`${index}`, send, `c${index}`, 0);
    expect(sent.find("0", send, 1)).toBeNull();
    expect(sent.find("1", send, 1)).toBe("c1");
    expect(sent.find("64", send, 1)).toBe("c64");
  });
});
