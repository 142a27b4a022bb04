import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { StoreKeySource } from "../../../proxy/config/settings.ts";
import { StoreKeyError } from "../../../proxy/config/store-key-error.ts";
import { resolveMasterKey, resolveMasterKeys } from "../../../proxy/config/store-key.ts";

const bytes = Buffer.from(
  "000102030405060708090a0b0c0d0e0ff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
  "hex",
);
const hex = bytes.toString("hex");

let directory: string;
let path: string;
let source: StoreKeySource;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kirjava-key-"));
  path = join(directory, "keys", "a.key");
  source = { kind: "file", path, generationPath: join(directory, "keys", "a.generation") };
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

function put(content: string | Buffer, mode = 0o600): void {
  mkdirSync(join(directory, "keys"), { recursive: true, mode: 0o700 });
  writeFileSync(path, content);
  chmodSync(path, mode);
}

async function failure(promise: Promise<unknown>): Promise<[string, string, string | null]> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof StoreKeyError) return [error.code, error.message, error.hint];
    throw error;
  }
  throw new Error("expected a StoreKeyError");
}

describe("a key in a file", () => {
  it("is made on first start, mode 0600 in a directory of mode 0700, and is the same afterwards", async () => {
    const made = await resolveMasterKey(source, { storeExists: false });
    expect(made.bytes).toHaveLength(32);
    expect(made.generationPath).toBe(source.generationPath);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, "keys")).mode & 0o777).toBe(0o700);
    expect(readFileSync(path, "utf8")).toBe(`${Buffer.from(made.bytes).toString("hex")}\n`);
    expect(readdirSync(join(directory, "keys"))).toEqual(["a.key"]);
    for (const storeExists of [true, false]) {
      const again = await resolveMasterKey(source, { storeExists });
      expect(again.bytes).toEqual(made.bytes);
    }
  });

  it("is never made beside a store", async () => {
    expect(await failure(resolveMasterKey(source, { storeExists: true }))).toEqual([
      "KEY_MISSING",
      `the key file ${path} is not there, but a store made with it is`,
      "bring the key back from a backup; or, to begin anew with new devices, move the data directory away",
    ]);
    expect(existsSync(path)).toBe(false);
  });

  it.each([
    ["hex", hex],
    ["hex in capitals with a line feed", `${hex.toUpperCase()}\n`],
    ["base64", `${bytes.toString("base64")}\r\n`],
    ["base64 without padding", bytes.toString("base64").replace("=", "")],
    ["base64url", bytes.toString("base64url")],
    ["raw bytes", bytes],
  ])("may be %s", async (_name, content) => {
    put(content);
    const key = await resolveMasterKey(source, { storeExists: true });
    expect(Buffer.from(key.bytes)).toEqual(bytes);
  });

  it.each([
    ["an empty file", "", "got 0 bytes of another form"],
    ["a short key", hex.slice(2), "got 62 bytes of another form"],
    ["a long key", `${hex}00`, "got 66 bytes of another form"],
    ["two keys", `${hex}\n${hex}\n`, "got 130 bytes of another form"],
    ["letters that are no hex digits", `${hex.slice(1)}g`, "got 64 bytes of another form"],
    ["base64 with bits too many", `${"A".repeat(42)}B=`, "got 44 bytes of another form"],
    [
      "a password of 32 characters",
      "hunter2-hunter2-hunter2-hunter2\n",
      "got 32 bytes of another form",
    ],
    ["a large file", Buffer.alloc(5000, 7), "got more bytes of another form"],
  ])("may not be %s", async (_name, content, got) => {
    put(content);
    const [code, message, hint] = await failure(resolveMasterKey(source, { storeExists: false }));
    expect(code).toBe("KEY_INVALID");
    expect(message).toBe(
      `expected 64 hex digits, base64 of 32 bytes, or 32 raw bytes in the key file ${path}, ${got}`,
    );
    expect(hint).toBe("make one with: openssl rand -hex 32");
  });

  it("is not to be made anew where a store needs the one that was there", async () => {
    put("");
    const [code, , hint] = await failure(resolveMasterKey(source, { storeExists: true }));
    expect(code).toBe("KEY_INVALID");
    expect(hint).toBe(
      "a store is there, which a new key cannot open: bring its key back from a backup",
    );
  });

  it.each(["00", "ff"])("may not be one byte (%s) all over", async (byte) => {
    put(byte.repeat(32));
    expect((await failure(resolveMasterKey(source, { storeExists: false })))[1]).toBe(
      `expected a random key in the key file ${path}, got one byte 32 times`,
    );
  });

  it.each([0o640, 0o604, 0o660, 0o777])("may not be reachable by others (%o)", async (mode) => {
    put(hex, mode);
    const shown = `0${mode.toString(8)}`;
    expect(await failure(resolveMasterKey(source, { storeExists: true }))).toEqual([
      "KEY_UNSAFE",
      `expected mode 0600 for the key file ${path}, got ${shown}: others can reach it`,
      `chmod 600 ${path}`,
    ]);
  });

  it("may be read-only", async () => {
    put(hex, 0o400);
    expect((await resolveMasterKey(source, { storeExists: true })).bytes).toHaveLength(32);
  });

  it("may not be a symbolic link, also when it leads nowhere", async () => {
    put(hex);
    for (const target of [path, join(directory, "nowhere")]) {
      const link = join(directory, `link-${target.length}`);
      symlinkSync(target, link);
      const linked: StoreKeySource = { kind: "file", path: link, generationPath: "/g" };
      expect(await failure(resolveMasterKey(linked, { storeExists: true }))).toEqual([
        "KEY_UNSAFE",
        `expected a regular file at ${link}, got a symbolic link`,
        "name the file itself",
      ]);
    }
  });

  it("may not be a directory", async () => {
    mkdirSync(path, { recursive: true });
    expect((await failure(resolveMasterKey(source, { storeExists: true })))[1]).toBe(
      `expected a regular file at ${path}, got something else`,
    );
  });

  it("may not belong to another user", async () => {
    put(hex);
    const user = process.getuid?.();
    if (user === 0) chownSync(path, 12345, 0);
    // Only root can give a file away; others find one of root's.
    const [file, owner] = user === 0 ? [path, 12345] : ["/etc/passwd", 0];
    const theirs: StoreKeySource = { kind: "file", path: file, generationPath: "/g" };
    expect(await failure(resolveMasterKey(theirs, { storeExists: true }))).toEqual([
      "KEY_UNSAFE",
      `expected the key file ${file} to belong to user ${user}, got user ${owner}`,
      `chown ${user} ${file}, or run as the user that it belongs to`,
    ]);
  });

  it("cannot be made where its directory cannot", async () => {
    writeFileSync(join(directory, "keys"), "in the way");
    const [code, message] = await failure(resolveMasterKey(source, { storeExists: false }));
    expect([code, message]).toEqual([
      "KEY_UNREADABLE",
      `the key file ${path} cannot be made (EEXIST)`,
    ]);
  });
});

describe("a key in the environment", () => {
  const variable: StoreKeySource = { kind: "env", variable: "KEY", generationPath: "" };
  const from = (value: string | undefined) =>
    resolveMasterKey(
      { ...variable, generationPath: join(directory, "g", "n") },
      { storeExists: false, env: { KEY: value } },
    );

  it("is hex or base64", async () => {
    expect(Buffer.from((await from(hex)).bytes)).toEqual(bytes);
    expect(Buffer.from((await from(bytes.toString("base64"))).bytes)).toEqual(bytes);
  });

  it("is never made", async () => {
    for (const value of [undefined, ""]) {
      expect(await failure(from(value))).toEqual([
        "KEY_MISSING",
        "the environment variable KEY is not set",
        "set KEY to 64 hex digits or base64 of 32 bytes",
      ]);
    }
  });

  it("is not shown where it is wrong", async () => {
    const [code, message] = await failure(from("hunter2"));
    expect([code, message]).toEqual([
      "KEY_INVALID",
      "expected 64 hex digits or base64 of 32 bytes in the environment variable KEY, got 7 bytes of another form",
    ]);
  });

  it("makes the directory of the generation number", async () => {
    await from(hex);
    expect(statSync(join(directory, "g")).mode & 0o777).toBe(0o700);
  });
});

describe("a systemd credential", () => {
  const from = (env: Record<string, string>) =>
    resolveMasterKey(
      { kind: "systemd", credential: "store-key", generationPath: join(directory, "n") },
      { storeExists: false, env },
    );

  it("is read from the credentials directory, whose modes systemd sets", async () => {
    writeFileSync(join(directory, "store-key"), bytes);
    chmodSync(join(directory, "store-key"), 0o440);
    const key = await from({ CREDENTIALS_DIRECTORY: directory });
    expect(Buffer.from(key.bytes)).toEqual(bytes);
  });

  it("is never made", async () => {
    expect(await failure(from({}))).toEqual([
      "KEY_MISSING",
      "the environment variable CREDENTIALS_DIRECTORY is not set",
      "run as a systemd service with LoadCredential=store-key:PATH or LoadCredentialEncrypted=",
    ]);
    expect(await failure(from({ CREDENTIALS_DIRECTORY: directory }))).toEqual([
      "KEY_MISSING",
      "systemd passed no credential store-key",
      "add LoadCredential=store-key:PATH to the service",
    ]);
  });
});

describe("a key in the keyring", () => {
  it.runIf(process.platform === "linux")(
    "is refused where there is no keyring service",
    async () => {
      const before = process.env["DBUS_SESSION_BUS_ADDRESS"];
      process.env["DBUS_SESSION_BUS_ADDRESS"] = `unix:path=${join(directory, "no-bus")}`;
      try {
        const generationPath = join(directory, "n");
        const keyring: StoreKeySource = { kind: "keyring", account: "a", generationPath };
        const [code, message] = await failure(resolveMasterKey(keyring, { storeExists: false }));
        expect([code, message]).toEqual(["KEYRING_UNAVAILABLE", "there is no keyring"]);
      } finally {
        if (before === undefined) delete process.env["DBUS_SESSION_BUS_ADDRESS"];
        else process.env["DBUS_SESSION_BUS_ADDRESS"] = before;
      }
    },
  );
});

describe("resolveMasterKeys", () => {
  it("makes a shared key once, and not where one of its sections has a store already", async () => {
    const section = (name: string) => ({ name, storeKey: source }) as never;
    const sections = [section("a"), section("b")];
    await expect(resolveMasterKeys({ sections }, ({ name }) => name === "b")).rejects.toThrow(
      "is not there, but a store made with it is",
    );
    const keys = await resolveMasterKeys({ sections }, () => false);
    expect(keys.get("a")?.bytes).toEqual(keys.get("b")?.bytes);
  });
});

describe("a master key", () => {
  it("shows its bytes in no dump", async () => {
    put(hex);
    const key = await resolveMasterKey(source, { storeExists: true });
    expect(`${JSON.stringify(key)}${inspect(key)}`).not.toMatch(/00|f0|240/);
  });
});
