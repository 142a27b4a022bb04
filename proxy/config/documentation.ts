import type { OptionName } from "./schema.ts";
import { defaultSection, optionNames, schema } from "./schema.ts";

/** Lines that enclose a generated part of a document. */
const begin = (name: string) => `<!-- begin ${name}: made by scripts/generate-docs.mjs -->`;
const end = (name: string) => `<!-- end ${name} -->`;

/**
 * Puts a generated part between its markers in a document.
 *
 * @throws Error where the document lacks the markers
 */
export function replacePart(document: string, name: string, part: string): string {
  const from = document.indexOf(begin(name));
  const to = document.indexOf(end(name));
  if (from === -1 || to < from) throw new Error(`expected the markers of ${name}, got none`);
  return `${document.slice(0, from)}${begin(name)}\n\n${part}\n\n${document.slice(to)}`;
}

/** The keys of the configuration file as Markdown, in the schema's order. */
export function keysAsMarkdown(): string {
  const parts = [
    `## Keys of [${defaultSection}] alone`,
    ...describeScope("global"),
    `## Keys of a homeserver's section, or of [${defaultSection}] for all of them`,
    ...describeScope("section"),
  ];
  return parts.join("\n\n");
}

function describeScope(scope: "global" | "section"): string[] {
  const names = optionNames.filter((name) => schema[name].scope === scope);
  return [
    ["| Key | Value | Default |", "| --- | --- | --- |", ...names.map(tableRow)].join("\n"),
    ...names.map((name) => {
      const origin = schema[name].origin === "pantalaimon" ? " (as in pantalaimon)" : "";
      return `**${name}**${origin}: ${escape(schema[name].doc)}`;
    }),
  ];
}

function tableRow(name: OptionName): string {
  return `| ${name} | ${escape(schema[name].type.allowed)} | ${escape(shownDefault(name))} |`;
}

function shownDefault(name: OptionName): string {
  return schema[name].defaultNote ?? schema[name].default ?? "";
}

function escape(text: string): string {
  return text.replace(/[|*<>_\\]/g, (character) => `\\${character}`);
}

/** An example configuration: every key with what it does, commented out where its default stands. */
export function exampleFile(): string {
  const lines = [
    "# Configuration of Kirjava: ~/.config/kirjava/kirjava.conf, or any file with --config.",
    "# pantalaimon's own pantalaimon.conf works unchanged. Comments need a line of their own.",
    "# Check a file with: kirjava check-config --config FILE",
    "",
    `# Keys of this section count for all sections below it.`,
    `[${defaultSection}]`,
    ...exampleKeys("global"),
    "",
    "# One section for each homeserver; the name is yours.",
    "[example]",
    ...exampleKeys("section"),
  ];
  return `${lines.join("\n")}\n`;
}

const exampleValues: Partial<Record<OptionName, string>> = {
  Homeserver: "https://matrix.example.org",
};

const unsetExamples: Partial<Record<OptionName, string>> = {
  UnsafeListenAddress: "10.0.0.1",
  Proxy: "http://localhost:8080",
  IgnoreVerification: "True",
  Trust: "all",
  RequireEncryption: "!room:example.org *:example.org",
  DataDirectory: "~/.local/share/kirjava",
  StoreKey: "file:~/.config/kirjava/example.key",
  UseKeyring: "No",
  GenerationFile: "~/.config/kirjava/example.generation",
};

function exampleKeys(scope: "global" | "section"): string[] {
  return optionNames
    .filter((name) => schema[name].scope === scope)
    .flatMap((name) => {
      const { doc, type } = schema[name];
      const comment = wrap(`${doc} Value: ${type.allowed}.`, 96).map((line) => `# ${line}`);
      const value = exampleValues[name];
      const shown = unsetExamples[name] ?? schema[name].default ?? "";
      return ["", ...comment, value === undefined ? `#${name} = ${shown}` : `${name} = ${value}`];
    });
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
