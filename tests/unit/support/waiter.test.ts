import { expect, it } from "vitest";

import { Waiter } from "../../support/waiter.ts";

it("finds what has happened already", async () => {
  const waiter = new Waiter<number>();
  waiter.push(1);
  waiter.push(2);
  expect(await waiter.find("an even number", (n) => n % 2 === 0)).toBe(2);
});

it("waits for what is still to happen, for each that waits", async () => {
  const waiter = new Waiter<number>();
  const both = Promise.all([
    waiter.find("a one", (n) => n === 1),
    waiter.find("any number", () => true),
  ]);
  waiter.push(7);
  waiter.push(1);
  expect(await both).toEqual([1, 7]);
});

it("names what it expected and what it saw when the deadline passes", async () => {
  const waiter = new Waiter<number>();
  waiter.push(5);
  await expect(waiter.find("an even number", (n) => n % 2 === 0, 1)).rejects.toThrow(
    "expected an even number within 1 ms; the last of 1 seen:\n  5",
  );
});
