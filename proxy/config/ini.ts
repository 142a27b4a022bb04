import type { Problem } from "./problems.ts";
import { quote } from "./problems.ts";

/** One `key = value` of a file. */
export interface IniEntry {
  /** The key as written. */
  readonly key: string;
  /** The value, its lines joined by `\n`, not yet interpolated. */
  readonly raw: string;
  /** Line of the key, from 1. */
  readonly line: number;
}

/** One section: its entries by lower-case key. */
export interface IniSection {
  readonly name: string;
  readonly line: number;
  readonly entries: ReadonlyMap<string, IniEntry>;
}

/** A file's sections, and what could not be read in it. */
export interface IniDocument {
  /** Entries of the section that the others inherit from. */
  readonly defaults: IniSection;
  /** In the order of the file, without the default section. */
  readonly sections: readonly IniSection[];
  readonly problems: readonly Problem[];
}

interface OpenSection {
  readonly name: string;
  readonly line: number;
  readonly entries: Map<string, IniEntry>;
}

interface OpenEntry {
  readonly key: string;
  readonly line: number;
  readonly lines: string[];
}

const header = /^\[(.+)\]/s;
const option = /^(.*?)\s*[=:]\s*(.*)$/s;

/**
 * Reads INI text as Python's `configparser.ConfigParser` does with its defaults: `=` or `:`, whole-line
 * comments with `#` or `;` and no others, indented lines continue a value, empty lines within a value
 * count, duplicates are refused. What Python does not take at all, a byte order mark, is skipped. Never throws: what is wrong
 * is in `problems`, and reading goes on behind it.
 *
 * @param defaultSection - name of the section that the others inherit from; it may come more than once
 * @see https://docs.python.org/3/library/configparser.html#supported-ini-file-structure
 */
export function parseIni(text: string, defaultSection: string): IniDocument {
  const reader = new IniReader(defaultSection);
  const lines = text.replace(/^\ufeff/, "").split(/\r\n|\n|\r/);
  lines.forEach((line, index) => reader.read(line, index + 1));
  return reader.finish();
}

class IniReader {
  readonly #defaults: OpenSection;
  readonly #sections = new Map<string, OpenSection>();
  readonly #problems: Problem[] = [];
  #section: OpenSection | null = null;
  #entry: OpenEntry | null = null;
  #indent = 0;
  #reportedMissingHeader = false;

  constructor(defaultSection: string) {
    this.#defaults = { name: defaultSection, line: 1, entries: new Map() };
  }

  read(line: string, number: number): void {
    const value = line.trim();
    if (value.startsWith("#") || value.startsWith(";")) return;
    if (value === "") {
      // An empty line may stand within a value, so the indent that ends the value stays.
      this.#entry?.lines.push("");
      return;
    }
    const indent = line.search(/\S/);
    if (this.#entry !== null && indent > this.#indent) {
      this.#entry.lines.push(value);
      return;
    }
    this.#indent = indent;
    this.#closeEntry();
    const name = header.exec(value)?.[1];
    if (name !== undefined) this.#openSection(name, number);
    else this.#openEntry(value, number);
  }

  finish(): IniDocument {
    this.#closeEntry();
    return {
      defaults: this.#defaults,
      sections: [...this.#sections.values()],
      problems: this.#problems,
    };
  }

  #openSection(name: string, line: number): void {
    if (name === this.#defaults.name) {
      this.#section = this.#defaults;
      return;
    }
    const earlier = this.#sections.get(name);
    if (earlier !== undefined) {
      this.#report(line, name, null, `this section is already there, at line ${earlier.line}`, {
        hint: "section names must be unique: merge the two, or rename one",
      });
      // Read on into a section that nobody sees, so that its own mistakes are reported as well.
      this.#section = { name, line, entries: new Map() };
      return;
    }
    this.#section = { name, line, entries: new Map() };
    this.#sections.set(name, this.#section);
  }

  #openEntry(text: string, line: number): void {
    if (this.#section === null) {
      if (this.#reportedMissingHeader) return;
      this.#reportedMissingHeader = true;
      this.#report(
        line,
        null,
        null,
        `expected a section such as [example] before the first key, got ${quote(beforeValue(text))}`,
      );
      return;
    }
    const match = option.exec(text);
    const key = match?.[1]?.trimEnd() ?? "";
    if (match === null || key === "") {
      this.#report(
        line,
        this.#section.name,
        null,
        `expected "key = value", "[section]" or a comment, got ${quote(beforeValue(text))}`,
      );
      return;
    }
    this.#entry = { key, line, lines: [match[2]?.trim() ?? ""] };
  }

  #closeEntry(): void {
    const entry = this.#entry;
    const section = this.#section;
    this.#entry = null;
    if (entry === null || section === null) return;
    const earlier = section.entries.get(entry.key.toLowerCase());
    if (earlier !== undefined) {
      const message = `this key is already set in this section, at line ${earlier.line}`;
      this.#report(entry.line, section.name, entry.key, message, { hint: "keep one of the two" });
      return;
    }
    section.entries.set(entry.key.toLowerCase(), {
      key: entry.key,
      line: entry.line,
      raw: entry.lines.join("\n").trimEnd(),
    });
  }

  #report(
    line: number,
    section: string | null,
    key: string | null,
    message: string,
    extra: { readonly hint?: string } = {},
  ): void {
    this.#problems.push({ line, section, key, message, ...extra });
  }
}

// A line that is no "key = value" may be a secret pasted by mistake: show its start only.
function beforeValue(text: string): string {
  const start = (text.split(/[=:]/, 1)[0] ?? "").trimEnd();
  return start.length > 24 ? `${start.slice(0, 8)}...` : start;
}

const maxDepth = 10;

/** A value refers to something that is not there, or its `%` is none that configparser knows. */
export class InterpolationError extends Error {
  override readonly name = "InterpolationError";
}

/**
 * Replaces `%(name)s` by the value of another key and `%%` by a percent sign, as Python's
 * `BasicInterpolation` does.
 *
 * @param lookUp - raw value of a lower-case key, or null
 * @throws InterpolationError
 * @see https://docs.python.org/3/library/configparser.html#interpolation-of-values
 */
export function interpolate(raw: string, lookUp: (key: string) => string | null): string {
  return expand(raw, lookUp, 1);
}

function expand(raw: string, lookUp: (key: string) => string | null, depth: number): string {
  if (depth > maxDepth) {
    throw new InterpolationError(`%(...)s refers to itself, or is nested over ${maxDepth} deep`);
  }
  return raw.replace(/%(?:%|\(([^)]+)\)s|)/g, (match, name: string | undefined) => {
    if (match === "%%") return "%";
    if (name === undefined) {
      throw new InterpolationError(
        'a percent sign is written "%%", or refers to a key as "%(key)s"',
      );
    }
    const value = lookUp(name.toLowerCase());
    if (value === null)
      throw new InterpolationError(`${quote(match)} refers to a key that is not set`);
    return value.includes("%") ? expand(value, lookUp, depth + 1) : value;
  });
}
