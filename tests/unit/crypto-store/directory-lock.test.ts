import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { afterEach, beforeEach, expect, it } from "vitest";
import { DirectoryLock } from "../../../crypto-store/index.ts";
import { failureOf, Scratch } from "./stores.ts";

let scratch: Scratch;

beforeEach(() => {
  scratch = new Scratch();
});

afterEach(() => scratch.remove());

it("makes a missing directory that is the owner's alone", () => {
  const lock = DirectoryLock.acquire(scratch.file("data/deep"));
  expect(statSync(scratch.file("data/deep")).mode & 0o777).toBe(0o700);
  lock.release();
});

it("refuses a second lock and names the holder, until the first is released", () => {
  const lock = DirectoryLock.acquire(scratch.path);
  const failure = failureOf(() => DirectoryLock.acquire(scratch.path));
  expect(failure?.code).toBe("STORE_LOCKED");
  expect(failure?.message).toContain(`in use by process ${process.pid}: stop it first`);
  lock.release();
  lock.release();
  DirectoryLock.acquire(scratch.path).release();
});

it("takes no notice of the pid of a process that left no lock", () => {
  writeFileSync(scratch.file("daemon.pid"), `${process.pid}\n`);
  DirectoryLock.acquire(scratch.path).release();
});

it("refuses a directory that others can write to", () => {
  mkdirSync(scratch.file("open"));
  chmodSync(scratch.file("open"), 0o777);
  const failure = failureOf(() => DirectoryLock.acquire(scratch.file("open")));
  expect(failure?.code).toBe("STORE_UNSAFE");
  expect(failure?.message).toMatch(/got mode 0777: chmod 700 it/);
});

it.each(["daemon.lock", "daemon.pid"])("refuses a symbolic link in place of %s", (name) => {
  writeFileSync(scratch.file("elsewhere"), "untouched");
  symlinkSync(scratch.file("elsewhere"), scratch.file(name));
  expect(failureOf(() => DirectoryLock.acquire(scratch.path))?.code).toBe("STORE_UNSAFE");
});

it("is free again when its holder is killed", async () => {
  // The same lock by SQLite alone: a child cannot import TypeScript.
  const script = `
    const Sqlite = require(process.argv[1]);
    const database = new Sqlite(process.argv[2]);
    database.exec("BEGIN EXCLUSIVE");
    console.log("held");
    setInterval(() => undefined, 1000);`;
  const sqlite = createRequire(import.meta.url).resolve("better-sqlite3");
  DirectoryLock.acquire(scratch.path).release();
  const child = spawn(process.execPath, ["-e", script, sqlite, scratch.file("daemon.lock")], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  writeFileSync(scratch.file("daemon.pid"), `${child.pid}\n`);
  const failure = failureOf(() => DirectoryLock.acquire(scratch.path));
  expect(failure?.message).toContain(`in use by process ${child.pid}`);
  child.kill("SIGKILL");
  await once(child, "exit");
  DirectoryLock.acquire(scratch.path).release();
});
