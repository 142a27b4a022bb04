import type { IniDocument, IniEntry, IniSection } from "./ini.ts";
import { interpolate, InterpolationError } from "./ini.ts";
import type { Problem } from "./problems.ts";
import { closest, quote } from "./problems.ts";
import type { Option, OptionName, OptionValue } from "./schema.ts";
import { defaultSection, findOption, optionNames, schema } from "./schema.ts";
import { BadValue } from "./values.ts";

/** Where a value was found: in the section itself, in the default section, or nowhere. */
export type Origin = "section" | "default" | "built-in";

/** A value of the schema's type, and where it stands. */
export interface Found<T> {
  readonly value: T;
  readonly origin: Origin;
  /** Null for a built-in default. */
  readonly line: number | null;
}

/** Reads the keys of one section through the schema and collects what is wrong with them. */
export class SectionReader {
  readonly #section: IniSection;
  readonly #defaults: IniSection;
  readonly #problems: Problem[];

  /** @param problems - to which what is wrong is added; the same problem is added once only */
  constructor(section: IniSection, defaults: IniSection, problems: Problem[]) {
    this.#section = section;
    this.#defaults = defaults;
    this.#problems = problems;
  }

  /** Name of the section. */
  get name(): string {
    return this.#section.name;
  }

  /** The value of a key, its default, or null: there is none, or what stands there is wrong. */
  get<K extends OptionName>(name: K): OptionValue<K> | null {
    return this.find(name)?.value ?? null;
  }

  /** As `get`, with the place it was found at. */
  find<K extends OptionName>(name: K): Found<OptionValue<K>> | null {
    // The schema's members differ in the type of their values; OptionValue says which one this is.
    const option = schema[name] as Option<unknown> as Option<OptionValue<K>>;
    const key = name.toLowerCase();
    const own = this.#section.entries.get(key);
    const entry = own ?? this.#defaults.entries.get(key);
    if (entry === undefined) {
      if (option.default === null) return null;
      return { value: option.type.parse(option.default), origin: "built-in", line: null };
    }
    const origin = own === undefined ? "default" : "section";
    try {
      const text = interpolate(entry.raw, (other) => this.#raw(other));
      return { value: option.type.parse(text), origin, line: entry.line };
    } catch (error) {
      if (!(error instanceof BadValue || error instanceof InterpolationError)) throw error;
      const hint = error instanceof BadValue ? error.hint : null;
      this.report(name, error.message, hint);
      return null;
    }
  }

  /** Whether a key stands in the section or in the default section. */
  has(name: OptionName): boolean {
    return this.#entry(name) !== undefined;
  }

  /** Adds a problem with a key of this section, at the line where it stands. */
  report(name: OptionName, message: string, hint: string | null = null): void {
    const own = this.#section.entries.get(name.toLowerCase());
    const entry = this.#entry(name);
    const section = own === undefined && entry !== undefined ? this.#defaults : this.#section;
    addProblem(this.#problems, {
      line: entry?.line ?? this.#section.line,
      section: section.name,
      key: name,
      message,
      ...(hint === null ? {} : { hint }),
    });
  }

  #entry(name: OptionName): IniEntry | undefined {
    const key = name.toLowerCase();
    return this.#section.entries.get(key) ?? this.#defaults.entries.get(key);
  }

  #raw(key: string): string | null {
    const entry = this.#section.entries.get(key) ?? this.#defaults.entries.get(key);
    if (entry !== undefined) return entry.raw;
    const name = findOption(key);
    return name === null ? null : schema[name].default;
  }
}

function addProblem(problems: Problem[], problem: Problem): void {
  // A bad value in the default section is met again by every section that inherits it.
  const known = problems.some(
    (other) =>
      other.line === problem.line && other.key === problem.key && other.message === problem.message,
  );
  if (!known) problems.push(problem);
}

/** Problems with the keys of a file that need no value read: unknown ones, and global ones in a section. */
export function checkKeys(document: IniDocument): { problems: Problem[]; ignored: string[] } {
  const problems: Problem[] = [];
  const ignored: string[] = [];
  for (const section of [document.defaults, ...document.sections]) {
    for (const entry of section.entries.values()) {
      const name = findOption(entry.key);
      const at = { line: entry.line, section: section.name, key: name ?? quote(entry.key) };
      if (name === null) {
        problems.push({ ...at, ...unknownKey(entry.key) });
      } else if (schema[name].scope === "global" && section !== document.defaults) {
        if (schema[name].origin === "pantalaimon") {
          ignored.push(
            `${name} in [${section.name}] has no effect: it counts in [${defaultSection}] only`,
          );
        } else {
          problems.push({
            ...at,
            message: `expected this key in [${defaultSection}], where it counts for all sections`,
            hint: `move it to [${defaultSection}]`,
          });
        }
      }
    }
  }
  return { problems, ignored };
}

function unknownKey(key: string): { message: string; hint: string } {
  const near = closest(key, optionNames);
  const hint =
    near === null
      ? "docs/configuration.md lists all keys"
      : `did you mean ${near}? docs/configuration.md lists all keys`;
  return { message: "there is no such key", hint };
}
