import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

import type { FromHost, HostMethod, HostStart, ToHost, TrapReport } from "./protocol.ts";
import { fromWireError } from "./wire-error.ts";

/** The thread ended while a call was under way: the call may be made again in another. */
export class HostGone extends Error {
  override readonly name = "HostGone";
  constructor() {
    super("the session host ended");
  }
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Most of the thread's memory is the engine's own. Objects of ours are either short-lived or a body, so a large young generation
 * would be garbage kept resident.
 */
const resourceLimits = { maxYoungGenerationSizeMb: 12 };

/** One worker thread with a session host in it, started with its first call, and the calls under way. */
export class HostThread {
  readonly #start: HostStart;
  #worker: Worker | null = null;
  readonly #onTrap: (reports: readonly TrapReport[]) => void;
  readonly #pending = new Map<number, Pending>();
  readonly #ended: Promise<void>;
  #end: () => void = () => undefined;
  #logLevel: string;
  #alive = true;
  #nextId = 1;

  /** @param onTrap - hears of the calls under way when the wasm failed */
  constructor(start: HostStart, onTrap: (reports: readonly TrapReport[]) => void) {
    this.#start = start;
    this.#logLevel = start.logLevel;
    this.#onTrap = onTrap;
    this.#ended = new Promise((resolve) => (this.#end = resolve));
  }

  /** False once the thread has ended or its wasm has failed. */
  get alive(): boolean {
    return this.#alive;
  }

  /** Resolves when the thread has ended. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** @throws {HostGone} the thread ended; anything that the host threw */
  call(method: HostMethod, args: readonly unknown[], signal?: AbortSignal): Promise<unknown> {
    if (!this.#alive) return Promise.reject(new HostGone());
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const abort = () => this.#post({ kind: "abort", id });
      signal?.addEventListener("abort", abort, { once: true });
      const settle = () => signal?.removeEventListener("abort", abort);
      this.#pending.set(id, {
        resolve: (value) => {
          settle();
          resolve(value);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      });
      this.#worker ??= this.#launch();
      this.#post({ kind: "call", id, method, args });
      if (signal?.aborted === true) abort();
    });
  }

  setLogLevel(level: string): void {
    this.#logLevel = level;
    this.#post({ kind: "log-level", level });
  }

  /** Lets the host close its stores, then ends the thread. */
  async stop(): Promise<void> {
    if (this.#worker === null) {
      this.#fail();
      this.#end();
    }
    if (this.#alive) this.#post({ kind: "stop" });
    await this.#ended;
  }

  #launch(): Worker {
    const workerData: HostStart = { ...this.#start, logLevel: this.#logLevel };
    const worker = new Worker(workerFile(), { workerData, resourceLimits });
    worker.on("message", (message: FromHost) => this.#receive(message));
    worker.once("exit", () => {
      this.#fail();
      this.#end();
    });
    // Without a listener an error of the thread would end the daemon; `exit` follows it.
    worker.on("error", () => this.#fail());
    return worker;
  }

  #post(message: ToHost): void {
    this.#worker?.postMessage(message);
  }

  #receive(message: FromHost): void {
    if (message.kind === "result") this.#take(message.id)?.resolve(message.value);
    else if (message.kind === "error") this.#take(message.id)?.reject(fromWireError(message.error));
    else if (message.kind === "trap" && this.#alive) {
      // Before anybody hears of it: a seat made for one of its devices waits for threads that are not alive.
      this.#fail();
      this.#onTrap(message.reports);
      // Its memory can no longer be trusted; what it had to remember is on disk.
      void this.#worker?.terminate();
    }
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  #fail(): void {
    this.#alive = false;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(new HostGone());
  }
}

/** The compiled worker: beside this file, or in the build where this file runs from source. */
function workerFile(): URL {
  const beside = new URL("./host-worker.js", import.meta.url);
  if (existsSync(fileURLToPath(beside))) return beside;
  return new URL("../../dist/proxy/crypto/host-worker.js", import.meta.url);
}
