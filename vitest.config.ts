import { configDefaults, defineConfig } from "vitest/config";

import { excludedFiles, includedNames } from "./tests/support/manifest.ts";

const names = includedNames(process.env);
const report = process.env["KIRJAVA_TEST_REPORT"] ?? "";

export default defineConfig({
  test: {
    include: ["tests/{unit,differential,integration,scenarios}/**/*.test.ts"],
    exclude: [...configDefaults.exclude, ...excludedFiles(process.env)],
    ...(names === null ? {} : { testNamePattern: names }),
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    pool: "forks",
    ...(report === "" ? {} : { reporters: ["default", ["json", { outputFile: report }]] }),
  },
});
