import { availableParallelism } from "node:os";

import { describe, expect, it } from "vitest";

import { optionNames, schema } from "../../../proxy/config/schema.ts";
import { read, section } from "./support.ts";

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
