import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import Sqlite, { type Database } from "better-sqlite3";
import { StoreError } from "../errors.ts";

const LOCK_FILE = "daemon.lock";
const PID_FILE = "daemon.pid";

/**
 * Holds a data directory for one process.
 *
 * The lock is SQLite's exclusive file lock, so it vanishes with the process however that ends. The pid beside it only names the
 * holder in the error; it may be stale without harm.
 */
export class DirectoryLock {
  readonly #database: Database;
  readonly #pidPath: string;
  #isHeld = true;

  private constructor(database: Database, pidPath: string) {
    this.#database = database;
    this.#pidPath = pidPath;
  }

  /**
   * Locks a directory, making it (mode 0700) when it is missing.
   *
   * @throws StoreError `STORE_LOCKED` when another process, or this one, holds it; `STORE_UNSAFE` when others may write to the
   * directory.
   */
  static acquire(directory: string): DirectoryLock {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const home = realpathSync(directory);
    refuseUnsafe(home);
    const lockPath = join(home, LOCK_FILE);
    const pidPath = join(home, PID_FILE);
    if (lstatSync(lockPath, { throwIfNoEntry: false }) === undefined) {
      closeSync(openSync(lockPath, "a", 0o600));
    }
    const database = new Sqlite(lockPath, { timeout: 0 });
    try {
      database.pragma("journal_mode = MEMORY");
      database.exec("BEGIN EXCLUSIVE");
    } catch (cause) {
      database.close();
      const holder = readPid(pidPath);
      throw new StoreError(
        "STORE_LOCKED",
        home,
        `data directory is in use by ${holder === null ? "another process" : `process ${holder}`}: stop it first, or use another directory`,
        { cause },
      );
    }
    rmSync(pidPath, { force: true });
    writeFileSync(pidPath, `${process.pid}\n`, { mode: 0o600, flag: "wx" });
    return new DirectoryLock(database, pidPath);
  }

  /** Lets go of the directory; a second call does nothing. */
  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    rmSync(this.#pidPath, { force: true });
    this.#database.close();
  }
}

function refuseUnsafe(directory: string): void {
  const { mode } = lstatSync(directory);
  if ((mode & 0o022) !== 0) {
    throw new StoreError(
      "STORE_UNSAFE",
      directory,
      `expected a directory that only its owner can write to (mode 0700), got mode 0${(mode & 0o777).toString(8)}: chmod 700 it`,
    );
  }
  for (const name of [LOCK_FILE, PID_FILE]) {
    const status = lstatSync(join(directory, name), { throwIfNoEntry: false });
    if (status === undefined || status.isFile()) continue;
    throw new StoreError(
      "STORE_UNSAFE",
      join(directory, name),
      "expected a plain file, got a symbolic link or a special file: remove it",
    );
  }
}

function readPid(path: string): number | null {
  try {
    const pid = Number(readFileSync(path, "utf8").trim());
    return Number.isInteger(pid) && pid > 0 ? pid : null;
  } catch {
    return null;
  }
}
