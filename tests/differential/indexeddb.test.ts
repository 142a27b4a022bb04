import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, cpSync, existsSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { DeviceStore } from "../../crypto-store/index.ts";
import { IDBFactory } from "../../crypto-store/indexeddb/idb-factory.ts";
import { IDBKeyRange } from "../../crypto-store/indexeddb/idb-key-range.ts";
import type { IDBOpenDBRequest } from "../../crypto-store/indexeddb/idb-open-db-request.ts";
import { programs, type Program } from "./program.ts";
import { run, type Implementation, type Observation, type Trace } from "./runner.ts";

// Required, not imported: its type declarations need the DOM library, which this project does not load.
const fake = createRequire(import.meta.url)("fake-indexeddb") as {
  readonly IDBFactory: new () => { open(name: string, version?: number): IDBOpenDBRequest };
  readonly IDBKeyRange: Implementation["keyRange"];
};

const RUNS = Number(process.env["KIRJAVA_DIFFERENTIAL_RUNS"] ?? 300);
const KEY = randomBytes(32);
let directory: string;
let files = 0;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "kirjava-differential-"));
});

afterAll(() => rmSync(directory, { recursive: true }));

function theFake(): Implementation {
  const factory = new fake.IDBFactory();
  return {
    open: (version) => factory.open("db", version),
    keyRange: fake.IDBKeyRange,
    reopen: () => Promise.resolve(),
    crash: () => Promise.resolve(),
  };
}

class OurStore implements Implementation {
  readonly keyRange = IDBKeyRange;
  readonly #factory = new IDBFactory();
  #path: string;
  #store: DeviceStore;

  constructor() {
    files += 1;
    this.#path = join(directory, `${files}.db`);
    this.#store = DeviceStore.open({ path: this.#path, key: KEY, mode: "create", migrations: [] });
  }

  open(version: number | undefined): IDBOpenDBRequest {
    return this.#factory.open(`${this.#store.mountName}::db`, version);
  }

  async reopen(): Promise<void> {
    await this.#store.close();
    this.#store = DeviceStore.open({
      path: this.#path,
      key: KEY,
      mode: "existing",
      migrations: [],
    });
  }

  async crash(): Promise<void> {
    // The files as they are, log included: a killed process leaves just these.
    files += 1;
    const [dead, left] = [this.#path, join(directory, `${files}.db`)];
    for (const suffix of ["", "-wal"]) {
      if (existsSync(dead + suffix)) cpSync(dead + suffix, left + suffix);
    }
    await this.#store.close();
    rmSync(dead);
    this.#path = left;
    this.#store = DeviceStore.open({ path: left, key: KEY, mode: "existing", migrations: [] });
  }

  async close(): Promise<void> {
    await this.#store.close();
    rmSync(this.#path);
  }
}

async function runOurs(program: Program): Promise<Trace> {
  const ours = new OurStore();
  try {
    return await run(program, ours);
  } finally {
    await ours.close();
  }
}

/** The outcome of a request that ran, or of a transaction that committed. */
const IS_OUTCOME = /( succeeds| at| ends|^complete| fails: (?!AbortError).*)$/;

/**
 * What both implementations must agree on: all that is observed of one owner, and of every two transactions whose order matters.
 * Transactions that share no store, and readers among each other, may take turns in any way. What an abort fires comes after the
 * transaction has let go of its stores: its place among the events of the next one is left out.
 */
function views(trace: Trace): Map<string, Observation[]> {
  const result = new Map<string, Observation[]>();
  for (const { owner } of trace.observations) {
    result.set(
      owner,
      trace.observations.filter((observation) => observation.owner === owner),
    );
  }
  const scopes = [...trace.scopes];
  for (const [first, a] of scopes) {
    for (const [second, b] of scopes) {
      if (first >= second || a.phase !== b.phase) continue;
      if (a.mode === "readonly" && b.mode === "readonly") continue;
      if (!a.stores.some((store) => b.stores.includes(store))) continue;
      const both = trace.observations.filter(({ owner }) => owner === first || owner === second);
      result.set(
        `${first} and ${second}`,
        both.filter(({ what }) => IS_OUTCOME.test(what)),
      );
    }
  }
  return result;
}

it("agrees with fake-indexeddb on results and order of events, for random programs", async () => {
  await fc.assert(
    fc.asyncProperty(programs, async (program) => {
      const [theirs, ours] = [await run(program, theFake()), await runOurs(program)];
      expect(views(ours)).toEqual(views(theirs));
    }),
    { numRuns: RUNS },
  );
}, 300_000);
