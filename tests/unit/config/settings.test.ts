import { availableParallelism } from "node:os";

import { describe, expect, it } from "vitest";

import { ConfigError } from "../../../proxy/config/problems.ts";
import { readSettings } from "../../../proxy/config/read-settings.ts";
import { optionNames, schema } from "../../../proxy/config/schema.ts";
import type { SectionSettings, Settings } from "../../../proxy/config/settings.ts";
import { matchesRoomPattern } from "../../../proxy/config/settings.ts";

const places = { home: "/home/u", configHome: "/home/u/.config", dataHome: "/home/u/.local/share" };

function read(text: string): Settings {
  return readSettings(text, "f", places);
}

function section(lines: string, defaults = ""): SectionSettings {
  const { sections } = read(`[Default]\n${defaults}\n[a]\nHomeserver = https://x\n${lines}`);
  const [first] = sections;
  if (first === undefined) throw new Error("no section");
  return first;
}

function failure(text: string): ConfigError {
  try {
    read(text);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error("expected a ConfigError");
}

function messages(text: string): string[] {
  return failure(text).message.split("\n");
}

/** The one problem of a key in a section that is right otherwise, as [message, hint]. */
function problemOf(lines: string): [string, string | undefined] {
  const { problems } = failure(`[a]\nHomeserver = https://x\n${lines}`);
  expect(problems.map(({ message }) => message)).toHaveLength(1);
  const [problem] = problems;
  expect(problem?.line).toBe(3);
  expect(problem?.section).toBe("a");
  return [problem?.message ?? "", problem?.hint];
}

describe("readSettings", () => {
  it("fills in the defaults", () => {
    const settings = read("[example]\nHomeserver = https://matrix.example.org");
    expect(settings).toEqual({
      logLevel: "info",
      logFormat: "auto",
      threads: Math.min(4, availableParallelism()),
      sections: [
        {
          name: "example",
          homeserver: new URL("https://matrix.example.org"),
          listenAddress: "127.0.0.1",
          listenPort: 8009,
          tls: { verify: true },
          upstreamProxy: null,
          trust: "all",
          freshness: "barrier",
          sendDeadlineMs: 4000,
          lateKeyTimeoutMs: 30_000,
          upstreamTimeoutMs: 60_000,
          markDecrypted: true,
          hideEncryption: false,
          requireEncryption: [],
          dataDirectory: "/home/u/.local/share/kirjava/example",
          storeKey: {
            kind: "file",
            path: "/home/u/.config/kirjava/example.key",
            generationPath: "/home/u/.config/kirjava/example.generation",
          },
        },
      ],
      notices: [
        {
          level: "info",
          message:
            "[example] neither Trust nor IgnoreVerification is set: room keys go to all devices, verified or not",
        },
      ],
    });
  });

  it("has a default for every key that reads as a value of it", () => {
    for (const name of optionNames) {
      const { default: text, type } = schema[name];
      if (text !== null) expect(() => type.parse(text)).not.toThrow();
    }
  });

  it("lets a section inherit from [Default] and override it", () => {
    const text =
      "[Default]\nlistenport = 1\nTrust = tofu\n[a]\nHomeserver=http://localhost\nLISTENPORT = 2\n[b]\nhomeserver: https://b:8448/";
    const { sections } = read(text);
    expect(sections.map((s) => [s.name, s.listenPort, s.trust, s.homeserver.origin])).toEqual([
      ["a", 2, "tofu", "http://localhost"],
      ["b", 1, "tofu", "https://b:8448"],
    ]);
  });

  it("interpolates with the section's keys, those of [Default] and built-in defaults", () => {
    const text = "[Default]\nDataDirectory = /srv/%(ListenPort)s\n[a]\nHomeserver = https://x";
    expect(read(text).sections[0]?.dataDirectory).toBe("/srv/8009/a");
    expect(read(`${text}\nListenPort = 7`).sections[0]?.dataDirectory).toBe("/srv/7/a");
  });

  it("reads every kind of value", () => {
    expect(
      section(
        [
          "ListenPort = 65535",
          "ListenAddress = ::1",
          "SSL = off",
          "Proxy = http://u:p@localhost:8080",
          "Trust = Cross-Signed",
          "Freshness = STREAM",
          "SendDeadline = 1.5s",
          "LateKeyTimeout = 2m",
          "UpstreamTimeout = 90000",
          "MarkDecrypted = 0",
          "HideEncryption = yes",
          "RequireEncryption = !a:x, *:y",
          "  !b",
          "DataDirectory = ~/data/",
          "StoreKey = file:~/keys/k",
        ].join("\n"),
      ),
    ).toMatchObject({
      listenPort: 65535,
      listenAddress: "::1",
      tls: { verify: false },
      upstreamProxy: new URL("http://u:p@localhost:8080"),
      trust: "cross-signed",
      freshness: "stream",
      sendDeadlineMs: 1500,
      lateKeyTimeoutMs: 120_000,
      upstreamTimeoutMs: 90_000,
      markDecrypted: false,
      hideEncryption: true,
      requireEncryption: ["!a:x", "*:y", "!b"],
      dataDirectory: "/home/u/data/a",
      storeKey: {
        kind: "file",
        path: "/home/u/keys/k",
        generationPath: "/home/u/keys/k.a.generation",
      },
    });
  });

  it("takes a base URL with a path", () => {
    const { sections } = read("[a]\nHomeserver = https://x/base/");
    expect(sections[0]?.homeserver.href).toBe("https://x/base/");
  });

  it("reads the global keys", () => {
    const globals = "LogLevel = Warning\nLogFormat = JSON\nThreads = 0\n";
    expect(read(`[Default]\n${globals}[a]\nHomeserver=https://x`)).toMatchObject({
      logLevel: "warn",
      logFormat: "json",
      threads: 0,
    });
    expect(read(`[Default]\nDebugEncryption=yes\n[a]\nHomeserver=https://x`)).toMatchObject({
      logLevel: "debug",
      notices: [
        expect.anything(),
        { level: "info", message: "DebugEncryption: the whole log is at level debug" },
      ],
    });
  });

  it("gives each section a directory of its own, whatever its name", () => {
    const text = "[..%2F]\nHomeserver=https://x\n[ä b]\nHomeserver=https://x\nListenPort=1";
    const { sections } = read(text);
    expect(sections.map(({ dataDirectory }) => dataDirectory)).toEqual([
      "/home/u/.local/share/kirjava/..%252F",
      "/home/u/.local/share/kirjava/%C3%A4%20b",
    ]);
  });
});

describe("readSettings refuses", () => {
  it("all problems of a file at once, in the order of its lines", () => {
    expect(
      messages(
        "[Default]\nLogLevl = info\nSSL = perhaps\n[a]\nListenPort = 80x9\nnonsense\n[b]\nHomeserver = matrix.org\n",
      ),
    ).toEqual([
      'f:2: [Default] "LogLevl": there is no such key',
      'f:3: [Default] SSL: expected Yes or No (True or False, On or Off, 1 or 0), got "perhaps"',
      "f:4: [a] Homeserver: expected the homeserver's URL, got nothing",
      'f:5: [a] ListenPort: expected a whole number from 0 to 65535, got "80x9"',
      'f:6: [a] expected "key = value", "[section]" or a comment, got "nonsense"',
      'f:8: [b] Homeserver: expected an http or https URL such as https://matrix.example.org, got "matrix.org"',
    ]);
  });

  it.each([
    ["LogLevl", "did you mean LogLevel? docs/configuration.md lists all keys"],
    ["listen_port", "did you mean ListenPort? docs/configuration.md lists all keys"],
    ["Homserver", "did you mean Homeserver? docs/configuration.md lists all keys"],
    ["__proto__", "docs/configuration.md lists all keys"],
    ["constructor", "docs/configuration.md lists all keys"],
    ["Quite another thing", "docs/configuration.md lists all keys"],
  ])("the unknown key %s", (key, hint) => {
    expect(problemOf(`${key} = 1`)).toEqual(["there is no such key", hint]);
  });

  const url = "an http or https URL such as https://matrix.example.org";
  it.each([
    ["", `expected ${url}, got nothing`, undefined],
    ["matrix.org", `expected ${url}, got "matrix.org"`, "did you mean https://matrix.org?"],
    ["ftp://x", `expected ${url}, got "ftp://x"`, undefined],
    ["http:x", `expected ${url}, got "http:x"`, undefined],
    ["https://", `expected ${url}, got "https://"`, undefined],
    ["https://x:99999", `expected ${url}, got "https://x:99999"`, undefined],
    ["https://x/#a", `expected ${url}, got "https://x/#a"`, undefined],
    ["https://x?a", `expected ${url}, got "https://x?a"`, undefined],
    [
      "https://x/_matrix/client",
      `expected ${url}, got "https://x/_matrix/client"`,
      "leave out /_matrix and what follows",
    ],
    ["https://x ; c", `expected ${url}, got "https://x ; c"`, "a comment needs a line of its own"],
    ["https://u:secret@x", `expected ${url}, got one with a user name or password`, undefined],
  ])("Homeserver = %s", (value, message, hint) => {
    const { problems } = failure(`[a]\nHomeserver = ${value}`);
    expect(problems).toHaveLength(1);
    expect([problems[0]?.message, problems[0]?.hint]).toEqual([message, hint]);
  });

  it.each([
    ["ListenPort = 65536", 'expected a whole number from 0 to 65535, got "65536"'],
    ["ListenPort = -1", 'expected a whole number from 0 to 65535, got "-1"'],
    ["ListenPort = 1.5", 'expected a whole number from 0 to 65535, got "1.5"'],
    ["ListenPort =", "expected a whole number from 0 to 65535, got nothing"],
    ["ListenPort = %(nope)s", '"%(nope)s" refers to a key that is not set'],
    ["ListenAddress = my.host", 'expected localhost or an IP address, got "my.host"'],
    ["ListenAddress = fe80::1%%lo", 'expected localhost or an IP address, got "fe80::1%lo"'],
    [
      "Proxy = socks5://u:secret@x",
      'expected an http or https URL of a proxy, such as http://localhost:8080, got "...@x"',
    ],
    [
      "Proxy = http://u:secret@x/path",
      'expected an http or https URL of a proxy, such as http://localhost:8080, got "...@x/path"',
    ],
    ["SSL = 2", 'expected Yes or No (True or False, On or Off, 1 or 0), got "2"'],
    ["SendDeadline = 0", 'expected a duration from 100ms to 1m, got "0"'],
    ["SendDeadline = 61s", 'expected a duration from 100ms to 1m, got "61s"'],
    ["UpstreamTimeout = 0.5s", 'expected a duration from 1s to 10m, got "0.5s"'],
    ["LateKeyTimeout = 25h", 'expected a duration from 0ms to 24h, got "25h"'],
    ["IndexingBatchSize = 1", 'expected a whole number from 2 to 1000, got "1"'],
    ["HistoryFetchDelay = 100", 'expected a whole number from 101 to 10000, got "100"'],
    [
      "UseKeyring = perhaps",
      'expected Yes or No (True or False, On or Off, 1 or 0), got "perhaps"',
    ],
    ["DataDirectory = data", 'expected an absolute path, or one that begins with ~/, got "data"'],
    ["StoreKey = file:key", "expected file: and an absolute path, or one that begins with ~/"],
    ["StoreKey = file:/k/", "expected file: and an absolute path, or one that begins with ~/"],
    ["StoreKey = env:1A", "expected env: and the name of an environment variable"],
    ["StoreKey = systemd:../x", "expected systemd: and the name of a credential"],
    ["StoreKey = systemd:..", "expected systemd: and the name of a credential"],
    ["StoreKey = keyring:", "expected keyring: and the name of an entry"],
    ["Threads = 1", "expected this key in [Default], where it counts for all sections"],
  ])("%s", (line, message) => {
    expect(problemOf(line)[0]).toBe(message);
  });

  it.each([
    ["SendDeadline = 4 seconds", "write 500ms, 4s, 2m or 1h; a plain number is milliseconds"],
    ["Trust = verifed", "did you mean verified?"],
    ["Freshness = steam", "did you mean stream?"],
    ["ListenPort = 8009 # ours", "a comment needs a line of its own"],
    ["ListenPort = 8009 ; ours", "a comment needs a line of its own"],
    [
      "RequireEncryption = #room:x",
      "an alias can be moved to another room: write the room's id, which begins with !",
    ],
    [
      "ListenAddress = 0.0.0.0",
      "write UnsafeListenAddress = 0.0.0.0 if that network is private: tokens and decrypted messages cross it in the clear",
    ],
    ["Threads = 1", "move it to [Default]"],
  ])("%s with a hint", (line, hint) => {
    expect(problemOf(line)[1]).toBe(hint);
  });

  it("a key in the place of StoreKey without showing it", () => {
    const key = "5f0b3c".repeat(10) + "aaaa";
    const [message, hint] = problemOf(`StoreKey = ${key}`);
    expect(message).toBe(
      "expected file:PATH, env:NAME, systemd:NAME or keyring:NAME (what was got is not shown, it may be a key)",
    );
    expect(hint).toBe(
      "a key never stands in the configuration: put it into a file and write file:PATH",
    );
  });

  it("bad globals", () => {
    expect(
      messages("[Default]\nThreads=65\nLogFormat=xml\nLogLevel=loud\n[a]\nHomeserver=https://x"),
    ).toEqual([
      'f:2: [Default] Threads: expected auto, or a whole number from 0 to 64, got "65"',
      'f:3: [Default] LogFormat: expected one of auto, json, pretty, got "xml"',
      'f:4: [Default] LogLevel: expected one of error, warning, info, debug, got "loud"',
    ]);
  });

  it("a bad default that every section overrides", () => {
    expect(messages("[Default]\nListenPort=x\n[a]\nHomeserver=https://x\nListenPort=1")).toEqual([
      'f:2: [Default] ListenPort: expected a whole number from 0 to 65535, got "x"',
    ]);
  });

  it("a file without sections, and one that is empty", () => {
    for (const text of ["", "[Default]\nSSL = True"]) {
      expect(messages(text)).toEqual([
        "f: expected at least one section with a Homeserver, got none",
      ]);
    }
  });

  it("[DEFAULT], which pantalaimon takes for a homeserver", () => {
    const { problems } = failure("[DEFAULT]\nSSL = True");
    expect(problems).toEqual([
      {
        line: 1,
        section: "DEFAULT",
        key: "Homeserver",
        message: "expected the homeserver's URL, got nothing",
        hint: "the section that the others inherit from is written [Default]",
      },
    ]);
  });

  it.each(["[a/b]", "[..]", "[ a]", "[a\u0007]", `[${"x".repeat(65)}]`])("the name %j", (name) => {
    expect(failure(`${name}\nHomeserver=https://x`).problems[0]?.message).toBe(
      "expected a section name of 1 to 64 characters without slashes",
    );
  });

  it.each([
    ["127.0.0.1", "localhost", "http://127.0.0.1:8009"],
    ["::1", "0:0:0:0:0:0:0:1", "http://[0:0:0:0:0:0:0:1]:8009"],
  ])("two sections on one address (%s, %s)", (a, b, at) => {
    const text = `[a]\nHomeserver=https://x\nListenAddress=${a}\n[b]\nHomeserver=https://y\nListenAddress=${b}`;
    expect(messages(text)).toEqual([
      `f:4: [b] ListenPort: expected an address of its own, got ${at}, where [a] listens`,
    ]);
  });

  it("two sections where one listens on all addresses", () => {
    const text =
      "[a]\nHomeserver=https://x\nUnsafeListenAddress=0.0.0.0\n[b]\nHomeserver=https://y\nListenPort=8009";
    expect(messages(text)).toEqual([
      "f:6: [b] ListenPort: expected an address of its own, got http://127.0.0.1:8009, where [a] listens",
    ]);
  });

  it("a key or generation number within the data directory", () => {
    const hint = "what is kept beside the store is lost and copied with it";
    expect(problemOf("StoreKey = file:/home/u/.local/share/kirjava/k")).toEqual([
      "expected a file outside of the data directory /home/u/.local/share/kirjava, got /home/u/.local/share/kirjava/k",
      hint,
    ]);
    expect(problemOf("GenerationFile = /home/u/.local/share/kirjava/../kirjava/a/g")).toEqual([
      "expected a file outside of the data directory /home/u/.local/share/kirjava, got /home/u/.local/share/kirjava/a/g",
      hint,
    ]);
  });
});

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
