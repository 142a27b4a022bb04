import { describe, expect, it } from "vitest";

import { failure, messages, problemOf } from "./support.ts";

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
    ["SendDeadline = 4", "write 500ms, 4s, 2m or 1h; a plain number is milliseconds"],
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
