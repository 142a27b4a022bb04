import { describe, expect, it } from "vitest";

import { readSettings } from "../../../proxy/config/read-settings.ts";

// Files as pantalaimon's own documentation shows them: its contrib directory, its manual page and
// the two of its README, the last with the keys of the others that it leaves out.
const places = { home: "/h", configHome: "/h/.config", dataHome: "/h/.local/share" };

const read = (text: string) => readSettings(text, "pantalaimon.conf", places);

const contrib = `[Default]
LogLevel = Debug
SSL = True
Notifications = On
DebugEncryption = True

[local-matrix]
Homeserver = http://localhost:8008
ListenAddress = localhost
ListenPort = 8009
Proxy = http://localhost:8080
SSL = False
IgnoreVerification = False
UseKeyring = True
DropOldKeys = False
`;

const manual = `[Default]
LogLevel = Debug
SSL = True
Notifications = On

[Clocktown]
Homeserver = https://localhost:8448
ListenAddress = localhost
ListenPort = 8009
Proxy = http://localhost:8080
SSL = False
`;

const docker = `[Default]
LogLevel = Debug
SSL = True

[local-matrix]
Homeserver = https://matrix.org
ListenAddress = 0.0.0.0
ListenPort = 8008
SSL = False
UseKeyring = False
IgnoreVerification = True
`;

describe("pantalaimon's own configuration files", () => {
  it("start unchanged: the one in contrib", () => {
    const { sections, notices, logLevel } = read(contrib);
    expect(logLevel).toBe("debug");
    expect(sections).toHaveLength(1);
    expect(sections[0]).toMatchObject({
      name: "local-matrix",
      listenAddress: "127.0.0.1",
      listenPort: 8009,
      tls: { verify: false },
      trust: "verified",
      storeKey: { kind: "keyring", account: "local-matrix" },
    });
    expect(sections[0]?.homeserver.href).toBe("http://localhost:8008/");
    expect(sections[0]?.upstreamProxy?.href).toBe("http://localhost:8080/");
    expect(notices).toEqual([
      {
        level: "warn",
        message: "[local-matrix] SSL = False: the homeserver's TLS certificate is not verified",
      },
      {
        level: "info",
        message:
          "Notifications: there are no desktop notifications; what needs attention is logged",
      },
    ]);
  });

  it("start unchanged: the one in the manual page", () => {
    const { sections, notices } = read(manual);
    expect(sections.map(({ name, trust }) => [name, trust])).toEqual([["Clocktown", "all"]]);
    expect(notices.map(({ message }) => message)).toEqual([
      "[Clocktown] neither Trust nor IgnoreVerification is set: room keys go to all devices, verified or not",
      "[Clocktown] SSL = False: the homeserver's TLS certificate is not verified",
      "Notifications: there are no desktop notifications; what needs attention is logged",
    ]);
  });

  it("start unchanged: the least that the README shows", () => {
    const text =
      "[local-matrix]\nHomeserver = https://localhost:443\nListenAddress = localhost\nListenPort = 8009\n";
    expect(read(text).sections[0]?.homeserver.origin).toBe("https://localhost");
  });

  it("are refused with a sentence where they listen beyond this machine", () => {
    expect(() => read(docker)).toThrow(
      "pantalaimon.conf:7: [local-matrix] ListenAddress: expected a loopback address (localhost, 127.0.0.1 or ::1), got 0.0.0.0",
    );
    const mended = docker.replace("ListenAddress", "UnsafeListenAddress");
    expect(read(mended).sections[0]?.listenAddress).toBe("0.0.0.0");
  });

  it("have every key honoured or answered with a sentence", () => {
    const text = `[Default]
Notifications = Off
[a]
Homeserver = https://x
LogLevel = error
IgnoreVerification = True
DropOldKeys = Yes
SearchRequests = On
IndexEncryptedOnly = False
IndexingBatchSize = 1000
HistoryFetchDelay = 10000
`;
    expect(read(text).notices).toEqual([
      { level: "warn", message: "LogLevel in [a] has no effect: it counts in [Default] only" },
      {
        level: "info",
        message: "[a] IgnoreVerification = True: room keys go to all devices, verified or not",
      },
      {
        level: "warn",
        message: "[a] DropOldKeys = Yes has no effect yet: old room keys are kept",
      },
      {
        level: "warn",
        message:
          "[a] SearchRequests = On has no effect: there is no search index, encrypted messages are not found",
      },
      { level: "info", message: "[a] IndexEncryptedOnly has no effect: there is no search index" },
      { level: "info", message: "[a] IndexingBatchSize has no effect: there is no search index" },
      { level: "info", message: "[a] HistoryFetchDelay has no effect: there is no search index" },
    ]);
  });

  it("are told when they send tokens in the clear to another machine", () => {
    const at = (url: string) =>
      read(`[a]\nTrust=all\nHomeserver=${url}`).notices.map(({ level }) => level);
    expect(at("http://example.org")).toEqual(["warn"]);
    expect(at("http://127.0.0.1.example.org")).toEqual(["warn"]);
    expect(at("https://example.org")).toEqual([]);
    expect(at("http://localhost:8008")).toEqual([]);
    expect(at("http://127.0.0.1:8008")).toEqual([]);
    expect(at("http://[::1]:8008")).toEqual([]);
  });
});
