import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  rmSync,
} from "node:fs";
import { dirname } from "node:path";
import Sqlite, { type Database } from "better-sqlite3";
import { StoreError } from "../errors.ts";
import { migrate, type Migration } from "./migrations.ts";

/** How to open one encrypted file. */
export interface DatabaseOptions {
  readonly path: string;
  /** Raw page key, 32 bytes. */
  readonly key: Uint8Array;
  /** "create" refuses a file that is there, "existing" refuses one that is not. */
  readonly mode: "create" | "existing";
  /** `PRAGMA application_id`, a positive 31-bit number: tells one kind of file from another. */
  readonly applicationId: number;
  readonly migrations: readonly Migration[];
}

const KEY_BYTES = 32;
const PAGE_BYTES = 4096;
/** Suffixes of the files that belong to a database file. */
const COMPANIONS = ["-wal", "-shm", "-journal"];

/**
 * Opens (or creates) an encrypted SQLite file: WAL, `synchronous=FULL`, `secure_delete=ON`, mode 0600.
 *
 * The connection holds an exclusive lock on the file until it is closed or the process dies. Never open and close the
 * same file by other means in this process: POSIX drops a process's locks on any close of the file.
 *
 * @throws StoreError for every reason that lies in the file; nothing is overwritten then.
 */
export function openDatabase(options: DatabaseOptions): Database {
  if (options.key.length !== KEY_BYTES) {
    throw new RangeError(`expected a store key of ${KEY_BYTES} bytes, got ${options.key.length}`);
  }
  if (options.mode === "create") create(options);
  refuseUnsafe(options.path);
  return open(options, options.path, "old");
}

/** Builds the file under another name and links it into place whole, so that a file that exists is a file that works. */
function create(options: DatabaseOptions): void {
  const { path } = options;
  for (const suffix of ["", ...COMPANIONS]) {
    if (!isPresent(path + suffix)) continue;
    throw new StoreError(
      "STORE_EXISTS",
      path,
      `expected no store here, found ${path}${suffix}: open it as an existing store, or move it away`,
    );
  }
  const building = `${path}.creating`;
  removeWithCompanions(building);
  try {
    // SQLite gives its companions the mode of the file itself.
    closeSync(openSync(building, "wx", 0o600));
    open(options, building, "new").close();
    linkSync(building, path);
    syncDirectory(dirname(path));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") {
      throw new StoreError(
        "STORE_EXISTS",
        path,
        "expected no store here, found one that has just appeared",
        {
          cause: error,
        },
      );
    }
    throw error;
  } finally {
    removeWithCompanions(building);
  }
}

/** Makes a new name durable. */
function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function isPresent(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function removeWithCompanions(path: string): void {
  for (const suffix of ["", ...COMPANIONS]) rmSync(path + suffix, { force: true });
}

function refuseUnsafe(path: string): void {
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status === undefined) {
    throw new StoreError("STORE_MISSING", path, "store file is missing: restore it from a backup");
  }
  for (const suffix of ["", ...COMPANIONS]) {
    const file = suffix === "" ? status : lstatSync(path + suffix, { throwIfNoEntry: false });
    if (file !== undefined && !file.isFile()) {
      throw new StoreError(
        "STORE_UNSAFE",
        path + suffix,
        "expected a plain file, got a symbolic link or a special file: remove it and put the file itself here",
      );
    }
  }
  refuseClosed(path);
  if (status.size === 0) {
    throw new StoreError("STORE_CORRUPT", path, "store file is empty: restore it from a backup");
  }
  if ((status.mode & 0o077) !== 0) chmodSync(path, 0o600);
}

/** SQLite would open such a file to read, and then call it damaged. */
function refuseClosed(path: string): void {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
  } catch (cause) {
    const user = process.getuid?.();
    throw new StoreError(
      "STORE_UNSAFE",
      path,
      `expected a file that this user${user === undefined ? "" : ` (${user})`} can read and write: set its owner, mode 0600, and a file system that is not read-only`,
      { cause },
    );
  }
}

function open(options: DatabaseOptions, path: string, age: "new" | "old"): Database {
  let database: Database | null = null;
  try {
    database = new Sqlite(path, { timeout: 0 });
    configure(database, options, age);
    migrate(database, path, options.migrations);
    return database;
  } catch (error) {
    database?.close();
    throw describeError(error, path);
  }
}

function configure(database: Database, options: DatabaseOptions, age: "new" | "old"): void {
  // The key must come before anything that touches a page.
  database.pragma(`key = "raw:${Buffer.from(options.key).toString("hex")}"`);
  // With an exclusive connection WAL needs no shared memory, reads take no locks, and a second process is refused.
  database.pragma("locking_mode = EXCLUSIVE");
  database.pragma("temp_store = MEMORY");
  database.pragma("secure_delete = ON");
  database.pragma("foreign_keys = ON");
  database.pragma("trusted_schema = OFF");
  database.pragma("cell_size_check = ON");
  database.pragma("cache_size = -4000");
  const found = Number(database.pragma("application_id", { simple: true }));
  if (age === "old" && found !== options.applicationId) {
    throw new StoreError(
      "STORE_CORRUPT",
      options.path,
      `expected application id ${options.applicationId}, got ${found}: this is a store of another kind`,
    );
  }
  database.pragma("journal_mode = WAL");
  database.pragma("synchronous = FULL");
  // A commit into a log that need not grow costs half: it starts over after 1 MiB instead of 4.
  database.pragma("wal_autocheckpoint = 250");
  if (age === "new") database.pragma(`application_id = ${options.applicationId}`);
}

/** Turns what SQLite says about a file into a {@link StoreError}; any other error is returned as it came. */
export function describeError(error: unknown, path: string): Error {
  if (!(error instanceof Error)) return new Error(`${path}: ${String(error)}`, { cause: error });
  if (!(error instanceof Sqlite.SqliteError)) return error;
  const { code } = error;
  const cause = { cause: error };
  if (code.startsWith("SQLITE_BUSY")) {
    return new StoreError(
      "STORE_LOCKED",
      path,
      "store file is open in another process: stop that one first",
      cause,
    );
  }
  if (code.startsWith("SQLITE_NOTADB")) {
    const sizeBytes = lstatSync(path, { throwIfNoEntry: false })?.size ?? 0;
    if (sizeBytes % PAGE_BYTES === 0) {
      return new StoreError(
        "STORE_WRONG_KEY",
        path,
        "cannot be decrypted with this key: check that the master key and the data directory belong together; if they do, the file is damaged: restore it from a backup",
        cause,
      );
    }
  }
  if (code.startsWith("SQLITE_FULL")) {
    const fix = "the disk is full: make room; what was committed is safe";
    return new StoreError("STORE_FULL", path, fix, cause);
  }
  if (code.startsWith("SQLITE_IOERR") && code !== "SQLITE_IOERR_SHORT_READ") {
    const fix = `cannot be read or written (${code}): see whether the file system is full, read-only or failing`;
    return new StoreError("STORE_IO", path, fix, cause);
  }
  if (/^SQLITE_(NOTADB|CORRUPT|IOERR)/.test(code)) {
    return new StoreError(
      "STORE_CORRUPT",
      path,
      `store file is damaged (${error.message}): restore it from a backup`,
      cause,
    );
  }
  return error;
}
