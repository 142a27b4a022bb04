import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { defaultConfigFiles, placesOf } from "./places.ts";
import { ConfigError } from "./problems.ts";
import { readSettings } from "./read-settings.ts";
import type { Notice, Settings } from "./settings.ts";

/** A configuration that was read. */
export interface LoadedSettings {
  readonly settings: Settings;
  /** Absolute path of the file that it was read from. */
  readonly configPath: string;
}

const maxSizeBytes = 1024 * 1024;

/**
 * Reads the configuration: the given file, else `$XDG_CONFIG_HOME/kirjava/kirjava.conf`, else
 * pantalaimon's own, which a notice tells.
 *
 * @throws ConfigError where there is no file, it cannot be read, or something in it is wrong
 */
export function loadSettings(o: {
  readonly configPath?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}): LoadedSettings {
  const places = placesOf(o.env);
  if (o.configPath !== undefined) {
    const path = resolve(o.configPath);
    const text = readText(path);
    if (text === null) throw missing(path, "there is no such file", "give the path of a file");
    return { settings: readSettings(text, path, places), configPath: path };
  }
  const [own, pantalaimon] = defaultConfigFiles(places);
  const text = readText(own);
  if (text !== null) return { settings: readSettings(text, own, places), configPath: own };
  const theirs = readText(pantalaimon);
  if (theirs === null) {
    const hint = `write one (pantalaimon.conf.example shows how), or name one with --config FILE`;
    throw missing(own, `there is no configuration file, nor is there ${pantalaimon}`, hint);
  }
  const settings = readSettings(theirs, pantalaimon, places);
  const notice: Notice = {
    level: "info",
    message: `the configuration is pantalaimon's own, ${pantalaimon}: there is no ${own}`,
  };
  return {
    settings: { ...settings, notices: [notice, ...settings.notices] },
    configPath: pantalaimon,
  };
}

function missing(path: string, message: string, hint: string): ConfigError {
  return new ConfigError("CONFIG_MISSING", path, [
    { line: null, section: null, key: null, message, hint },
  ]);
}

function readText(path: string): string | null {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    const hint =
      code === "EISDIR"
        ? "name the file in it"
        : `make it readable for the user that runs this (${process.getuid?.() ?? "unknown"})`;
    throw unreadable(path, `the file cannot be read (${code})`, { cause: error, hint });
  }
  if (bytes.length > maxSizeBytes) {
    throw unreadable(path, `expected at most ${maxSizeBytes} bytes, got ${bytes.length}`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    const hint = "save it as UTF-8";
    throw unreadable(path, "expected UTF-8 text, got other bytes", { cause: error, hint });
  }
}

function unreadable(
  path: string,
  message: string,
  o: { readonly cause?: unknown; readonly hint?: string } = {},
): ConfigError {
  const hint = o.hint === undefined ? {} : { hint: o.hint };
  return new ConfigError(
    "CONFIG_UNREADABLE",
    path,
    [{ line: null, section: null, key: null, message, ...hint }],
    { cause: o.cause },
  );
}

function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown error";
}
