import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { runProgram } from "../../../cli/program.ts";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kirjava-check-"));
  path = join(directory, "k.conf");
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

async function check(text: string, ...args: string[]) {
  writeFileSync(path, text);
  let out = "";
  let err = "";
  const code = await runProgram(["check-config", "--config", path, ...args], {
    out: (each) => (out += each),
    err: (each) => (err += each),
    env: { HOME: "/home/u" },
  });
  return { code, out, err };
}

const proxied =
  "[a]\nHomeserver = https://x\nProxy = http://u:hunter2@localhost:8080\nTrust = all\n";

describe("check-config", () => {
  it("shows what every key comes to, without the proxy's credentials", async () => {
    const { code, out, err } = await check(proxied);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain(`${path}: ok\n\n[a]\n  homeserver: https://x/\n`);
    expect(out).toContain("  proxy: http://localhost:8080\n");
    expect(out).toContain("  sendDeadline: 4s\n");
    expect(out).toContain("  storeKey: file:/home/u/.config/kirjava/a.key\n");
    expect(out).not.toContain("hunter2");
  });

  it("shows notices", async () => {
    const { out } = await check(`${proxied}SSL = False\n`);
    expect(out).toMatch(
      /\nnote: \[a\] SSL = False: the homeserver's TLS certificate is not verified\n$/,
    );
  });

  it("writes one JSON document, also of mistakes", async () => {
    const good = await check(proxied, "--json");
    expect([good.code, good.err]).toEqual([0, ""]);
    expect(JSON.parse(good.out)).toMatchObject({
      ok: true,
      file: path,
      logLevel: "info",
      sections: [{ name: "a", listen: "http://127.0.0.1:8009", trust: "all" }],
      notices: [],
    });
    expect(good.out).not.toContain("hunter2");
    const bad = await check("[a]\nHomeserver = x.org", "--json");
    expect([bad.code, bad.err]).toEqual([1, ""]);
    expect(JSON.parse(bad.out)).toEqual({
      ok: false,
      errors: [
        {
          code: "CONFIG_INVALID",
          message: `${path}:2: [a] Homeserver: expected an http or https URL such as https://matrix.example.org, got "x.org"`,
          hint: "did you mean https://x.org?",
        },
      ],
    });
  });
});
