import { redactText } from "../proxy/observe/redact.ts";
import { ConfigError, describeProblem } from "../proxy/config/problems.ts";

/** Where a command writes, and what it knows of its surroundings. */
export interface Output {
  /** Results, and nothing else: standard output. */
  readonly out: (text: string) => void;
  /** Errors, hints, progress: standard error. */
  readonly err: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** What an operator is told of a failure. */
export interface Failure {
  /** Lower case, without a full stop. */
  readonly message: string;
  /** What to do about it. */
  readonly hint: string | null;
  /** For programs: which kind of failure it is. */
  readonly code: string | null;
}

/** Turns anything thrown into what the operator is told: one failure, or one for each wrong line of a file. */
export function failuresOf(error: unknown): Failure[] {
  if (error instanceof ConfigError) {
    return error.problems.map((problem) => ({
      message: describeProblem(error.file, problem),
      hint: problem.hint ?? null,
      code: error.code,
    }));
  }
  if (!(error instanceof Error)) return [{ message: "unknown error", hint: null, code: null }];
  const code = "code" in error && typeof error.code === "string" ? error.code : null;
  const hint = "hint" in error && typeof error.hint === "string" ? error.hint : null;
  // Ours name their code and what to do; of others the kind is worth knowing too.
  const known = hint !== null || code !== null || error.name === "Error";
  const message = redactText(known ? error.message : `${error.name}: ${error.message}`);
  return [{ message, hint: hint ?? knownHint(code, "path" in error), code }];
}

const knownHints = new Map([
  ["EADDRINUSE", "another program listens there, perhaps this daemon already: see kirjava doctor"],
  ["EADDRNOTAVAIL", "this machine does not have that address"],
  ["ENOSPC", "the disk is full: make room where DataDirectory and the key file are"],
  ["EDQUOT", "this user's quota is full: make room where DataDirectory and the key file are"],
  ["EROFS", "that file system is read-only: mount it writable, or set DataDirectory to another"],
]);

/** What to do about an error of the system, which names its file where it is about one. */
function knownHint(code: string | null, isFile: boolean): string | null {
  if (code !== "EACCES" && code !== "EPERM") return knownHints.get(code ?? "") ?? null;
  if (!isFile) return "this user may not listen there: take a port from 1024";
  const user = process.getuid?.();
  const whose = user === undefined ? "this user" : `user ${user}`;
  return `the file and its directory must belong to ${whose}, or set DataDirectory to a place that does`;
}

/** Writes failures as `error:` and `hint:` lines to standard error. */
export function printFailures(output: Output, failures: readonly Failure[]): void {
  for (const { message, hint } of failures) {
    output.err(`error: ${message}\n`);
    if (hint !== null) output.err(`hint: ${hint}\n`);
  }
}

/** Writes one JSON document to standard output. */
export function printJson(output: Output, value: unknown): void {
  output.out(`${JSON.stringify(value, null, 2)}\n`);
}
