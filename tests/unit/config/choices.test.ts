import { describe, expect, it } from "vitest";

import { matchesRoomPattern } from "../../../proxy/config/settings.ts";
import { messages, problemOf, read, section } from "./support.ts";

describe("the listening address", () => {
  it.each(["localhost", "127.0.0.1", "127.1.2.3", "::1"])("may be %s", (address) => {
    const expected = address === "localhost" ? "127.0.0.1" : address;
    expect(section(`ListenAddress = ${address}`).listenAddress).toBe(expected);
  });

  it.each(["0.0.0.0", "::", "192.168.0.1", "fe80::1", "128.0.0.1"])("may not be %s", (address) => {
    expect(problemOf(`ListenAddress = ${address}`)[0]).toBe(
      `expected a loopback address (localhost, 127.0.0.1 or ::1), got ${address}`,
    );
  });

  it("may be any with UnsafeListenAddress, which a notice tells", () => {
    const settings = read("[a]\nHomeserver=https://x\nTrust=all\nUnsafeListenAddress=0.0.0.0");
    expect(settings.sections[0]?.listenAddress).toBe("0.0.0.0");
    expect(settings.notices).toEqual([
      {
        level: "warn",
        message:
          "[a] UnsafeListenAddress: listens on 0.0.0.0, tokens and decrypted messages cross that network in the clear",
      },
    ]);
  });

  it("is given once: the section's own wins over the inherited one, two of one place contradict", () => {
    expect(section("ListenAddress = ::1", "UnsafeListenAddress = 10.0.0.1").listenAddress).toBe(
      "::1",
    );
    expect(section("UnsafeListenAddress = 10.0.0.1", "ListenAddress = ::1").listenAddress).toBe(
      "10.0.0.1",
    );
    expect(section("", "UnsafeListenAddress = 10.0.0.1").listenAddress).toBe("10.0.0.1");
    expect(
      messages("[a]\nHomeserver=https://x\nListenAddress=::1\nUnsafeListenAddress=10.0.0.1"),
    ).toEqual([
      "f:4: [a] UnsafeListenAddress: expected either ListenAddress or UnsafeListenAddress, got both",
    ]);
  });
});

describe("trust", () => {
  it.each([
    ["", "all"],
    ["IgnoreVerification = True", "all"],
    ["IgnoreVerification = False", "verified"],
    ["Trust = tofu", "tofu"],
    ["Trust = cross-signed\nIgnoreVerification = False", "cross-signed"],
    ["Trust = all\nIgnoreVerification = True", "all"],
  ])("of %j", (lines, trust) => {
    expect(section(lines).trust).toBe(trust);
  });

  it.each([
    ["all", "False", "verified"],
    ["tofu", "True", "all"],
    ["verified", "True", "all"],
  ])("%s contradicts IgnoreVerification = %s", (trust, ignore, implied) => {
    expect(problemOf(`Trust = ${trust}\nIgnoreVerification = ${ignore}`)).toEqual([
      `expected the same as IgnoreVerification = ${ignore} says (${implied}), got ${trust}`,
      "keep Trust and remove IgnoreVerification",
    ]);
  });

  it("of the section overrides what it inherits, but not the other way round", () => {
    expect(section("Trust = verified", "IgnoreVerification = True").trust).toBe("verified");
    expect(
      messages("[Default]\nTrust=verified\n[a]\nHomeserver=https://x\nIgnoreVerification=True"),
    ).toEqual([
      "f:2: [Default] Trust: expected the same as IgnoreVerification = True says (all), got verified",
    ]);
  });
});

describe("the master key's place", () => {
  const generationPath = "/home/u/.config/kirjava/a.generation";
  it.each([
    ["StoreKey = env:KEY", { kind: "env", variable: "KEY", generationPath }],
    ["StoreKey = systemd:key", { kind: "systemd", credential: "key", generationPath }],
    ["StoreKey = keyring:my key", { kind: "keyring", account: "my key", generationPath }],
    ["UseKeyring = Yes", { kind: "keyring", account: "a", generationPath }],
    ["UseKeyring = No", { kind: "file", path: "/home/u/.config/kirjava/a.key", generationPath }],
    ["StoreKey = keyring:k\nUseKeyring = Yes", { kind: "keyring", account: "k", generationPath }],
    [
      "StoreKey = env:KEY\nGenerationFile = /g",
      { kind: "env", variable: "KEY", generationPath: "/g" },
    ],
  ])("of %j", (lines, expected) => {
    expect(section(lines).storeKey).toEqual(expected);
  });

  it("in the section overrides what it inherits", () => {
    expect(section("StoreKey = env:KEY", "UseKeyring = Yes").storeKey.kind).toBe("env");
    expect(section("UseKeyring = Yes", "StoreKey = env:KEY").storeKey.kind).toBe("keyring");
    expect(section("UseKeyring = No", "StoreKey = keyring:k").storeKey.kind).toBe("file");
    expect(section("UseKeyring = No", "StoreKey = env:KEY").storeKey.kind).toBe("env");
  });

  it("may not contradict UseKeyring", () => {
    expect(problemOf("StoreKey = env:KEY\nUseKeyring = Yes")).toEqual([
      "expected the same as UseKeyring = Yes says, got env:",
      "keep StoreKey and remove UseKeyring",
    ]);
    expect(problemOf("StoreKey = keyring:k\nUseKeyring = No")).toEqual([
      "expected the same as UseKeyring = No says, got keyring:",
      "keep StoreKey and remove UseKeyring",
    ]);
  });

  it("differs in its generation number between sections that share a key", () => {
    const text =
      "[Default]\nStoreKey = file:/k/shared\n[a]\nHomeserver=https://x\n[b]\nHomeserver=https://x\nListenPort=1";
    expect(read(text).sections.map(({ storeKey }) => storeKey.generationPath)).toEqual([
      "/k/shared.a.generation",
      "/k/shared.b.generation",
    ]);
  });
});

describe("matchesRoomPattern", () => {
  it.each([
    ["*", "!a:x", true],
    ["!a:x", "!a:x", true],
    ["!a:x", "!a:xy", false],
    ["*:x", "!a:x", true],
    ["*:x", "!a:xy", false],
    ["!a*", "!abc", true],
    ["!a*a", "!a", false],
    ["!a*b*c:x", "!aXbXc:x", true],
    ["!a*b*b:x", "!aXb:x", false],
    ["!.:x", "!a:x", false],
  ])("%s on %s is %s", (pattern, roomId, expected) => {
    expect(matchesRoomPattern([pattern], roomId)).toBe(expected);
  });

  it("matches where one of several does, and none where there are none", () => {
    expect(matchesRoomPattern(["!a", "!b"], "!b")).toBe(true);
    expect(matchesRoomPattern([], "!b")).toBe(false);
  });

  it("is not slowed down by a pattern of many stars", () => {
    expect(matchesRoomPattern([`!${"*a".repeat(50)}`], `!${"a".repeat(200)}b`)).toBe(false);
  });
});
