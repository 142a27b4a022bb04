import { expect, it } from "vitest";

import { bundledEvents } from "../../../proxy/matrix/bundled-events.ts";
import { stripMarks } from "../../../proxy/matrix/room-events.ts";

const edit = () => ({ event_id: "$edit", type: "m.room.encrypted" });
const latest = () => ({ event_id: "$latest", type: "m.room.message" });
const outer = () => ({
  event_id: "$outer",
  unsigned: {
    age: 1,
    "m.relations": { "m.replace": edit(), "m.thread": { count: 2, latest_event: latest() } },
  },
});

it("finds the newest edit and the newest event of the thread", () => {
  expect(bundledEvents(outer()).map(({ event }) => event)).toEqual([edit(), latest()]);
});

it("puts another event into the place of one and leaves the outer event as it was", () => {
  const event = outer();
  const changed = bundledEvents(event)[1]?.replace(event, { event_id: "$other" });
  expect(event).toEqual(outer());
  expect(changed).toEqual({
    ...outer(),
    unsigned: {
      age: 1,
      "m.relations": {
        "m.replace": edit(),
        "m.thread": { count: 2, latest_event: { event_id: "$other" } },
      },
    },
  });
});

it.each([
  ["no unsigned", {}],
  ["unsigned of another kind", { unsigned: 7 }],
  ["relations of another kind", { unsigned: { "m.relations": [] } }],
  ["an edit of another kind", { unsigned: { "m.relations": { "m.replace": "x" } } }],
  ["members that are not its own", { unsigned: Object.create({ "m.relations": {} }) as object }],
])("finds nothing in %s", (_name, event) => {
  expect(bundledEvents(event)).toEqual([]);
});

it("strips marks from bundled events, and from those bundled with them", () => {
  const inner = { unsigned: { "m.relations": { "m.replace": { decrypted: true } } } };
  const event = {
    unsigned: { "m.relations": { "m.thread": { latest_event: { ...inner, verified: true } } } },
  };
  expect(stripMarks(event)).toBe(true);
  expect(JSON.stringify(event)).not.toMatch(/decrypted|verified/);
});
