import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");

/** A source file, its path from the top with forward slashes. */
export interface Source {
  readonly path: string;
  readonly text: string;
  readonly lines: number;
}

/** An import: which file, and what it names. */
export interface Import {
  readonly from: string;
  /** A path from the top for a file of our own, else the package's name. */
  readonly to: string;
  readonly isType: boolean;
  readonly isLazy: boolean;
}

const skipped = new Set(["node_modules", ".git", "dist", ".synapse"]);

/** All files below a folder whose names end so. */
export function sources(folder: string, ...endings: readonly string[]): Source[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return skipped.has(entry.name) ? [] : sources(path, ...endings);
    if (!entry.isFile() || !endings.some((ending) => entry.name.endsWith(ending))) return [];
    const text = readFileSync(join(root, path), "utf8");
    return [{ path, text, lines: text.split("\n").length - 1 }];
  });
}

const statement =
  /^(?:import|export)\s+(type\s)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/gm;

/** What a file imports, statically or when it is needed. */
export function importsOf({ path, text }: Source): Import[] {
  return [...text.matchAll(statement)].map(([, type, fixed, lazy]) => {
    const target = fixed ?? lazy ?? "";
    return {
      from: path,
      to: target.startsWith(".") ? relative(root, resolve(root, dirname(path), target)) : target,
      isType: type !== undefined,
      isLazy: lazy !== undefined,
    };
  });
}

/** The folder of proxy/ in which a file lies; the file itself where it lies at its top. */
export function partOf(path: string): string {
  const [top = "", second = ""] = path.split("/");
  return top === "proxy" ? `proxy/${second}` : top;
}
