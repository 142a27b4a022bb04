import { accessSync, constants, existsSync, lstatSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";

import type { SectionSettings } from "../config/settings.ts";
import { StoreKeyError } from "../config/store-key-error.ts";
import { describeSource, resolveMasterKey } from "../config/store-key.ts";
import type { Finding } from "./finding.ts";
import { findingsOf } from "./finding.ts";

const maxFiles = 100_000;

/** Checks a section's key, generation number and data directory, and makes nothing. */
export async function probeFiles(
  section: Pick<SectionSettings, "dataDirectory" | "storeKey">,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Finding[]> {
  const hasStore = hasEntries(section.dataDirectory);
  return [
    ...probeData(section.dataDirectory),
    await probeKey(section, hasStore, env),
    probeGeneration(section.storeKey.generationPath, hasStore),
  ];
}

async function probeKey(
  { storeKey }: Pick<SectionSettings, "storeKey">,
  hasStore: boolean,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Finding> {
  const { ok, fail, skip } = findingsOf("key");
  const source = describeSource(storeKey);
  if (storeKey.kind === "systemd" && env["CREDENTIALS_DIRECTORY"] === undefined) {
    return skip(`${source} can be checked within the service only`);
  }
  try {
    // As if there were a store, so that no key is made.
    await resolveMasterKey(storeKey, { storeExists: true, env });
    return ok(`${source} can be read`);
  } catch (error) {
    if (!(error instanceof StoreKeyError)) throw error;
    const canBeMade = storeKey.kind === "file" || storeKey.kind === "keyring";
    if (error.code === "KEY_MISSING" && canBeMade && !hasStore) {
      return ok(`${source} will be made on first start`);
    }
    return fail(error.message, error.hint ?? undefined);
  }
}

function probeGeneration(path: string, hasStore: boolean): Finding {
  const { ok, fail } = findingsOf("generation");
  if (existsSync(path)) {
    const problem = othersReach(path);
    return problem === null ? ok(`${path} is there`) : fail(problem, `chmod 600 ${path}`);
  }
  if (!hasStore) return ok(`${path} will be made on first start`);
  return fail(
    `${path} is not there, so nothing shows that the store is not an old copy`,
    "bring the file back from where it went, or set GenerationFile to it",
  );
}

function probeData(directory: string): Finding[] {
  const { ok, fail } = findingsOf("data");
  if (!existsSync(directory)) {
    const parent = existingParent(directory);
    try {
      accessSync(parent, constants.W_OK | constants.X_OK);
      return [ok(`${directory} will be made on first start`)];
    } catch {
      return [fail(`${directory} is not there and cannot be made`, `make ${parent} writable`)];
    }
  }
  const problems: Finding[] = [];
  let files = 0;
  for (const path of walk(directory)) {
    if (++files > maxFiles) break;
    const problem = othersReach(path);
    if (problem === null) continue;
    if (problems.length === 5) {
      problems.push(fail("and more of these"));
      break;
    }
    problems.push(fail(problem, `chmod -R go= ${directory}`));
  }
  if (problems.length > 0) return problems;
  return [ok(`${directory} belongs to this user alone (${files - 1} files)`)];
}

function othersReach(path: string): string | null {
  const stat = lstatSync(path);
  const user = process.getuid?.() ?? stat.uid;
  if (stat.isSymbolicLink()) return `expected no symbolic link at ${path}`;
  if (stat.uid !== user) return `expected ${path} to belong to user ${user}, got user ${stat.uid}`;
  const mode = stat.mode & 0o777;
  if ((mode & 0o077) === 0) return null;
  const expected = stat.isDirectory() ? "0700" : "0600";
  return `expected mode ${expected} for ${path}, got 0${mode.toString(8)}: others can reach it`;
}

function* walk(path: string): Generator<string> {
  yield path;
  if (!lstatSync(path).isDirectory()) return;
  for (const entry of readdirSync(path)) yield* walk(join(path, entry));
}

function existingParent(path: string): string {
  let parent = dirname(path);
  while (!existsSync(parent) && parent !== dirname(parent)) parent = dirname(parent);
  return parent;
}

function hasEntries(directory: string): boolean {
  return existsSync(directory) && readdirSync(directory).length > 0;
}
