import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { commandsAsMarkdown } from "../../../cli/documentation.ts";
import { exampleFile, keysAsMarkdown, replacePart } from "../../../proxy/config/documentation.ts";
import { readSettings } from "../../../proxy/config/read-settings.ts";
import { endpointsAsMarkdown } from "../../../proxy/matrix/endpoint-notes.ts";
import { optionNames, schema } from "../../../proxy/config/schema.ts";

const places = { home: "/h", configHome: "/h/.config", dataHome: "/h/.local/share" };
const root = new URL("../../../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");

// Where one of these fails: node scripts/generate-docs.mjs
describe("generated documents are up to date", () => {
  it.each([
    ["docs/configuration.md", "keys", keysAsMarkdown()],
    ["docs/cli.md", "commands", commandsAsMarkdown()],
    ["docs/endpoints.md", "endpoints", endpointsAsMarkdown()],
  ])("%s", (path, name, part) => {
    expect(read(path)).toBe(replacePart(read(path), name, part));
  });

  it("pantalaimon.conf.example", () => {
    expect(read("pantalaimon.conf.example")).toBe(exampleFile());
  });
});

describe("the example file", () => {
  it("is a configuration", () => {
    const { sections, logLevel } = readSettings(exampleFile(), "f", places);
    expect(sections.map(({ name }) => name)).toEqual(["example"]);
    expect(logLevel).toBe("info");
  });

  it("shows every key with a value that may stand there", () => {
    const lines = exampleFile().split("\n");
    for (const name of optionNames) {
      const line = lines.find((each) => each.replace(/^#/, "").startsWith(`${name} = `));
      expect(line, name).toBeDefined();
      const value = line?.slice(line.indexOf("=") + 2) ?? "";
      expect(() => schema[name].type.parse(value), name).not.toThrow();
    }
  });
});

describe("replacePart", () => {
  it("refuses a document without markers", () => {
    expect(() => replacePart("text", "keys", "part")).toThrow(
      "expected the markers of keys, got none",
    );
  });
});
