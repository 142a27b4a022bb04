import * as fc from "fast-check";

/** A key or something that is none; a range by its bounds. */
export type Query =
  | { readonly kind: "none" }
  | { readonly kind: "key"; readonly key: unknown }
  | {
      readonly kind: "range";
      readonly lower: unknown;
      readonly upper: unknown;
      readonly lowerOpen: boolean;
      readonly upperOpen: boolean;
    };

/** What a cursor does at each record it comes to. */
export type CursorAction = "continue" | "delete" | "update" | "stop";

export type Operation =
  | {
      readonly op: "put" | "add";
      readonly store: string;
      readonly key: unknown;
      readonly value: unknown;
    }
  | { readonly op: "delete"; readonly store: string; readonly query: Query }
  | { readonly op: "clear"; readonly store: string }
  | {
      readonly op: "get" | "count";
      readonly store: string;
      readonly index: string | null;
      readonly query: Query;
    }
  | {
      readonly op: "getAll" | "getAllKeys";
      readonly store: string;
      readonly index: string | null;
      readonly query: Query;
      readonly count: number | undefined;
    }
  | {
      readonly op: "cursor";
      readonly store: string;
      readonly index: string | null;
      readonly query: Query;
      readonly actions: readonly CursorAction[];
      readonly value: unknown;
    };

/** A request, what its handlers do, and what they place next. */
export interface Step {
  readonly operation: Operation;
  /** Prevent the default of an error, so that the transaction goes on. */
  readonly preventsDefault: boolean;
  readonly stopsPropagation: boolean;
  /** Placed in the handler (or, "later", in a microtask after it). */
  readonly then: readonly Step[];
  readonly when: "now" | "later";
  readonly end: "none" | "abort" | "commit";
}

export interface Transaction {
  readonly mode: "readonly" | "readwrite";
  readonly stores: readonly string[];
  readonly steps: readonly Step[];
  /** What happens right after the first steps are placed. */
  readonly end: "none" | "abort" | "commit";
}

export type SchemaChange =
  | { readonly change: "createStore" | "deleteStore"; readonly store: string }
  | { readonly change: "createIndex"; readonly store: string; readonly index: string }
  | { readonly change: "step"; readonly step: Step };

/** What becomes of the connections that are there when a phase begins. */
export type Before = "close" | "reopen" | "crash" | "close when asked" | "close when blocked";

export interface Phase {
  readonly before: Before;
  /** Added to the version that the last phase asked for; null asks for none. */
  readonly raise: number | null;
  readonly upgrade: readonly SchemaChange[];
  readonly upgradeEnd: "none" | "abort";
  readonly transactions: readonly Transaction[];
}

export type Program = readonly Phase[];

export const STORES = ["one", "two", "three"] as const;
export const INDEXES: Readonly<Record<string, { keyPath: string | string[]; unique: boolean }>> = {
  byA: { keyPath: "a", unique: false },
  byUnique: { keyPath: "u", unique: true },
  byBoth: { keyPath: ["a", "b"], unique: false },
  byInner: { keyPath: "inner.length", unique: false },
};

const numbers = fc.oneof(
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom(-Infinity, Infinity, -1.5, 0.1, 1e300, -1e-300, 2 ** 53),
);
const texts = fc.constantFrom(
  "",
  "a",
  "b",
  "ab",
  "a\u0000",
  "\u0000",
  "~",
  "\u007f",
  "é",
  "\ud800",
  "\udfff",
  "😀",
  "\uffff",
  "a\u001dsession",
);
const simpleKeys = fc.oneof(numbers, texts);
const validKeys = fc.oneof(
  { weight: 5, arbitrary: simpleKeys },
  {
    weight: 1,
    arbitrary: fc.array(fc.oneof(simpleKeys, fc.array(simpleKeys, { maxLength: 2 })), {
      maxLength: 3,
    }),
  },
);
const keys = fc.oneof(
  { weight: 15, arbitrary: validKeys },
  {
    weight: 1,
    arbitrary: fc.constantFrom(undefined, null, true, {}, NaN, [undefined], ["a", null]),
  },
);

const extras = fc.constantFrom<unknown>(
  undefined,
  null,
  new Uint8Array([1, 2, 255]),
  new Map([["k", new Set([1])]]),
  12345678901234567890n,
  new Array<unknown>(2),
  new Date(5),
  /x/gi,
  { deep: { er: [] } },
);
const values = fc.oneof(
  { weight: 1, arbitrary: fc.oneof(texts, numbers, extras) },
  {
    weight: 4,
    arbitrary: fc.record(
      {
        a: keys,
        b: keys,
        u: fc.integer({ min: 0, max: 4 }),
        inner: fc.oneof(texts, fc.array(numbers)),
        extra: extras,
      },
      { requiredKeys: [] },
    ),
  },
);

const queries: fc.Arbitrary<Query> = fc.oneof(
  fc.constant<Query>({ kind: "none" }),
  fc.record({ kind: fc.constant("key" as const), key: keys }),
  fc.record({
    kind: fc.constant("range" as const),
    lower: fc.option(keys, { nil: undefined }),
    upper: fc.option(keys, { nil: undefined }),
    lowerOpen: fc.boolean(),
    upperOpen: fc.boolean(),
  }),
);

/** fake-indexeddb takes what is no key for the options that the newest draft has in its place. */
const getAllQueries = queries.filter(
  (query) =>
    query.kind !== "key" ||
    query.key == null ||
    /string|number/.test(typeof query.key) ||
    Array.isArray(query.key),
);

const stores = fc.constantFrom(...STORES);
const indexes = fc.option(fc.constantFrom(...Object.keys(INDEXES)), { nil: null });
const counts = fc.constantFrom(undefined, 0, 1, 2, 100);

const operations: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constantFrom("put" as const, "add" as const),
      store: stores,
      key: keys,
      value: values,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant("delete" as const), store: stores, query: queries }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("clear" as const), store: stores }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constantFrom("get" as const, "count" as const),
      store: stores,
      index: indexes,
      query: queries,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constantFrom("getAll" as const, "getAllKeys" as const),
      store: stores,
      index: indexes,
      query: getAllQueries,
      count: counts,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant("cursor" as const),
      store: stores,
      index: indexes,
      query: queries,
      actions: fc.array(
        fc.constantFrom<CursorAction>("continue", "continue", "delete", "update", "stop"),
        {
          maxLength: 5,
        },
      ),
      value: values,
    }),
  },
);

const ends = fc.oneof(
  { weight: 10, arbitrary: fc.constant("none" as const) },
  { weight: 1, arbitrary: fc.constantFrom("abort" as const, "commit" as const) },
);

const { steps } = fc.letrec<{ steps: readonly Step[]; step: Step }>((tie) => ({
  steps: fc.array(tie("step"), { maxLength: 3, depthIdentifier: "steps" }),
  step: fc.record({
    operation: operations,
    preventsDefault: fc.boolean(),
    stopsPropagation: fc.boolean(),
    then: fc.oneof(
      { maxDepth: 2, depthIdentifier: "steps" },
      fc.constant<readonly Step[]>([]),
      tie("steps"),
    ),
    when: fc.constantFrom("now" as const, "later" as const),
    end: ends,
  }),
}));

const transactions: fc.Arbitrary<Transaction> = fc.record({
  mode: fc.constantFrom("readonly" as const, "readwrite" as const, "readwrite" as const),
  stores: fc.subarray([...STORES], { minLength: 1 }),
  steps,
  end: ends,
});

const changes: fc.Arbitrary<SchemaChange> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({ change: fc.constant("createStore" as const), store: stores }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ change: fc.constant("deleteStore" as const), store: stores }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      change: fc.constant("createIndex" as const),
      store: stores,
      index: fc.constantFrom(...Object.keys(INDEXES)),
    }),
  },
  {
    weight: 2,
    arbitrary: steps.map((placed): SchemaChange => {
      const [step] = placed;
      return step === undefined
        ? { change: "createStore", store: "one" }
        : { change: "step", step };
    }),
  },
);

const everyStore: SchemaChange[] = STORES.map((store) => ({ change: "createStore", store }));

const firstPhase: fc.Arbitrary<Phase> = fc.record({
  before: fc.constant("close" as const),
  raise: fc.constant(1),
  upgrade: fc.array(changes, { maxLength: 6 }).map((more) => [...everyStore, ...more]),
  upgradeEnd: fc.constant("none" as const),
  transactions: fc.array(transactions, { maxLength: 4 }),
});

const laterPhase: fc.Arbitrary<Phase> = fc.record({
  before: fc.constantFrom<Before>(
    "close",
    "reopen",
    "crash",
    "close when asked",
    "close when blocked",
  ),
  raise: fc.constantFrom(null, 0, 0, 1, 1, 2, -1),
  upgrade: fc.array(changes, { maxLength: 6 }),
  upgradeEnd: fc.constantFrom("none" as const, "none" as const, "none" as const, "abort" as const),
  transactions: fc.array(transactions, { maxLength: 4 }),
});

/** Random programs: each has all stores at first, then phases of upgrades, reopening and interleaved transactions. */
export const programs: fc.Arbitrary<Program> = fc
  .tuple(firstPhase, fc.array(laterPhase, { maxLength: 3 }))
  .map(([first, later]) => [first, ...later]);
