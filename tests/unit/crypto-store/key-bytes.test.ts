import { createRequire } from "node:module";
import * as fc from "fast-check";
import { expect, it } from "vitest";
import { decodeKey, encodeKey, type Key } from "../../../crypto-store/algorithms/key-bytes.ts";

// Required, not imported: its type declarations need the DOM library, which this project does not load.
const fake = createRequire(import.meta.url)("fake-indexeddb") as {
  readonly indexedDB: { cmp(first: unknown, second: unknown): number };
};

const text = fc
  .array(
    fc.oneof(
      fc.nat(0xffff),
      fc.constantFrom(0, 1, 0x7e, 0x7f, 0x80, 0xfff, 0x1000, 0xd800, 0xdfff),
    ),
  )
  .map((units) => String.fromCharCode(...units));
const leaf: fc.Arbitrary<Key> = fc.oneof(fc.double({ noNaN: true }), fc.integer(), text);
const keys: fc.Arbitrary<Key> = fc.oneof(
  leaf,
  fc.array(fc.oneof(leaf, fc.array(leaf, { maxLength: 3 })), { maxLength: 3 }),
);

it("keeps the order of keys", () => {
  fc.assert(
    fc.property(keys, keys, (first, second) => {
      expect(Buffer.compare(encodeKey(first), encodeKey(second))).toBe(
        fake.indexedDB.cmp(first, second),
      );
    }),
    { numRuns: 2000 },
  );
});

it("keeps the order of keys that begin alike", () => {
  const base: fc.Arbitrary<Key[]> = fc.array(leaf, { maxLength: 3 });
  fc.assert(
    fc.property(base, leaf, leaf, base, (start, one, other, end) => {
      const [first, second] = [
        [...start, one],
        [...start, other, ...end],
      ];
      expect(Buffer.compare(encodeKey(first), encodeKey(second))).toBe(
        fake.indexedDB.cmp(first, second),
      );
    }),
    { numRuns: 2000 },
  );
});

it("gives back the key", () => {
  fc.assert(
    fc.property(keys, (key) => {
      expect(decodeKey(encodeKey(key))).toEqual(positiveZero(key));
    }),
    { numRuns: 2000 },
  );
});

it("takes -0 and 0 for the same key", () => {
  expect(encodeKey(-0)).toEqual(encodeKey(0));
});

it("refuses bytes that are no key", () => {
  expect(() => decodeKey(Buffer.from([0x77]))).toThrow(
    new TypeError("expected an encoded key, got tag 119"),
  );
});

function positiveZero(key: Key): Key {
  if (typeof key === "number") return key + 0;
  return typeof key === "string" ? key : key.map(positiveZero);
}
