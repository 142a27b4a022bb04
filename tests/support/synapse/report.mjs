// Reads what vitest's JSON reporter counted. Run by itself it prints the sum over report files:
// `node report.mjs FILE...`.
import { existsSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

/**
 * `{ passed, failed, skipped }` of a report file; all zero where there is none (the runner died: its
 * exit code says so). A test file that could not be loaded has no tests to count and is one failure.
 */
export function readCounts(path) {
  if (!existsSync(path)) return { passed: 0, failed: 0, skipped: 0 };
  const report = JSON.parse(readFileSync(path, "utf8"));
  const unloadable = report.testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((t) => t.status === "failed"),
  );
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + unloadable.length,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const sum = { passed: 0, failed: 0 };
  for (const path of process.argv.slice(2)) {
    const { passed, failed } = readCounts(path);
    sum.passed += passed;
    sum.failed += failed;
  }
  console.log(`${sum.passed} passed, ${sum.failed} failed`);
}
