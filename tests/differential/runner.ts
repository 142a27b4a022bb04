import type { IDBCursorWithValue } from "../../crypto-store/indexeddb/idb-cursor.ts";
import type { IDBDatabase } from "../../crypto-store/indexeddb/idb-database.ts";
import type { StoreEvent } from "../../crypto-store/indexeddb/event.ts";
import type { IDBOpenDBRequest } from "../../crypto-store/indexeddb/idb-open-db-request.ts";
import type { IDBRequest } from "../../crypto-store/indexeddb/idb-request.ts";
import type { IDBTransaction } from "../../crypto-store/indexeddb/idb-transaction.ts";
import { INDEXES, type Phase, type Program, type Step, type Transaction } from "./program.ts";
import { placeOperation, type KeyRanges } from "./operation.ts";

/** What a program needs of an implementation of IndexedDB. */
export interface Implementation {
  open(version: number | undefined): IDBOpenDBRequest;
  readonly keyRange: KeyRanges;
  /** Closes the file and opens it again, where there is one. */
  reopen(): Promise<void>;
  /** Goes on with what a SIGKILL at this moment leaves on the disk, where there is a file. */
  crash(): Promise<void>;
}

/** Something that was observed, and the transaction (or the phase) that it belongs to. */
export interface Observation {
  readonly owner: string;
  readonly what: string;
  readonly value?: unknown;
}

/** Everything that was observed, in order, with the scopes of the transactions. */
export interface Trace {
  readonly observations: Observation[];
  readonly scopes: Map<
    string,
    { readonly phase: number; readonly mode: string; readonly stores: readonly string[] }
  >;
}

/** Runs a program and notes every result, exception and event. */
export async function run(program: Program, implementation: Implementation): Promise<Trace> {
  const runner = new Runner(implementation);
  for (const [number, phase] of program.entries()) await runner.phase(number, phase);
  await runner.finish();
  return runner.trace;
}

class Runner {
  readonly trace: Trace = { observations: [], scopes: new Map() };
  readonly #implementation: Implementation;
  #connection: IDBDatabase | null = null;
  #version = 0;
  readonly #committed = new Set<string>();

  constructor(implementation: Implementation) {
    this.#implementation = implementation;
  }

  async phase(number: number, phase: Phase): Promise<void> {
    const owner = `phase ${number}`;
    const old = this.#connection;
    if (phase.before === "crash") await this.#implementation.crash();
    if (phase.before === "close" || phase.before === "reopen" || phase.before === "crash") {
      old?.close();
      this.#connection = null;
    }
    if (phase.before === "reopen") await this.#implementation.reopen();
    if (old !== null && phase.before !== "crash") {
      old.onversionchange = (event) => {
        this.#note(owner, `versionchange ${event.oldVersion} ${String(event.newVersion)}`);
        if (phase.before === "close when asked") old.close();
      };
    }
    const version = phase.raise === null ? undefined : Math.max(1, this.#version + phase.raise);
    const opened = await this.#open(owner, phase, version, old);
    if (opened === null) return;
    if (opened !== old) old?.close();
    this.#connection = opened;
    this.#version = opened.version;
    this.#note(owner, "stores", [...opened.objectStoreNames]);
    const over = phase.transactions.map((transaction, index) =>
      this.#start(number, index, transaction, opened),
    );
    await Promise.all(over);
  }

  async finish(): Promise<void> {
    this.#connection?.close();
    await this.#implementation.reopen();
    const request = this.#implementation.open(undefined);
    const connection = await new Promise<IDBDatabase>((resolve, reject) => {
      request.onsuccess = () => resolve(request.result as IDBDatabase);
      request.onerror = () => reject(new Error("cannot open at the end"));
    });
    this.#note("end", "version", connection.version);
    for (const name of connection.objectStoreNames) {
      const store = connection.transaction(name).objectStore(name);
      this.#note("end", `keys of ${name}`, await outcome(store.getAllKeys()));
      const again = connection.transaction(name).objectStore(name);
      this.#note("end", `values of ${name}`, await outcome(again.getAll()));
      for (const index of again.indexNames) {
        const third = connection.transaction(name).objectStore(name).index(index);
        this.#note("end", `index ${index} of ${name}`, await outcome(third.getAllKeys()));
      }
    }
    connection.close();
  }

  #note(owner: string, what: string, value?: unknown): void {
    this.trace.observations.push(
      value === undefined ? { owner, what } : { owner, what, value: plain(value) },
    );
  }

  /** Runs something that may throw, and notes the exception's name. */
  #try<T>(owner: string, what: string, work: () => T): T | null {
    try {
      return work();
    } catch (error) {
      const name = error instanceof Error || error instanceof DOMException ? error.name : "?";
      // fake-indexeddb refuses objectStore() while a transaction commits, the specification what is then done with the store.
      this.#note(owner, `${what} throws ${this.#committed.has(owner) ? "" : name}`);
      return null;
    }
  }

  #open(
    owner: string,
    phase: Phase,
    version: number | undefined,
    old: IDBDatabase | null,
  ): Promise<IDBDatabase | null> {
    const request = this.#implementation.open(version);
    return new Promise((resolve) => {
      request.onblocked = (event) => {
        this.#note(owner, `blocked ${event.oldVersion} ${String(event.newVersion)}`);
        old?.close();
      };
      request.onupgradeneeded = (event) => {
        this.#note(owner, `upgradeneeded ${event.oldVersion} ${String(event.newVersion)}`);
        const connection = request.result as IDBDatabase;
        const transaction = request.transaction;
        if (transaction !== null) this.#upgrade(owner, phase, connection, transaction);
      };
      request.onsuccess = () => {
        this.#note(owner, "opened", (request.result as IDBDatabase).version);
        resolve(request.result as IDBDatabase);
      };
      request.onerror = (event) => {
        if (event.target !== request) return;
        this.#note(owner, `open fails: ${request.error?.name}`);
        resolve(null);
      };
    });
  }

  #upgrade(
    owner: string,
    phase: Phase,
    connection: IDBDatabase,
    transaction: IDBTransaction,
  ): void {
    this.#listen(`${owner} upgrade`, transaction, () => undefined);
    for (const [position, change] of phase.upgrade.entries()) {
      const what = `change ${position}`;
      this.#try(owner, what, () => {
        switch (change.change) {
          case "createStore":
            connection.createObjectStore(change.store);
            break;
          case "deleteStore":
            connection.deleteObjectStore(change.store);
            break;
          case "createIndex": {
            const definition = INDEXES[change.index];
            if (definition === undefined) break;
            const { keyPath, unique } = definition;
            transaction.objectStore(change.store).createIndex(change.index, keyPath, { unique });
            break;
          }
          case "step":
            this.#step(`${owner} upgrade`, what, transaction, change.step);
            break;
        }
      });
    }
    this.#note(owner, "stores in the upgrade", [...connection.objectStoreNames]);
    if (phase.upgradeEnd === "abort") this.#try(owner, "abort", () => transaction.abort());
  }

  #start(
    phase: number,
    index: number,
    program: Transaction,
    connection: IDBDatabase,
  ): Promise<void> {
    const owner = `phase ${phase} transaction ${index}`;
    const transaction = this.#try(owner, "transaction", () =>
      connection.transaction(program.stores, program.mode),
    );
    if (transaction === null) return Promise.resolve();
    this.trace.scopes.set(owner, { phase, mode: program.mode, stores: program.stores });
    return new Promise((resolve) => {
      this.#listen(owner, transaction, resolve);
      this.#place(owner, "", transaction, program.steps);
      this.#end(owner, transaction, program.end);
    });
  }

  #listen(owner: string, transaction: IDBTransaction, over: () => void): void {
    transaction.onerror = (event) => {
      const name = (event.target as IDBRequest).error?.name;
      this.#note(owner, `error bubbles: ${name}`);
    };
    transaction.oncomplete = () => {
      this.#note(owner, "complete");
      over();
    };
    transaction.onabort = () => {
      this.#note(owner, `abort ${transaction.error?.name ?? "by request"}`);
      over();
    };
  }

  #end(owner: string, transaction: IDBTransaction, end: "none" | "abort" | "commit"): void {
    if (end === "abort") this.#try(owner, "abort", () => transaction.abort());
    if (end === "none") return;
    if (end === "commit") this.#try(owner, "commit", () => transaction.commit());
    this.#committed.add(owner);
  }

  #place(owner: string, label: string, transaction: IDBTransaction, steps: readonly Step[]): void {
    for (const [position, step] of steps.entries())
      this.#step(owner, `${label}/${position}`, transaction, step);
  }

  #step(owner: string, label: string, transaction: IDBTransaction, step: Step): void {
    const what = `${label} ${step.operation.op}`;
    const request = this.#try(owner, what, () =>
      placeOperation(this.#implementation.keyRange, transaction, step.operation),
    );
    if (request === null) return;
    let visits = 0;
    request.onsuccess = () => {
      const cursor =
        step.operation.op === "cursor" ? (request.result as IDBCursorWithValue | null) : null;
      if (step.operation.op !== "cursor") {
        this.#note(owner, `${what} succeeds`, request.result);
      } else if (cursor === null) {
        this.#note(owner, `${what} ends`);
      } else {
        this.#note(owner, `${what} at`, [cursor.key, cursor.primaryKey, cursor.value]);
        const action = step.operation.actions[visits] ?? "stop";
        visits += 1;
        this.#visit(owner, what, cursor, action, step.operation.value);
        if (action !== "stop") return;
      }
      this.#follow(owner, label, transaction, step);
    };
    request.onerror = (event) => {
      this.#note(owner, `${what} fails: ${request.error?.name}`);
      this.#handle(event, step);
      this.#follow(owner, label, transaction, step);
    };
  }

  #handle(event: StoreEvent, step: Step): void {
    // Where a handler aborts, fake-indexeddb fires a second abort event for the default action.
    if (step.preventsDefault || step.end === "abort") event.preventDefault();
    if (step.stopsPropagation) event.stopPropagation();
  }

  #follow(owner: string, label: string, transaction: IDBTransaction, step: Step): void {
    const next = (): void => {
      this.#place(owner, label, transaction, step.then);
      this.#end(owner, transaction, step.end);
    };
    if (step.when === "now") next();
    else queueMicrotask(() => queueMicrotask(next));
  }

  #visit(
    owner: string,
    what: string,
    cursor: IDBCursorWithValue,
    action: string,
    value: unknown,
  ): void {
    if (action === "delete" || action === "update") {
      const change = this.#try(owner, `${what} ${action}`, () =>
        action === "delete" ? cursor.delete() : cursor.update(value),
      );
      if (change !== null) {
        change.onsuccess = () => this.#note(owner, `${what} ${action} succeeds`, change.result);
        change.onerror = (event) => {
          this.#note(owner, `${what} ${action} fails: ${change.error?.name}`);
          event.preventDefault();
        };
      }
    }
    if (action !== "stop") this.#try(owner, `${what} continue`, () => cursor.continue());
  }
}

function outcome(request: IDBRequest): Promise<unknown> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(new Error(request.error?.name));
  });
}

/** Results are noted as they were when the event came; -0 and 0 are the same key. */
function plain(value: unknown): unknown {
  if (Object.is(value, -0)) return 0;
  return Array.isArray(value) ? value.map(plain) : value;
}
