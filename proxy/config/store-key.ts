import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";

import { createKeyFile, decodeKey, newKey, readKeyFile } from "./key-file.ts";
import { createKeyringKey, readKeyringKey } from "./keyring.ts";
import type { Settings, StoreKeySource } from "./settings.ts";
import { StoreKeyError } from "./store-key-error.ts";

/** The key that opens the stores of a section. */
export interface MasterKey {
  /** 32 bytes; not enumerable where `resolveMasterKey` made it, so that no dump of the object shows it. */
  readonly bytes: Uint8Array;
  /** File for the number that shows that an older store was put back; kept apart from the store. */
  readonly generationPath: string;
}

/** What there is besides the key. */
export interface ResolveOptions {
  /**
   * Whether any store opened by this key is already there. Then a missing key is an error; else
   * `file:` and `keyring:` make one.
   */
  readonly storeExists: boolean;
  /** Defaults to the process's own. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * Gets a section's master key from where the configuration says. Where several sections have one
 * source, use `resolveMasterKeys`.
 *
 * @throws StoreKeyError
 */
export async function resolveMasterKey(
  source: StoreKeySource,
  options: ResolveOptions,
): Promise<MasterKey> {
  const bytes = await resolveBytes(source, options).catch((error: unknown) => {
    const isInvalid = error instanceof StoreKeyError && error.code === "KEY_INVALID";
    if (!isInvalid || !options.storeExists) throw error;
    // Whoever writes a new key over a damaged one loses what could be mended.
    const hint = "a store is there, which a new key cannot open: bring its key back from a backup";
    throw new StoreKeyError(error.code, error.message, { hint, cause: error });
  });
  if (!options.storeExists) makeGenerationDirectory(source.generationPath);
  const key = { generationPath: source.generationPath };
  return Object.defineProperty(key, "bytes", { value: bytes, enumerable: false }) as MasterKey;
}

/**
 * Gets the master keys of all sections, by section name. A key that several sections share is made
 * only if none of them has a store yet.
 *
 * @throws StoreKeyError
 */
export async function resolveMasterKeys(
  settings: Pick<Settings, "sections">,
  storeExists: (section: Settings["sections"][number]) => boolean,
): Promise<Map<string, MasterKey>> {
  const withStore = new Set(
    settings.sections.filter(storeExists).map(({ storeKey }) => describeSource(storeKey)),
  );
  const keys = new Map<string, MasterKey>();
  for (const { name, storeKey } of settings.sections) {
    const options = { storeExists: withStore.has(describeSource(storeKey)) };
    keys.set(name, await resolveMasterKey(storeKey, options));
  }
  return keys;
}

/** The source as it is written in the configuration. */
export function describeSource(source: StoreKeySource): string {
  switch (source.kind) {
    case "file":
      return `file:${source.path}`;
    case "env":
      return `env:${source.variable}`;
    case "systemd":
      return `systemd:${source.credential}`;
    case "keyring":
      return `keyring:${source.account}`;
  }
}

async function resolveBytes(source: StoreKeySource, options: ResolveOptions): Promise<Uint8Array> {
  const env = options.env ?? process.env;
  switch (source.kind) {
    case "file":
      return resolveFile(source.path, options.storeExists);
    case "env":
      return resolveVariable(source.variable, env[source.variable]);
    case "systemd":
      return resolveCredential(source.credential, env["CREDENTIALS_DIRECTORY"]);
    case "keyring":
      return resolveKeyring(source.account, options.storeExists);
  }
}

function resolveFile(path: string, storeExists: boolean): Uint8Array {
  const known = readKeyFile(path, true);
  if (known !== null) return known;
  if (storeExists) throw missing(`the key file ${path} is not there`);
  const key = newKey();
  if (createKeyFile(path, key)) return key;
  const theirs = readKeyFile(path, true);
  if (theirs === null) throw missing(`the key file ${path} was taken away while it was made`);
  return theirs;
}

function resolveVariable(variable: string, value: string | undefined): Uint8Array {
  if (value === undefined || value === "") {
    throw new StoreKeyError("KEY_MISSING", `the environment variable ${variable} is not set`, {
      hint: `set ${variable} to 64 hex digits or base64 of 32 bytes`,
    });
  }
  return decodeKey(Buffer.from(value), `the environment variable ${variable}`, false);
}

function resolveCredential(credential: string, directory: string | undefined): Uint8Array {
  if (directory === undefined || directory === "") {
    throw new StoreKeyError(
      "KEY_MISSING",
      "the environment variable CREDENTIALS_DIRECTORY is not set",
      {
        hint: `run as a systemd service with LoadCredential=${credential}:PATH or LoadCredentialEncrypted=`,
      },
    );
  }
  // systemd sets owner and mode, and grants the service's user access by other means than the mode.
  const key = readKeyFile(join(directory, credential), false);
  if (key !== null) return key;
  throw new StoreKeyError("KEY_MISSING", `systemd passed no credential ${credential}`, {
    hint: `add LoadCredential=${credential}:PATH to the service`,
  });
}

async function resolveKeyring(account: string, storeExists: boolean): Promise<Uint8Array> {
  const known = await readKeyringKey(account);
  if (known !== null) return known;
  if (storeExists) throw missing(`the keyring has no key for kirjava / ${account}`);
  const key = newKey();
  await createKeyringKey(account, key);
  return key;
}

function missing(what: string): StoreKeyError {
  return new StoreKeyError("KEY_MISSING", `${what}, but a store made with it is`, {
    hint: "bring the key back from a backup; or, to begin anew with new devices, move the data directory away",
  });
}

function makeGenerationDirectory(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
    throw new StoreKeyError("KEY_UNREADABLE", `${dirname(path)} cannot be made (${code})`, {
      hint: "set GenerationFile to a file that this user can write, outside of DataDirectory",
      cause: error,
    });
  }
}
