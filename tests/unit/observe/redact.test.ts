import { createHash, randomBytes } from "node:crypto";

import { describe, expect, it } from "vitest";

import { redactText, redactValue } from "../../../proxy/observe/redact.ts";

const token = "syt_YWxpY2U_bQnXGNhVmCOYLDTuMuEj_1xPd0b";

/** Key material that is the same in every run. */
function keyMaterial(index: number): Buffer {
  return createHash("sha256").update(`key ${index}`).digest();
}

describe("redactText takes out", () => {
  it.each([
    ["a Synapse access token", `cannot use ${token} any more`],
    ["a token behind a sigil", `cost$${token}`],
    ["a Bearer header", `Authorization: Bearer ${token}`],
    ["a Bearer header with a short, wordy token", "Bearer hunter2"],
    ["a query parameter", `GET /_matrix/client/v3/sync?access_token=hunter2&timeout=0`],
    ["an escaped query parameter", "redirectUrl=http%3A%2F%2Fx%3FloginToken%3Dhunter2"],
    ["a JSON member", `{"access_token":"hunter2","user_id":"@a:b"}`],
    ["an escaped JSON member", String.raw`"{\"password\":\"hunter2\",\"x\":1}"`],
    ["a JSON member with escaped quotes", String.raw`{"password":"a\"hunter2"}`],
    ["an as_token in YAML", "as_token: hunter2"],
    ["an hs_token", "hs_token=hunter2"],
    ["a password in a URL", "http://proxy:hunter2@localhost:8080/"],
    ["a message body in JSON", `{"type":"m.room.message","content":{"body":"hunter2"}}`],
    ["a body alone", `"body":"say hunter2"`],
    ["what JSON.parse could not read", `Unexpected token 'h', "hunter2" is not valid JSON`],
    ["a cookie", "cookie: a=hunter2"],
    [
      "an exported key",
      "-----BEGIN MEGOLM SESSION DATA-----\nhunter2\n-----END MEGOLM SESSION DATA-----",
    ],
  ])("%s", (_name, text) => {
    const clean = redactText(text);
    expect(clean).not.toContain("hunter2");
    expect(clean).not.toContain("bQnXGNhVmCOYLDTuMuEj");
  });

  it("what JSON.parse really says of unreadable text", () => {
    for (const text of ["hunter2", '{"a": hunter2}', "[hunter2", '"hunter2\n"', "{hunter2}"]) {
      let message = "";
      try {
        JSON.parse(text);
      } catch (error) {
        message = String(error);
      }
      expect(message).not.toBe("");
      expect(redactText(message)).not.toMatch(/unter2/);
    }
  });

  it.each(["hex", "base64", "base64url"] as const)("keys written as %s", (encoding) => {
    for (let index = 0; index < 5000; index++) {
      const key = keyMaterial(index).toString(encoding);
      for (const text of [key, `key ${key}.`, `("${key}")`, `a/${encodeURIComponent(key)}/b`]) {
        expect(redactText(text)).not.toContain(key.slice(8, 24));
      }
    }
  });

  it("a recovery key with spaces", () => {
    const recoveryKey = "EsTc LW2K PGiF wKEA 3As5 g5c4 BXwk qeeJ ZJV8 Q9fu gUMN UE4d";
    expect(redactText(`it is ${recoveryKey}`)).toBe("it is [redacted]");
    expect(redactText(recoveryKey.replaceAll(" ", ""))).toBe("[redacted]");
  });
});

describe("redactText keeps", () => {
  it.each([
    "listening on http://127.0.0.1:8009 for https://matrix.example.org",
    "@irc_1234567890AbCdEfGh99:example.org joined !OGEhHVWSdvArJzumhm:example.org",
    "event $Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg is owed",
    "room !Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg is pinned",
    "cannot open /home/alice/.local/share/kirjava/example/devices/main.sqlite",
    "PUT /_matrix/client/v3/rooms/!OGEhHVWSdvArJzumhm:example.org/send/m.room.message/txn1",
    "POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
    "at DeviceSession.receiveSyncChanges (file:///opt/kirjava/dist/proxy/crypto/device-session.js:10:2)",
    "device ABCDEFGHIJ of @bob:example.org is not verified",
    "connect ECONNREFUSED 127.0.0.1:8008",
    "the homeserver did not answer within 60000 ms",
  ])("%s", (text) => {
    expect(redactText(text)).toBe(text);
  });

  it("the length of what it cuts", () => {
    const clean = redactText("long text ".repeat(100_000));
    expect(clean.length).toBeLessThan(2100);
    expect(clean).toMatch(/\[1000000 characters\]$/);
  });
});

describe("redactValue", () => {
  it("takes out members that are named like secrets, at any depth and in any spelling", () => {
    const names = [
      "access_token",
      "accessToken",
      "ACCESS-TOKEN",
      "password",
      "Authorization",
      "proxy-authorization",
      "as_token",
      "hsToken",
      "Set-Cookie",
      "key",
      "recovery_key",
      "master-key",
      "pickled_session",
      "client_secret",
    ];
    for (const name of names) {
      const value = { a: [{ b: { [name]: "hunter2", other: 1 } }] };
      expect(redactValue(value)).toEqual({ a: [{ b: { [name]: "[redacted]", other: 1 } }] });
    }
    expect(redactValue({ password: { old: "hunter2" }, token: ["hunter2"], pin: 1234 })).toEqual({
      password: "[redacted]",
      token: "[redacted]",
      pin: "[redacted]",
    });
  });

  it("takes out message content but keeps its size", () => {
    const event = { type: "m.room.message", content: { body: "hunter2" }, sender: "@a:b" };
    expect(redactValue({ event, body: 12 })).toEqual({
      event: { type: "m.room.message", content: "[redacted]", sender: "@a:b" },
      body: 12,
    });
  });

  it("shows bytes as their number, however they were serialised", () => {
    const bytes = randomBytes(32);
    for (const shape of [bytes, new Uint8Array(bytes), [...bytes]]) {
      const parsed: unknown = JSON.parse(JSON.stringify({ value: shape }));
      expect(redactValue(parsed)).toEqual({ value: "[32 bytes]" });
    }
  });

  it("keeps short lists of numbers", () => {
    expect(redactValue({ counts: [1, 2, 3], sizes: [1000, 2, 3, 4, 5, 6, 7, 8, 9] })).toEqual({
      counts: [1, 2, 3],
      sizes: [1000, 2, 3, 4, 5, 6, 7, 8, 9],
    });
  });

  it("scrubs names of members too, and leaves prototypes alone", () => {
    const value: unknown = JSON.parse(`{"__proto__":{"polluted":true},"${token}":1}`);
    const clean = redactValue(value);
    expect(JSON.stringify(clean)).toBe(`{"__proto__":{"polluted":true},"[redacted]":1}`);
    expect(Object.hasOwn({}, "polluted")).toBe(false);
  });

  it("bounds depth and width", () => {
    let deep: unknown = "end";
    for (let index = 0; index < 1000; index++) deep = { deep };
    expect(JSON.stringify(redactValue(deep))).toContain("[nested too deep]");
    const wide = redactValue(Array.from({ length: 1000 }, () => "x")) as unknown[];
    expect(wide.at(-1)).toBe("[940 more]");
  });
});
