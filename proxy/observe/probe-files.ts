import { accessSync, constants, existsSync, lstatSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";

import { StoreError } from "../../crypto-store/index.ts";
import { KeyWrapper } from "../accounts/key-wrapping.ts";
import { readSectionKey } from "../accounts/section-key.ts";
import { wrongMaster } from "../accounts/section-layout.ts";
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
  { dataDirectory, storeKey }: Pick<SectionSettings, "dataDirectory" | "storeKey">,
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
    const master = await resolveMasterKey(storeKey, { storeExists: true, env });
    const problem = probeMatch(dataDirectory, new KeyWrapper(master.bytes));
    return problem === null ? ok(`${source} can be read`) : fail(problem);
  } catch (error) {
    if (!(error instanceof StoreKeyError)) throw error;
    if (error.code === "KEY_INVALID" && !hasStore) {
      return fail(error.message, "make one with: openssl rand -hex 32");
    }
    const canBeMade = storeKey.kind === "file" || storeKey.kind === "keyring";
    if (error.code === "KEY_MISSING" && canBeMade && !hasStore) {
      return ok(`${source} will be made on first start`);
    }
    return fail(error.message, error.hint ?? undefined);
  }
}

/** Why the master key is not the one of the store; null where it is, or where there is no store yet. */
function probeMatch(directory: string, wrapper: KeyWrapper): string | null {
  const path = join(directory, "section.key");
  const next = join(directory, "section.key.next");
  if (!existsSync(path)) {
    if (!existsSync(join(directory, "section.db"))) return null;
    return `${path} is missing beside section.db: restore it from a backup`;
  }
  try {
    const section = readSectionKey(path, wrapper);
    if (!("wrongMaster" in section)) return null;
    if (existsSync(next) && !("wrongMaster" in readSectionKey(next, wrapper))) return null;
    return wrongMaster(path, section.wrongMaster, wrapper.masterId).message;
  } catch (error) {
    if (error instanceof StoreError) return error.message;
    throw error;
  }
}

function probeGeneration(path: string, hasStore: boolean): Finding {
  const { ok, fail } = findingsOf("generation");
  if (existsSync(path)) {
    const problem = othersReach(path);
    if (problem !== null) return fail(problem, `chmod 600 ${path}`);
    const closed = [path, dirname(path)].find((each) => !isWritable(each));
    if (closed === undefined) return ok(`${path} is there`);
    return fail(`this user cannot write to ${closed}`, "it changes with every start and stop");
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
    if (isWritable(parent)) return [ok(`${directory} will be made on first start`)];
    const hint = `make it, owned by this user, or set DataDirectory to a place below one of its own; ${parent} is not writable`;
    return [fail(`${directory} is not there and cannot be made`, hint)];
  }
  const problems: Finding[] = [];
  let files = 0;
  for (const path of walk(directory)) {
    if (++files > maxFiles) break;
    const problem = othersReach(path);
    const isClosed = problem === null && !isWritable(path);
    if (problem === null && !isClosed) continue;
    if (problems.length === 5) {
      problems.push(fail("and more of these"));
      break;
    }
    if (problem !== null) problems.push(fail(problem, `chmod -R go= ${directory}`));
    else problems.push(fail(`this user cannot write to ${path}`, "is the file system read-only?"));
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

function isWritable(path: string): boolean {
  const isDirectory = lstatSync(path).isDirectory();
  try {
    accessSync(path, constants.R_OK | constants.W_OK | (isDirectory ? constants.X_OK : 0));
    return true;
  } catch {
    return false;
  }
}

function existingParent(path: string): string {
  let parent = dirname(path);
  while (!existsSync(parent) && parent !== dirname(parent)) parent = dirname(parent);
  return parent;
}

function hasEntries(directory: string): boolean {
  return existsSync(directory) && readdirSync(directory).length > 0;
}
