import {
  array,
  assert,
  boolean,
  constant,
  constantFrom,
  integer,
  oneof,
  property,
  record,
} from "fast-check";
import { describe, expect, it } from "vitest";
import type { DecryptOutcome } from "../../../proxy/crypto/event-decryptor.ts";
import type { NewOwedItem, OwedEntry } from "../../../proxy/crypto/owed-events.ts";
import {
  arrangeTimeline,
  eventsToDecrypt,
  type TimelineInput,
  type TimelineOutput,
} from "../../../proxy/crypto/room-timeline.ts";
import type { RoomId } from "../../../proxy/matrix/identifiers.ts";
import type { JsonObject } from "../../../proxy/matrix/json.ts";

const roomId = "!room:example.org" as RoomId;
const lateKeyTimeoutMs = 60_000;
const startMs = 1_800_000_000_000;

const plain = (id: string): JsonObject => ({ event_id: id, type: "m.room.message", content: {} });
const secret = (id: string, session = "s"): JsonObject => ({
  event_id: id,
  type: "m.room.encrypted",
  content: { algorithm: "m.megolm.v1.aes-sha2", session_id: session, ciphertext: id },
});
const sessionOf = (event: JsonObject): string =>
  String((event["content"] as JsonObject)["session_id"]);

/** Decrypts with the sessions at hand, as the engine would. */
function decrypt(event: JsonObject, keys: ReadonlySet<string>): DecryptOutcome {
  const session = sessionOf(event);
  if (session === "never") return { kind: "failed", event, reason: "withheld" };
  if (!keys.has(session)) return { kind: "late", event, sessionId: session };
  return { kind: "decrypted", event: { ...event, type: "m.room.message" } };
}

interface Step {
  readonly owed?: readonly OwedEntry[];
  readonly events?: readonly JsonObject[];
  readonly limited?: boolean;
  readonly prevBatch?: string | null;
  readonly left?: boolean;
  readonly keys?: readonly string[];
  readonly nowMs?: number;
  readonly deviceCreatedMs?: number;
}

function arrange(step: Step): TimelineOutput {
  const input: TimelineInput = {
    roomId,
    owed: step.owed ?? [],
    events: step.events ?? [],
    limited: step.limited ?? false,
    prevBatch: step.prevBatch ?? null,
    left: step.left ?? false,
  };
  const keys = new Set(step.keys ?? []);
  const outcomes = eventsToDecrypt(input).map((event) => decrypt(event, keys));
  return arrangeTimeline(input, outcomes, {
    nowMs: step.nowMs ?? startMs,
    lateKeyTimeoutMs,
    deviceCreatedMs: step.deviceCreatedMs ?? 0,
  });
}

let ids = 0;
/** The output's outstanding items as they are read back from the store. */
function stored(output: TimelineOutput): OwedEntry[] {
  const fresh = output.fresh.map((item: NewOwedItem): OwedEntry => {
    ids += 1;
    return { item: { ...item, id: ids }, state: "held" };
  });
  return [...output.kept, ...fresh];
}

const shown = ({ events }: TimelineOutput) =>
  events.map(
    (event) => `${String(event["event_id"])}${event["type"] === "m.room.encrypted" ? " raw" : ""}`,
  );

describe("arrangeTimeline", () => {
  it("passes plain and decrypted events in order, with the response's own position", () => {
    const output = arrange({
      events: [plain("a"), secret("b"), plain("c")],
      keys: ["s"],
      limited: true,
      prevBatch: "p",
    });
    expect(shown(output)).toEqual(["a", "b", "c"]);
    expect(output).toMatchObject({ limited: true, prevBatch: "p", kept: [], fresh: [] });
  });

  it("holds an event whose key may come, and everything behind it", () => {
    const output = arrange({
      events: [plain("a"), secret("b"), plain("c"), secret("d", "k")],
      keys: ["k"],
    });
    expect(shown(output)).toEqual(["a"]);
    expect(output.fresh.map(({ event, sessionId }) => [event["event_id"], sessionId])).toEqual([
      ["b", "s"],
      ["c", null],
      ["d", null],
    ]);
  });

  it("gives them all, in order and before what is new, when the key is there", () => {
    const first = arrange({ events: [secret("a"), plain("b")] });
    const output = arrange({ owed: stored(first), events: [plain("c")], keys: ["s"] });
    expect(shown(output)).toEqual(["a", "b", "c"]);
    expect(stored(output)).toEqual([]);
  });

  it("gives an event raw when its time is over, and what stands behind it", () => {
    const first = arrange({ events: [secret("a"), plain("b")] });
    const output = arrange({ owed: stored(first), nowMs: startMs + lateKeyTimeoutMs });
    expect(shown(output)).toEqual(["a raw", "b"]);
    expect(output.kept).toMatchObject([{ state: "raw", item: { event: { event_id: "a" } } }]);
  });

  it("counts the time of each event from its own first sight", () => {
    const first = arrange({ events: [secret("a")] });
    const second = arrange({ owed: stored(first), events: [secret("b")], nowMs: startMs + 30_000 });
    const output = arrange({ owed: stored(second), nowMs: startMs + lateKeyTimeoutMs });
    expect(shown(output)).toEqual(["a raw"]);
    expect(stored(output).map(({ state }) => state)).toEqual(["raw", "held"]);
  });

  it("gives a raw event once more when its key comes, and then no more", () => {
    const first = arrange({ events: [secret("a")] });
    const raw = arrange({ owed: stored(first), nowMs: startMs + lateKeyTimeoutMs });
    const output = arrange({ owed: stored(raw), events: [plain("b")], keys: ["s"] });
    expect(shown(output)).toEqual(["a", "b"]);
    expect(stored(output)).toEqual([]);
  });

  it("does not let a raw event hold anything back", () => {
    const first = arrange({ events: [secret("a")] });
    const raw = arrange({ owed: stored(first), nowMs: startMs + lateKeyTimeoutMs });
    const output = arrange({ owed: stored(raw), events: [plain("b")] });
    expect(shown(output)).toEqual(["b"]);
    expect(stored(output).map(({ state }) => state)).toEqual(["raw"]);
  });

  it("gives at once what will never decrypt, and forgets it", () => {
    const output = arrange({ events: [secret("a", "never"), plain("b")] });
    expect(shown(output)).toEqual(["a raw", "b"]);
    expect(stored(output)).toEqual([]);
  });

  it("does not wait for keys of events from before the device existed", () => {
    const old = { ...secret("a"), origin_server_ts: 5 };
    const output = arrange({ events: [old, plain("b")], deviceCreatedMs: 6 });
    expect(shown(output)).toEqual(["a raw", "b"]);
    const young = { ...secret("a"), origin_server_ts: 6 };
    expect(shown(arrange({ events: [young], deviceCreatedMs: 6 }))).toEqual([]);
  });

  it.each([["text"], [null], [{}], [undefined]])("waits where origin_server_ts is %j", (value) => {
    const event = { ...secret("a"), origin_server_ts: value };
    expect(stored(arrange({ events: [event], deviceCreatedMs: 6 }))).toHaveLength(
      value === null ? 0 : 1,
    );
  });

  it("keeps a gap apart from what stands before it", () => {
    const first = arrange({ events: [secret("a")] });
    const held = stored(first);
    const second = arrange({
      owed: held,
      events: [plain("x"), plain("y")],
      limited: true,
      prevBatch: "p",
      keys: ["s"],
    });
    expect(shown(second)).toEqual(["a"]);
    expect(second).toMatchObject({ limited: false, prevBatch: null });
    const third = arrange({
      owed: stored(second),
      events: [plain("z")],
      prevBatch: "q",
      keys: ["s"],
    });
    expect(shown(third)).toEqual(["x", "y", "z"]);
    expect(third).toMatchObject({ limited: true, prevBatch: "p" });
  });

  it("says nothing of a gap while everything behind it is held", () => {
    const output = arrange({ events: [secret("a")], limited: true, prevBatch: "p" });
    expect(output).toMatchObject({ events: [], limited: false });
    const next = arrange({ owed: stored(output), keys: ["s"] });
    expect(next).toMatchObject({ limited: true, prevBatch: "p" });
  });

  it("tells of a gap that came without an event behind it", () => {
    const first = arrange({ events: [secret("a")] });
    expect(arrange({ limited: true, prevBatch: "p" })).toMatchObject({
      limited: true,
      prevBatch: "p",
    });
    const output = arrange({ owed: stored(first), limited: true, prevBatch: "p", keys: ["s"] });
    expect(shown(output)).toEqual(["a"]);
    expect(output).toMatchObject({ limited: true, prevBatch: "p" });
  });

  it("holds nothing back of a room that was left, gap or no gap", () => {
    const first = arrange({ events: [secret("a"), plain("b")] });
    const output = arrange({
      owed: stored(first),
      events: [secret("c"), plain("d")],
      limited: true,
      prevBatch: "p",
      left: true,
    });
    expect(shown(output)).toEqual(["a raw", "b", "c raw", "d"]);
    expect(output).toMatchObject({ limited: true, prevBatch: "p", kept: [], fresh: [] });
  });
});

/** One response of the homeserver, and what happens around it. */
const steps = array(
  record({
    events: array(
      oneof(
        constant("plain"),
        constantFrom("s1", "s2", "s3", "never").map((session) => `secret ${session}`),
      ),
      { maxLength: 4 },
    ),
    limited: boolean(),
    key: constantFrom(null, "s1", "s2", "s3"),
    elapsedMs: constantFrom(0, 1_000, 30_000, 61_000),
    /** How often the client loses the response and asks again with its old position. */
    lost: integer({ min: 0, max: 2 }),
  }),
  { maxLength: 12 },
);

describe("any sequence of responses, key arrivals, retries and waits", () => {
  it("delivers each event in order, decrypted once or raw and then once decrypted, and loses none", () => {
    assert(
      property(steps, (sequence) => {
        let nowMs = startMs;
        let owed: OwedEntry[] = [];
        const keys = new Set<string>();
        const sent: JsonObject[] = [];
        const gaps: string[] = [];
        const got: { id: string; raw: boolean }[] = [];
        const gapsSeen: string[] = [];
        const take = (output: TimelineOutput): void => {
          owed = stored(output);
          if (output.limited) gapsSeen.push(output.prevBatch ?? "");
          for (const event of output.events) {
            got.push({ id: String(event["event_id"]), raw: event["type"] === "m.room.encrypted" });
          }
        };
        for (const [index, step] of sequence.entries()) {
          const events = step.events.map((kind, at) => {
            const [form, session] = kind.split(" ");
            const id = `${index}.${at}`;
            return form === "plain" ? plain(id) : secret(id, session);
          });
          sent.push(...events);
          const prevBatch = `p${index}`;
          // A gap with no event behind it is told at once: see above.
          const limited = step.limited && events.length > 0;
          if (limited) gaps.push(prevBatch);
          const before = owed;
          // What a lost response left outstanding counts for nothing: the old position still holds it.
          for (let lost = 0; lost <= step.lost; lost++) {
            if (lost === step.lost && step.key !== null) keys.add(step.key);
            const output = arrange({
              owed: before,
              events,
              limited,
              prevBatch,
              keys: [...keys],
              nowMs,
            });
            if (lost === step.lost) take(output);
            else stored(output);
          }
          nowMs += step.elapsedMs;
        }
        for (const key of ["s1", "s2", "s3"]) keys.add(key);
        for (let round = 0; owed.length > 0 && round < 20; round++) {
          take(arrange({ owed, keys: [...keys], nowMs }));
        }
        expect(owed).toEqual([]);

        const order = sent.map((event) => String(event["event_id"]));
        const firstSights = got.filter(
          ({ id }, at) => got.findIndex((other) => other.id === id) === at,
        );
        expect(firstSights.map(({ id }) => id)).toEqual(order);
        for (const event of sent) {
          const id = String(event["event_id"]);
          const forms = got.filter((other) => other.id === id).map(({ raw }) => raw);
          if (event["type"] === "m.room.message") expect(forms).toEqual([false]);
          else if (sessionOf(event) === "never") expect(forms).toEqual([true]);
          else expect([[false], [true, false]]).toContainEqual(forms);
        }
        expect(gapsSeen).toEqual(gaps);
      }),
      { numRuns: 1_000 },
    );
  });
});
