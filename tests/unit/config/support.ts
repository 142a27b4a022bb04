import { expect } from "vitest";

import { ConfigError } from "../../../proxy/config/problems.ts";
import { readSettings } from "../../../proxy/config/read-settings.ts";
import type { SectionSettings, Settings } from "../../../proxy/config/settings.ts";

/** Where the user of these tests has files. */
export const places = {
  home: "/home/u",
  configHome: "/home/u/.config",
  dataHome: "/home/u/.local/share",
};

/** Settings of a file's text. */
export function read(text: string): Settings {
  return readSettings(text, "f", places);
}

/** Settings of one section with the given lines, and lines of the default section. */
export function section(lines: string, defaults = ""): SectionSettings {
  const { sections } = read(`[Default]\n${defaults}\n[a]\nHomeserver = https://x\n${lines}`);
  const [first] = sections;
  if (first === undefined) throw new Error("no section");
  return first;
}

/** The error of a file's text. */
export function failure(text: string): ConfigError {
  try {
    read(text);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error("expected a ConfigError");
}

/** The lines of that error. */
export function messages(text: string): string[] {
  return failure(text).message.split("\n");
}

/** The one problem of a key in a section that is right otherwise, as [message, hint]. */
export function problemOf(lines: string): [string, string | undefined] {
  const { problems } = failure(`[a]\nHomeserver = https://x\n${lines}`);
  expect(problems.map(({ message }) => message)).toHaveLength(1);
  const [problem] = problems;
  expect(problem?.line).toBe(3);
  expect(problem?.section).toBe("a");
  return [problem?.message ?? "", problem?.hint];
}
