import { assert, integer, property, string, uint8Array } from "fast-check";
import { describe, expect, it } from "vitest";
import { megolmMessageIndex } from "../../../proxy/matrix/megolm-message.ts";

/** The start of a Megolm message: version 3, field 8, the index as a variable-length integer. */
function message(index: number, rest: readonly number[] = [0x12, 1, 0]): string {
  const bytes = [3, 8];
  let left = index;
  for (; left >= 0x80; left = Math.floor(left / 0x80)) bytes.push((left % 0x80) | 0x80);
  bytes.push(left, ...rest);
  return Buffer.from(bytes).toString("base64").replaceAll("=", "");
}

const bytes = (...values: number[]) => Buffer.from(values).toString("base64");

describe("megolmMessageIndex", () => {
  it("reads every 32-bit index", () => {
    assert(
      property(integer({ min: 0, max: 0xffff_ffff }), (index) => {
        expect(megolmMessageIndex(message(index))).toBe(index);
        expect(megolmMessageIndex(message(index, []))).toBe(index);
      }),
    );
  });

  it.each([
    ["nothing", ""],
    ["text that is no base64", "!!!!"],
    ["another version", bytes(4, 8, 1)],
    ["another field first", bytes(3, 0x12, 1)],
    ["an index that is cut off", bytes(3, 8, 0x80)],
    ["an index of six bytes", bytes(3, 8, 0x80, 0x80, 0x80, 0x80, 0x80, 1)],
    ["an index beyond 32 bits", bytes(3, 8, 0xff, 0xff, 0xff, 0xff, 0x7f)],
    ["no index at all", bytes(3, 8)],
  ])("says null for %s", (_, ciphertext) => {
    expect(megolmMessageIndex(ciphertext)).toBeNull();
  });

  it("never throws, and never says anything but an index", () => {
    const check = (text: string): void => {
      const index = megolmMessageIndex(text);
      if (index === null) return;
      expect(Number.isSafeInteger(index) && index >= 0 && index <= 0xffff_ffff).toBe(true);
    };
    assert(property(string({ unit: "binary" }), check));
    assert(
      property(uint8Array(), (data) => check(Buffer.from([3, 8, ...data]).toString("base64"))),
    );
  });
});
