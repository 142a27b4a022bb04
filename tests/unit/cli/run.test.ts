import { EventEmitter } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { run } from "../../../cli/run.ts";
import type { Host } from "../../../cli/run.ts";
import { createLogger } from "../../../proxy/observe/logger.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kirjava-run-"));
  writeFileSync(join(directory, "k.conf"), "[a]\nHomeserver = http://localhost:1\n");
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

// What the daemon itself does is tested on the daemon; this is about the order of signals.
function host(start: Host["start"]) {
  const signals = new EventEmitter();
  const exits: number[] = [];
  const lines: string[] = [];
  const errors: string[] = [];
  const raw: string[] = [];
  const stream = {
    write: (line: string) => {
      raw.push(line);
      lines.push((JSON.parse(line) as { msg: string }).msg);
    },
  };
  const value: Host = {
    signals,
    start,
    exit: (exitCode) => void exits.push(exitCode),
    makeLogger: (o) => createLogger({ ...o, format: "json", stream }),
  };
  const options = { configPath: join(directory, "k.conf"), logLevel: undefined, json: false };
  const output = { out: () => undefined, err: (text: string) => void errors.push(text), env: {} };
  return { signals, exits, lines, raw, errors, code: run(options, output, value) };
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve: (() => void) | undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve: () => resolve?.() };
}

describe("run", () => {
  it("ends at once with 1 on a second signal while it stops", async () => {
    const listening = deferred();
    const stopping = deferred();
    const { signals, exits, code, lines } = host(() => {
      listening.resolve();
      const stop = () => stopping.promise;
      return Promise.resolve({ addresses: [], finished: stopping.promise, stop });
    });
    await listening.promise;
    signals.emit("SIGTERM");
    expect(exits).toEqual([]);
    signals.emit("SIGINT");
    expect(exits).toEqual([1]);
    stopping.resolve();
    expect(await code).toBe(0);
    expect(lines).toContain("second signal: ending at once");
    expect(signals.eventNames()).toEqual([]);
  });

  it("stops a daemon that was still starting when the signal came, once it has started", async () => {
    const started = deferred();
    let stops = 0;
    const { signals, code } = host(async () => {
      await started.promise;
      const stop = () => {
        stops += 1;
        return Promise.resolve();
      };
      return { addresses: [], finished: new Promise(() => undefined), stop };
    });
    signals.emit("SIGTERM");
    started.resolve();
    expect(await code).toBe(0);
    expect(stops).toBe(1);
  });

  it("says at start what runs, on which configuration, and before which homeserver", async () => {
    const { code, raw, lines } = host(() =>
      Promise.resolve({
        addresses: [{ section: "a", url: "http://127.0.0.1:8009" }],
        finished: Promise.resolve(),
        stop: () => Promise.resolve(),
      }),
    );
    expect(await code).toBe(0);
    expect(lines[0]).toBe("starting");
    expect(JSON.parse(raw[0] ?? "")).toMatchObject({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
      config: join(directory, "k.conf"),
    });
    expect(JSON.parse(raw[lines.indexOf("listening")] ?? "")).toMatchObject({
      section: "a",
      url: "http://127.0.0.1:8009",
      homeserver: "http://localhost:1/",
    });
  });

  it("ends with 1 and what to do where the system refuses a file or the disk is full", async () => {
    const refuse = (code: string, path: string) =>
      host(() => Promise.reject(Object.assign(new Error(`${code}: ${path}`), { code, path })));
    const [closed, full] = [refuse("EACCES", "/d/x"), refuse("ENOSPC", "/d/y")];
    expect([await closed.code, await full.code]).toEqual([1, 1]);
    expect(closed.errors[1]).toMatch(/^hint: the file and its directory must belong to user \d+/);
    expect(full.errors[1]).toMatch(/^hint: the disk is full/);
  });

  it("ends at once with 1 on an error that nobody caught, and leaks nothing of it", async () => {
    const { signals, exits, code, raw } = host(() =>
      Promise.resolve({
        addresses: [],
        finished: Promise.resolve(),
        stop: () => Promise.resolve(),
      }),
    );
    const error = Object.assign(new Error("GET /sync?access_token=hunter2"), { body: "hunter2" });
    signals.emit("uncaughtException", error);
    expect(exits).toEqual([1]);
    expect(await code).toBe(0);
    expect(raw.join("")).toContain("GET /sync?access_token=[redacted]");
    expect(raw.join("")).not.toContain("hunter2");
  });

  it("ends with 1 and tells why where the daemon cannot start or go on", async () => {
    const failed = host(() => Promise.reject(new Error("no store")));
    expect(await failed.code).toBe(1);
    expect(failed.errors).toEqual(["error: no store\n"]);
    const fallen = host(() =>
      Promise.resolve({
        addresses: [],
        finished: Promise.reject(new TypeError(`password=hunter2`)),
        stop: () => Promise.resolve(),
      }),
    );
    expect(await fallen.code).toBe(1);
    expect(fallen.errors).toEqual(["error: TypeError: password=[redacted]\n"]);
    expect(fallen.signals.eventNames()).toEqual([]);
  });
});
