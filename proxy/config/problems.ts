/** One thing that is wrong with a configuration file. */
export interface Problem {
  /** Line number, from 1; null where it is about the file as a whole. */
  readonly line: number | null;
  /** Name of the section, without brackets. */
  readonly section: string | null;
  /** Name of the key as documented, or as written where it is unknown. */
  readonly key: string | null;
  /** What was expected and what was got, lower case, without a full stop. */
  readonly message: string;
  /** What to do, where that is not plain from the message. */
  readonly hint?: string;
}

/** The configuration cannot be used: every problem of the file, in the order of its lines. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly code: "CONFIG_INVALID" | "CONFIG_MISSING" | "CONFIG_UNREADABLE";
  /** Path of the file. */
  readonly file: string;
  readonly problems: readonly Problem[];

  constructor(
    code: ConfigError["code"],
    file: string,
    problems: readonly Problem[],
    options: { readonly cause?: unknown } = {},
  ) {
    const sorted = [...problems].sort((a, b) => (a.line ?? Infinity) - (b.line ?? Infinity));
    super(sorted.map((problem) => describeProblem(file, problem)).join("\n"), options);
    this.code = code;
    this.file = file;
    this.problems = sorted;
  }
}

/** One line for people: `FILE:LINE: [section] Key: message`. */
export function describeProblem(file: string, problem: Problem): string {
  const place = problem.line === null ? file : `${file}:${problem.line}`;
  const section = problem.section === null ? "" : `[${problem.section}] `;
  const key = problem.key === null ? "" : `${problem.key}: `;
  return `${place}: ${section}${key}${problem.message}`;
}

/** Shows text from the file in a message: quoted, on one line, bounded, without control characters. */
export function quote(text: string): string {
  const limit = 80;
  const short = text.length > limit ? `${text.slice(0, limit)}...` : text;
  return JSON.stringify(short).replace(
    /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The candidate closest to a mistyped name, or null where none is near. Letter case does not count. */
export function closest(name: string, candidates: readonly string[]): string | null {
  if (name.length > 64) return null;
  let best: string | null = null;
  let bestDistance = Infinity;
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return bestDistance <= Math.max(1, Math.floor(name.length / 3)) ? best : null;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}
