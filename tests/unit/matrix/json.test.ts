import { describe, expect, it } from "vitest";
import {
  asArray,
  asObject,
  asString,
  asStrings,
  isObject,
  parseObject,
} from "../../../proxy/matrix/json.ts";

describe("JSON readers", () => {
  it("take objects, and neither null nor lists", () => {
    expect([{}, { a: 1 }].every(isObject)).toBe(true);
    expect([null, [], "{}", 1, undefined].some(isObject)).toBe(false);
    expect(asObject([])).toBeNull();
  });

  it("give neutral values for anything else", () => {
    expect(asArray({ length: 2 })).toEqual([]);
    expect(asString(5)).toBeNull();
    expect(asStrings(["a", 1, null, "b", ["c"]])).toEqual(["a", "b"]);
    expect(asStrings("abc")).toEqual([]);
  });

  it.each(["", "[]", "null", "1", '"x"', "{", '{"a":1}x', "\u0000"])(
    "parse %j to no object",
    (text) => {
      expect(parseObject(text)).toBeNull();
    },
  );

  it("keep __proto__ an ordinary member", () => {
    const parsed = parseObject('{"__proto__":{"polluted":true}}');
    expect(Object.hasOwn(parsed ?? {}, "__proto__")).toBe(true);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});
