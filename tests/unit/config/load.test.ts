import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { loadSettings } from "../../../proxy/config/load.ts";
import { ConfigError } from "../../../proxy/config/problems.ts";

const minimal = "[a]\nTrust = all\nHomeserver = https://x\n";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "kirjava-load-"));
});
afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

function put(path: string, content: string | Buffer): string {
  const file = join(home, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
}

function failure(o: Parameters<typeof loadSettings>[0]): Pick<ConfigError, "code" | "message"> {
  try {
    loadSettings(o);
  } catch (error) {
    if (error instanceof ConfigError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("expected a ConfigError");
}

describe("loadSettings", () => {
  it("takes the file that it is given", () => {
    const file = put("my.conf", minimal);
    const loaded = loadSettings({ configPath: file, env: { HOME: home } });
    expect(loaded.configPath).toBe(file);
    expect(loaded.settings.notices).toEqual([]);
    expect(loaded.settings.sections[0]?.dataDirectory).toBe(join(home, ".local/share/kirjava/a"));
  });

  it("prefers its own file to pantalaimon's", () => {
    put(".config/pantalaimon/pantalaimon.conf", minimal);
    const file = put(".config/kirjava/kirjava.conf", minimal);
    expect(loadSettings({ env: { HOME: home } }).configPath).toBe(file);
  });

  it("takes pantalaimon's file where it has none, and tells so", () => {
    const file = put(".config/pantalaimon/pantalaimon.conf", minimal);
    const { configPath, settings } = loadSettings({ env: { HOME: home } });
    expect(configPath).toBe(file);
    expect(settings.notices).toEqual([
      {
        level: "info",
        message: `the configuration is pantalaimon's own, ${file}: there is no ${join(home, ".config/kirjava/kirjava.conf")}`,
      },
    ]);
  });

  it("follows the XDG variables, but not relative ones", () => {
    put("x/kirjava/kirjava.conf", minimal);
    const env = { HOME: home, XDG_CONFIG_HOME: join(home, "x"), XDG_DATA_HOME: "/data" };
    const [section] = loadSettings({ env }).settings.sections;
    expect(section?.dataDirectory).toBe("/data/kirjava/a");
    expect(section?.storeKey).toMatchObject({ path: join(home, "x/kirjava/a.key") });
    expect(failure({ env: { HOME: home, XDG_CONFIG_HOME: "x" } }).code).toBe("CONFIG_MISSING");
  });

  it("names both places where there is no file", () => {
    expect(failure({ env: { HOME: "/nowhere" } })).toEqual({
      code: "CONFIG_MISSING",
      message:
        "/nowhere/.config/kirjava/kirjava.conf: there is no configuration file, nor is there /nowhere/.config/pantalaimon/pantalaimon.conf",
    });
    expect(failure({ configPath: "/nowhere/x.conf", env: {} })).toEqual({
      code: "CONFIG_MISSING",
      message: "/nowhere/x.conf: there is no such file",
    });
  });

  it("does not pass over its own file when that is wrong", () => {
    put(".config/pantalaimon/pantalaimon.conf", minimal);
    const file = put(".config/kirjava/kirjava.conf", "[a]\n");
    expect(failure({ env: { HOME: home } })).toEqual({
      code: "CONFIG_INVALID",
      message: `${file}:1: [a] Homeserver: expected the homeserver's URL, got nothing`,
    });
  });

  it("refuses what it cannot read as text", () => {
    const latin1 = put("latin1.conf", Buffer.from("# \xe4\n", "latin1"));
    expect(failure({ configPath: latin1, env: {} })).toEqual({
      code: "CONFIG_UNREADABLE",
      message: `${latin1}: expected UTF-8 text, got other bytes`,
    });
    const large = put("large.conf", "#".repeat(1024 * 1024 + 1));
    expect(failure({ configPath: large, env: {} }).message).toBe(
      `${large}: expected at most 1048576 bytes, got 1048577`,
    );
    expect(failure({ configPath: home, env: {} })).toEqual({
      code: "CONFIG_UNREADABLE",
      message: `${home}: the file cannot be read (EISDIR)`,
    });
  });

  it("reads a file with a byte order mark and CRLF", () => {
    const file = put("bom.conf", `\ufeff${minimal.replaceAll("\n", "\r\n")}`);
    expect(loadSettings({ configPath: file, env: {} }).settings.sections).toHaveLength(1);
  });
});
