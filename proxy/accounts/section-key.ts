import { randomBytes } from "node:crypto";
import { StoreError } from "../../crypto-store/index.ts";
import { KeyUnwrapError } from "./key-wrapping.ts";
import type { KeyWrapper } from "./key-wrapping.ts";
import { codeOf, readIfPresent, writeDurably } from "./durable-file.ts";

/** What `section.key` holds, opened. */
export interface SectionKey {
  /** Random, 32 hex digits; names the section's generation record. */
  readonly sectionId: string;
  /** Key of `section.db`. */
  readonly key: Uint8Array;
}

const LINE = /^kirjava-section-key (\d{1,9}) ([0-9a-f]{32}) ([A-Za-z0-9+/=]+)\n$/;
const VERSION = "1";

/** A new random key and section id. */
export function newSectionKey(): SectionKey {
  return { sectionId: randomBytes(16).toString("hex"), key: randomBytes(32) };
}

/** Writes the file: one line, `kirjava-section-key 1 <section id> <wrapped key, base64>`. Durable. */
export function writeSectionKey(path: string, section: SectionKey, wrapper: KeyWrapper): void {
  const wrapped = wrapper.wrap(section.key, purpose(section.sectionId)).toString("base64");
  writeDurably(path, `kirjava-section-key ${VERSION} ${section.sectionId} ${wrapped}\n`);
}

/**
 * Reads the file.
 *
 * @returns `wrong-master` where another master key wrapped it
 * @throws StoreError `STORE_MISSING`, `STORE_TOO_NEW`, `STORE_CORRUPT`, `STORE_UNSAFE`
 */
export function readSectionKey(
  path: string,
  wrapper: KeyWrapper,
): SectionKey | { readonly wrongMaster: string } {
  const text = readText(path);
  if (text === null) {
    throw new StoreError("STORE_MISSING", path, "is missing: restore it from a backup");
  }
  const match = LINE.exec(text);
  const version = match?.[1];
  if (match === null || version !== VERSION) {
    if (version !== undefined && Number(version) > Number(VERSION)) {
      throw new StoreError(
        "STORE_TOO_NEW",
        path,
        `has version ${version}, expected ${VERSION}: run the release that wrote it or a later one`,
      );
    }
    throw damaged(path);
  }
  const [, , sectionId = "", wrapped = ""] = match;
  try {
    const key = wrapper.unwrap(Buffer.from(wrapped, "base64"), purpose(sectionId));
    return { sectionId, key };
  } catch (error) {
    if (!(error instanceof KeyUnwrapError)) throw error;
    if (error.reason === "master") return { wrongMaster: error.wrappedBy ?? "unknown" };
    throw damaged(path);
  }
}

function readText(path: string): string | null {
  try {
    return readIfPresent(path);
  } catch (error) {
    throw new StoreError(
      "STORE_UNSAFE",
      path,
      `cannot be read (${codeOf(error)}): expected a plain file of this user with mode 0600`,
      { cause: error },
    );
  }
}

function purpose(sectionId: string): readonly string[] {
  return ["section.db", sectionId];
}

function damaged(path: string): StoreError {
  return new StoreError(
    "STORE_CORRUPT",
    path,
    "is damaged: restore it from a backup; without it section.db cannot be read",
  );
}
