import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver, type TestUser } from "../support/homeserver.ts";
import { freePort } from "../support/ports.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { PlainRest } from "../support/peers/plain-rest.ts";

const PROGRAM = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

let homeserver: TestHomeserver;
let daemon: Daemon;
let user: TestUser;
let alice: PlainRest;
let bob: LightDevice;
let roomId: string;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
});

beforeEach(async () => {
  daemon = await Daemon.start({ homeserver: homeserver.url, global: { LogLevel: "debug" } });
  user = await homeserver.registerUser("alice");
  alice = new PlainRest(daemon.url, user);
  bob = await LightDevice.start(homeserver.url, await homeserver.registerUser("bob"));
  roomId = await alice.createEncryptedRoom([bob.userId]);
  await new PlainRest(homeserver.url, bob.account).join(roomId);
  await alice.sendText(roomId, "the first secret word");
});

afterEach(async () => {
  await daemon.dispose();
});

afterAll(async () => {
  await homeserver.stop();
});

/** Everything below a directory. */
function pathsIn(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true }).map((entry) =>
    join(entry.parentPath, entry.name),
  );
}

function filesIn(directory: string): string[] {
  return pathsIn(directory).filter((path) => statSync(path).isFile());
}

/** What the stores hold: not the lock, nor what SQLite makes anew at each opening. */
function digests(directory: string): [string, string][] {
  return filesIn(directory)
    .filter((path) => /\.(db|key)$/.test(path))
    .sort()
    .map((path) => [path, createHash("sha256").update(readFileSync(path)).digest("hex")]);
}

/** Runs a daemon that is expected to end by itself. */
function runToEnd(config: string): Promise<{ readonly code: unknown; readonly output: string }> {
  return new Promise((resolve) => {
    const options = {
      cwd: daemon.directory,
      env: { PATH: process.env["PATH"], HOME: daemon.directory },
    };
    execFile(process.execPath, [PROGRAM, "run", "--config", config], options, (error, out, err) => {
      resolve({ code: error === null ? 0 : error.code, output: out + err });
    });
  });
}

describe("the files of a daemon", () => {
  it("show no room, user, device, token or message, and nobody else may read them", async () => {
    await alice.sync(null);
    const hidden = [
      roomId,
      user.userId,
      user.accessToken,
      user.deviceId,
      bob.userId,
      "the first secret word",
      "m.megolm",
    ];
    const look = () => {
      for (const path of filesIn(daemon.dataDirectory)) {
        const text = readFileSync(path).toString("latin1");
        const found = hidden.filter((word) => text.includes(word) || path.includes(word));
        expect([path, found]).toEqual([path, []]);
      }
      for (const path of [...pathsIn(daemon.dataDirectory), daemon.keyPath]) {
        const stat = statSync(path);
        expect([path, (stat.mode & 0o777).toString(8)]).toEqual([
          path,
          stat.isDirectory() ? "700" : "600",
        ]);
      }
    };
    // While it runs (with its WAL), after a crash, and after an orderly end.
    look();
    await daemon.crash();
    await alice.sendText(roomId, "the first secret word");
    look();
    await daemon.stop();
    look();
    expect(filesIn(daemon.dataDirectory).length).toBeGreaterThan(1);
  });

  it("are noticed to be an old copy, and nothing is sent with them", async () => {
    const copy = join(daemon.directory, "copy");
    await daemon.stop();
    cpSync(daemon.dataDirectory, copy, { recursive: true, preserveTimestamps: true });
    await daemon.launch();
    await alice.sendText(roomId, "after the copy");
    await daemon.stop();
    rmSync(daemon.dataDirectory, { recursive: true });
    cpSync(copy, daemon.dataDirectory, { recursive: true, preserveTimestamps: true });
    await daemon.launch();

    const before = (await homeserver.eventContents(roomId)).length;
    const refused = await alice.trySend(roomId, "with an old ratchet");
    expect([refused.status, refused.json["errcode"]]).toEqual([403, "M_FORBIDDEN"]);
    expect(refused.json["error"]).toContain("older than the one last used");
    await daemon.restart();
    expect((await alice.trySend(roomId, "after a restart")).status).toBe(403);
    expect(await homeserver.eventContents(roomId)).toHaveLength(before);
  });

  it("serve one daemon: a second one ends and names the lock", async () => {
    const config = join(daemon.directory, "second.conf");
    const text = readFileSync(daemon.configPath, "utf8");
    writeFileSync(config, text.replace(/^ListenPort = .*$/m, `ListenPort = ${await freePort()}`));
    const { code, output } = await runToEnd(config);
    expect(code).toBe(1);
    expect(output).toMatch(/lock|in use/i);
    expect(output).toContain(String(daemon.pid));
    // The first one goes on.
    const eventId = await alice.sendText(roomId, "still here");
    expect((await bob.read(roomId, eventId)).content["body"]).toBe("still here");
  });

  it("stay as they are where the key is a wrong one, and serve again with the right one", async () => {
    await daemon.stop();
    const right = readFileSync(daemon.keyPath);
    const wrong = right
      .toString("latin1")
      .replace(/[0-9a-f]{8}/, (some) => (some === "00000000" ? "11111111" : "00000000"));
    const before = digests(daemon.dataDirectory);
    writeFileSync(daemon.keyPath, wrong);
    const { code, output } = await runToEnd(daemon.configPath);
    expect(code).toBe(1);
    expect(output).toMatch(/key/i);
    expect(output).toContain(daemon.dataDirectory);
    expect(digests(daemon.dataDirectory)).toEqual(before);
    rmSync(daemon.keyPath);
    const missing = await runToEnd(daemon.configPath);
    expect(missing.code).toBe(1);
    expect(digests(daemon.dataDirectory)).toEqual(before);

    writeFileSync(daemon.keyPath, right, { mode: 0o600 });
    await daemon.launch();
    const eventId = await alice.sendText(roomId, "with the right key");
    expect((await bob.read(roomId, eventId)).content["body"]).toBe("with the right key");
  });
});

describe("the log at debug level", () => {
  it("holds no token, message or key of a whole exchange", async () => {
    const since = (await alice.sync(null)).nextBatch;
    await bob.sendTextWithNewKey(roomId, [alice.userId], "the second secret word");
    const seen = await alice.sync(since, 30_000);
    expect(JSON.stringify(seen)).toContain("secret word");
    const url = `${daemon.url}/_matrix/client/v3`;
    await fetch(`${url}/joined_rooms?access_token=${user.accessToken}`);
    await fetch(`${url}/no/such?access_token=${user.accessToken}`);
    await fetch(`${url}/login`, {
      method: "POST",
      body: JSON.stringify({
        type: "m.login.password",
        identifier: { type: "m.id.user", user: user.userId },
        password: user.password,
      }),
    });
    await daemon.crash();
    await alice.sendText(roomId, "the third secret word");
    await daemon.stop();

    const key = readFileSync(daemon.keyPath);
    const hidden = [
      user.accessToken,
      user.password,
      "secret word",
      key.toString("utf8").trim(),
      key.toString("base64"),
    ];
    expect(daemon.lines.seen.length).toBeGreaterThan(3);
    expect(hidden.filter((word) => daemon.log.includes(word))).toEqual([]);
    expect(daemon.log).not.toMatch(/session_key|"ciphertext"|private/);
  });
});
