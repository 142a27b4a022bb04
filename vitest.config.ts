import { configDefaults, defineConfig } from "vitest/config";

import { excludedFiles } from "./tests/support/manifest.ts";

const report = process.env["KIRJAVA_TEST_REPORT"] ?? "";

export default defineConfig({
  test: {
    include: ["tests/{unit,differential,integration,scenarios}/**/*.test.ts"],
    exclude: [...configDefaults.exclude, ...excludedFiles(process.env)],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    pool: "forks",
    ...(report === "" ? {} : { reporters: ["default", ["json", { outputFile: report }]] }),
  },
});
