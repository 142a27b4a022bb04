import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { version } from "../../../cli/version.ts";

// The built program as an operator runs it: `npm test` builds it first.
const program = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kirjava-cli-"));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

interface Running {
  readonly exited: Promise<{ code: number | null; out: string; err: string }>;
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Resolves as soon as standard error holds the text. */
  readonly says: (text: string) => Promise<void>;
}

function start(...args: string[]): Running {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"], HOME: directory },
  });
  let out = "";
  let err = "";
  const waiting = new Set<() => void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
    for (const check of waiting) check();
  });
  const exited = new Promise<{ code: number | null; out: string; err: string }>((resolve) => {
    child.once("close", (code) => resolve({ code, out, err }));
  });
  const says = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const check = () => {
        if (err.includes(text)) resolve();
      };
      waiting.add(check);
      check();
      void exited.then(() => reject(new Error(`ended without saying ${text}:\n${err}`)));
    });
  return { exited, says, signal: (signal) => void child.kill(signal) };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function configure(globals = ""): Promise<{ path: string; port: number }> {
  const port = await freePort();
  const path = join(directory, "k.conf");
  const section = `[a]\nHomeserver = http://127.0.0.1:${await freePort()}\nListenPort = ${port}\n`;
  writeFileSync(path, `[Default]\nLogFormat = json\nThreads = 0\n${globals}\n${section}`);
  return { path, port };
}

describe("kirjava", () => {
  it("says its version", async () => {
    const { code, out, err } = await start("--version").exited;
    expect({ code, out, err }).toEqual({ code: 0, out: `${version()}\n`, err: "" });
    expect(out).toMatch(/^\d+\.\d+\.\d+/);
  });

  it("writes help that was asked for to standard output", async () => {
    const { code, out, err } = await start("--help").exited;
    expect([code, err]).toEqual([0, ""]);
    for (const command of ["run", "check-config", "doctor"]) expect(out).toContain(command);
  });

  it.each([
    [["frob"], "error: unknown command 'frob'"],
    [["run", "--frob"], "error: unknown option '--frob'"],
    [["check-config", "--config"], "error: option '-c, --config <file>' argument missing"],
    [["run", "extra"], "error: too many arguments for 'run'. Expected 0 arguments but got 1."],
    [
      ["run", "--log-level", "loud"],
      "error: option '--log-level <level>' argument 'loud' is invalid. Allowed choices are error, warning, info, debug.",
    ],
  ])("ends with 2 for the wrong usage %j", async (args, message) => {
    const { code, out, err } = await start(...args).exited;
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain(message);
    expect(err).toContain("hint: kirjava --help lists commands and options");
  });

  it("ends with 2 and shows its help where no command is given", async () => {
    const { code, out, err } = await start().exited;
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain("Usage: kirjava");
  });

  it("ends with 1 where the configuration is wrong, with an error and a hint for each mistake", async () => {
    const path = join(directory, "k.conf");
    writeFileSync(path, "[a]\nHomserver = https://x\nListenPort = 99999\n");
    for (const command of ["run", "check-config", "doctor"]) {
      const { code, out, err } = await start(command, "--config", path).exited;
      expect([code, out]).toEqual([1, ""]);
      expect(err).toBe(
        [
          `error: ${path}:1: [a] Homeserver: expected the homeserver's URL, got nothing`,
          `error: ${path}:2: [a] "Homserver": there is no such key`,
          "hint: did you mean Homeserver? docs/configuration.md lists all keys",
          `error: ${path}:3: [a] ListenPort: expected a whole number from 0 to 65535, got "99999"`,
          "",
        ].join("\n"),
      );
    }
  });
});

describe("kirjava run", () => {
  it.each(["SIGTERM", "SIGINT"] as const)(
    "stops in order and ends with 0 on %s",
    async (signal) => {
      const { path, port } = await configure();
      const running = start("run", "--config", path);
      await running.says(`"url":"http://127.0.0.1:${port}"`);
      running.signal(signal);
      const { code, out, err } = await running.exited;
      expect([code, out]).toEqual([0, ""]);
      const messages = err
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { msg: string }).msg);
      expect(messages).toEqual([
        "starting",
        "[a] neither Trust nor IgnoreVerification is set: room keys go to all devices, verified or not",
        "listening",
        "stopping; a second signal ends at once",
        "stopped",
      ]);
    },
  );

  it("takes over the log level of the configuration on SIGHUP, and survives a wrong one", async () => {
    const { path } = await configure();
    const running = start("run", "--config", path);
    await running.says('"msg":"listening"');
    await configureLevel(path, "nonsense");
    running.signal("SIGHUP");
    await running.says("the configuration is wrong, everything stays as it was");
    await configureLevel(path, "debug");
    running.signal("SIGHUP");
    await running.says('"logLevel":"debug"');
    running.signal("SIGTERM");
    expect((await running.exited).code).toBe(0);
  });

  it("says what is in the way where its port is taken, and ends with 1", async () => {
    const { path, port } = await configure("LogLevel = error");
    const server = createServer().listen(port, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    try {
      const { code, out, err } = await start("run", "--config", path).exited;
      expect([code, out]).toEqual([1, ""]);
      expect(err).toContain("EADDRINUSE");
      expect(err).toContain("hint: another program listens there");
    } finally {
      server.close();
    }
  });

  it("ends with 1 where it cannot get its key, and makes no store", async () => {
    const { path } = await configure("LogLevel = error\nStoreKey = env:KIRJAVA_NO_SUCH_KEY");
    const { code, err } = await start("run", "--config", path).exited;
    expect(code).toBe(1);
    expect(err).toBe(
      "error: the environment variable KIRJAVA_NO_SUCH_KEY is not set\nhint: set KIRJAVA_NO_SUCH_KEY to 64 hex digits or base64 of 32 bytes\n",
    );
  });

  it("takes its options in the place of the configuration's keys", async () => {
    const { path, port } = await configure("LogLevel = error");
    const running = start("run", "-c", path, "--log-level", "info", "--json");
    await running.says(`"url":"http://127.0.0.1:${port}"`);
    running.signal("SIGTERM");
    expect((await running.exited).code).toBe(0);
  });
});

async function configureLevel(path: string, level: string): Promise<void> {
  const { readFile, writeFile } = await import("node:fs/promises");
  const text = (await readFile(path, "utf8")).replace(/^LogLevel.*\n/m, "");
  await writeFile(path, text.replace("[Default]\n", `[Default]\nLogLevel = ${level}\n`));
}
