import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";

import { StoreKeyError } from "./store-key-error.ts";

const keySizeBytes = 32;
const maxFileSizeBytes = 1024;

/** What a key may look like in a file. */
export const keyFormats = "64 hex digits, base64 of 32 bytes, or 32 raw bytes";

/**
 * Reads a key from a file.
 *
 * @param checkMode - whether the file must belong to this user and to nobody else
 * @returns null where there is no file
 * @throws StoreKeyError
 */
export function readKeyFile(path: string, checkMode: boolean): Uint8Array | null {
  let file: number;
  try {
    // A named pipe would block the open for ever; NONBLOCK means nothing for a file.
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    if (code === "ELOOP") {
      throw new StoreKeyError(
        "KEY_UNSAFE",
        `expected a regular file at ${path}, got a symbolic link`,
        {
          hint: "name the file itself",
        },
      );
    }
    throw new StoreKeyError("KEY_UNREADABLE", `the key file ${path} cannot be read (${code})`, {
      hint: `it must belong to user ${process.getuid?.() ?? "of the daemon"}, and its directory be open to that user`,
      cause: error,
    });
  }
  try {
    if (!fstatSync(file).isFile()) {
      throw new StoreKeyError(
        "KEY_UNSAFE",
        `expected a regular file at ${path}, got something else`,
      );
    }
    if (checkMode) checkOwnership(path, file);
    const buffer = Buffer.alloc(maxFileSizeBytes + 1);
    const size = readSync(file, buffer, 0, buffer.length, 0);
    return decodeKey(buffer.subarray(0, size), `the key file ${path}`, true);
  } finally {
    closeSync(file);
  }
}

function checkOwnership(path: string, file: number): void {
  const stat = fstatSync(file);
  const user = process.getuid?.() ?? stat.uid;
  if (stat.uid !== user) {
    const message = `expected the key file ${path} to belong to user ${user}, got user ${stat.uid}`;
    throw new StoreKeyError("KEY_UNSAFE", message, {
      hint: `chown ${user} ${path}, or run as the user that it belongs to`,
    });
  }
  const mode = stat.mode & 0o777;
  if ((mode & 0o077) !== 0) {
    const got = `0${mode.toString(8)}`;
    const message = `expected mode 0600 for the key file ${path}, got ${got}: others can reach it`;
    throw new StoreKeyError("KEY_UNSAFE", message, { hint: `chmod 600 ${path}` });
  }
}

/**
 * Reads a key that is written in one of the known ways.
 *
 * @param what - where it came from, for errors, which never show anything of the bytes
 * @throws StoreKeyError
 */
export function decodeKey(bytes: Uint8Array, what: string, mayBeRaw: boolean): Uint8Array {
  const formats = mayBeRaw ? keyFormats : "64 hex digits or base64 of 32 bytes";
  const text = Buffer.from(bytes).toString("latin1").trim();
  let key: Uint8Array | null = null;
  if (/^[0-9a-f]{64}$/i.test(text)) key = Buffer.from(text, "hex");
  else if (/^[A-Za-z0-9+/_-]{43}=?$/.test(text)) key = decodeBase64(text);
  // 32 printable characters are a password with or without a line feed; random bytes never are.
  else if (mayBeRaw && bytes.length === keySizeBytes && !isPrintable(bytes)) key = bytes.slice();
  if (key === null) {
    const got = bytes.length > maxFileSizeBytes ? "more" : String(bytes.length);
    throw new StoreKeyError(
      "KEY_INVALID",
      `expected ${formats} in ${what}, got ${got} bytes of another form`,
      {
        hint: "make one with: openssl rand -hex 32",
      },
    );
  }
  if (key.every((byte) => byte === key[0])) {
    throw new StoreKeyError(
      "KEY_INVALID",
      `expected a random key in ${what}, got one byte 32 times`,
      {
        hint: "make one with: openssl rand -hex 32",
      },
    );
  }
  return key;
}

// Node ignores bits that do not fit; two texts must not be one key.
function decodeBase64(text: string): Uint8Array | null {
  const key = Buffer.from(text, "base64");
  const isSame =
    key.toString("base64url") === text.replace("=", "").replaceAll("+", "-").replaceAll("/", "_");
  return isSame && key.length === keySizeBytes ? key : null;
}

function isPrintable(bytes: Uint8Array): boolean {
  return bytes.every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x0d);
}

/** A new random key. */
export function newKey(): Uint8Array {
  return randomBytes(keySizeBytes);
}

/**
 * Writes a key to a file that must not be there yet, mode 0600, directory 0700. The file is complete on
 * disk before it has its name.
 *
 * @returns false where another process made the file meanwhile
 * @throws StoreKeyError
 */
export function createKeyFile(path: string, key: Uint8Array): boolean {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.new`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const file = openSync(temporary, "wx", 0o600);
    try {
      fchmodSync(file, 0o600);
      writeSync(file, `${Buffer.from(key).toString("hex")}\n`);
      fsyncSync(file);
      if (!linkIfAbsent(temporary, path)) return false;
    } finally {
      closeSync(file);
      unlinkSync(temporary);
    }
    syncDirectory(dirname(path));
    return true;
  } catch (error) {
    const message = `the key file ${path} cannot be made (${errorCode(error)})`;
    throw new StoreKeyError("KEY_UNREADABLE", message, {
      hint: "set StoreKey to a file in a directory that this user can write, outside of DataDirectory",
      cause: error,
    });
  }
}

function linkIfAbsent(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw error;
  }
}

function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown error";
}
