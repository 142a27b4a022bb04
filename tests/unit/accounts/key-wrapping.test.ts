import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KeyUnwrapError, KeyWrapper } from "../../../proxy/accounts/key-wrapping.ts";

const wrapper = new KeyWrapper(Buffer.alloc(32, 7));
const key = Buffer.alloc(32, 9);

function failureOf(action: () => unknown): KeyUnwrapError {
  try {
    action();
  } catch (error) {
    if (error instanceof KeyUnwrapError) return error;
    throw error;
  }
  throw new Error("expected a failure");
}

describe("KeyWrapper", () => {
  it("gives back what it wrapped, for the same purpose", () => {
    const wrapped = wrapper.wrap(key, ["device store", "@a:b", "D"]);
    expect(wrapped).toHaveLength(69);
    expect(wrapper.unwrap(wrapped, ["device store", "@a:b", "D"]).equals(key)).toBe(true);
  });

  it("never wraps the same way twice", () => {
    expect(wrapper.wrap(key, ["x"]).equals(wrapper.wrap(key, ["x"]))).toBe(false);
  });

  it("does not open for another purpose, nor with the parts' borders moved", () => {
    const wrapped = wrapper.wrap(key, ["a", "bc"]);
    for (const purpose of [["ab", "c"], ["a"], ["a", "bc", ""], ["abc"]]) {
      expect(failureOf(() => wrapper.unwrap(wrapped, purpose)).reason).toBe("damaged");
    }
  });

  it("does not open after a change of any one bit", () => {
    const wrapped = wrapper.wrap(key, ["x"]);
    fc.assert(
      fc.property(fc.nat({ max: wrapped.length * 8 - 1 }), (bit) => {
        const changed = Buffer.from(wrapped);
        const at = bit >> 3;
        changed.writeUInt8(changed.readUInt8(at) ^ (1 << (bit & 7)), at);
        const expected = at === 0 ? "format" : at < 9 ? "master" : "damaged";
        expect(failureOf(() => wrapper.unwrap(changed, ["x"])).reason).toBe(expected);
      }),
    );
  });

  it("does not open at another length", () => {
    const wrapped = wrapper.wrap(key, ["x"]);
    for (const other of [Buffer.alloc(0), wrapped.subarray(1), Buffer.concat([wrapped, wrapped])]) {
      expect(failureOf(() => wrapper.unwrap(other, ["x"])).reason).toBe("format");
    }
  });

  it("names the other master key by an id that holds nothing of it", () => {
    const master = randomBytes(32);
    const other = new KeyWrapper(master);
    const failure = failureOf(() => wrapper.unwrap(other.wrap(key, ["x"]), ["x"]));
    expect(failure.reason).toBe("master");
    expect(failure.wrappedBy).toBe(other.masterId);
    expect(other.masterId).toMatch(/^[0-9a-f]{16}$/);
    expect(master.toString("hex")).not.toContain(other.masterId.slice(0, 8));
  });

  it("refuses keys of another length", () => {
    expect(() => new KeyWrapper(Buffer.alloc(16))).toThrow(
      new RangeError("expected a master key of 32 bytes, got 16"),
    );
    expect(() => wrapper.wrap(Buffer.alloc(33), ["x"])).toThrow(
      new RangeError("expected a key of 32 bytes, got 33"),
    );
  });
});
