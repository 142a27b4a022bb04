import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import ts from "typescript";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/**
 * Compiles the crypto store as it is in the tree into a directory: Node runs no TypeScript, and tests have child processes and
 * workers of their own.
 *
 * @returns the URL of its index module.
 */
export function compileStore(directory: string): string {
  const compilerOptions: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
    rewriteRelativeImportExtensions: true,
  };
  for (const path of ts.sys.readDirectory(join(ROOT, "crypto-store"), [".ts"])) {
    const target = join(directory, relative(ROOT, path)).replace(/\.ts$/, ".js");
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(
      target,
      ts.transpileModule(readFileSync(path, "utf8"), { compilerOptions }).outputText,
    );
  }
  writeFileSync(join(directory, "package.json"), '{"type":"module"}');
  symlinkSync(join(ROOT, "node_modules"), join(directory, "node_modules"));
  return pathToFileURL(join(directory, "crypto-store/index.js")).href;
}
