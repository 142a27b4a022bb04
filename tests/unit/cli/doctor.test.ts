import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { runProgram } from "../../../cli/program.ts";

let home: string;
let path: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "kirjava-doctor-"));
  path = join(home, "k.conf");
});
afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

async function doctor(text: string, ...args: string[]) {
  writeFileSync(path, text);
  let out = "";
  let err = "";
  const code = await runProgram(["doctor", "--config", path, ...args], {
    out: (each) => (out += each),
    err: (each) => (err += each),
    env: { HOME: home },
  });
  return { code, out, err };
}

describe("doctor", () => {
  it("finds all in order and ends with 0, having changed nothing", async () => {
    const flows = [{ type: "m.login.password" }, { type: "m.login.application_service" }];
    const server = createServer((_request, response) => {
      response.end(JSON.stringify({ versions: ["v1.16"], flows }));
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const { code, out, err } = await doctor(`[a]\nHomeserver = ${url}\nListenPort = 0\n`);
      expect([code, err]).toEqual([0, ""]);
      expect(out).toBe(
        [
          `ok    node: ${process.versions.node}`,
          `ok    configuration: ${path}`,
          `ok    [a] homeserver: ${url}/ answers: v1.16`,
          "skip  [a] version: the homeserver does not say here which software it is",
          "ok    [a] login: password, application service",
          `ok    [a] data: ${home}/.local/share/kirjava/a will be made on first start`,
          `ok    [a] key: file:${home}/.config/kirjava/a.key will be made on first start`,
          `ok    [a] generation: ${home}/.config/kirjava/a.generation will be made on first start`,
          "ok    [a] port: any free port is taken",
          "",
        ].join("\n"),
      );
      expect(existsSync(join(home, ".local"))).toBe(false);
      expect(existsSync(join(home, ".config"))).toBe(false);
    } finally {
      server.close();
    }
  });

  it("ends with 1 where something fails, section by section", async () => {
    const text =
      "[a]\nHomeserver = http://127.0.0.1:1\nListenPort=0\n[b]\nHomeserver = http://127.0.0.1:1\nListenPort=0\n";
    const { code, out, err } = await doctor(text, "--json");
    expect([code, err]).toEqual([1, ""]);
    const result = JSON.parse(out) as { ok: boolean; findings: unknown[] };
    expect(result.ok).toBe(false);
    for (const section of ["a", "b"]) {
      expect(result.findings).toContainEqual({
        section,
        status: "fail",
        check: "homeserver",
        message: "http://127.0.0.1:1/ cannot be reached: ECONNREFUSED",
        hint: "is the homeserver running, and is the port right?",
      });
    }
  });

  it("warns of a configuration that others can change, or read a password in", async () => {
    const proxied =
      "[a]\nHomeserver = http://127.0.0.1:1\nListenPort = 0\nProxy = http://u:hunter2@127.0.0.1:1\n";
    writeFileSync(path, "");
    chmodSync(path, 0o644);
    const readable = await doctor(proxied);
    expect(readable.out).toContain(
      `warn  configuration: others can read the proxy's password in ${path}\n      hint: chmod go= ${path}\n`,
    );
    expect(readable.out).not.toContain("hunter2");
    chmodSync(path, 0o666);
    expect((await doctor(proxied)).out).toContain(
      `warn  configuration: others can change ${path}\n`,
    );
    chmodSync(path, 0o600);
    expect((await doctor(proxied)).out).toContain(`ok    configuration: ${path}\n`);
  });
});
