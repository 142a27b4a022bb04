import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";

const PROGRAM = fileURLToPath(new URL("../../support/synapse/report.mjs", import.meta.url));
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kirjava-report-test-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** Writes a report as vitest's JSON reporter does, with one file of the given test states. */
function report(name: string, fileStatus: "passed" | "failed", states: readonly string[]): string {
  const path = join(folder, name);
  const count = (state: string) => states.filter((other) => other === state).length;
  const text = JSON.stringify({
    numPassedTests: count("passed"),
    numFailedTests: count("failed"),
    numPendingTests: count("skipped"),
    numTodoTests: 0,
    testResults: [{ status: fileStatus, assertionResults: states.map((status) => ({ status })) }],
  });
  writeFileSync(path, text);
  return path;
}

function sum(...paths: string[]): string {
  return spawnSync(process.execPath, [PROGRAM, ...paths], { encoding: "utf8" }).stdout;
}

it("sums passed and failed tests over the reports", () => {
  const one = report("one.json", "failed", ["passed", "passed", "failed"]);
  const two = report("two.json", "passed", ["passed", "skipped"]);
  expect(sum(one, two)).toBe("3 passed, 1 failed\n");
});

it("counts a file that could not be loaded as a failure", () => {
  const broken = report("broken.json", "failed", []);
  expect(sum(broken)).toBe("0 passed, 1 failed\n");
});

it("counts a file whose set-up failed as a failure although its tests were skipped", () => {
  const broken = report("broken.json", "failed", ["skipped", "skipped"]);
  expect(sum(broken)).toBe("0 passed, 1 failed\n");
});

it("counts nothing where there is no report", () => {
  expect(sum(join(folder, "missing.json"))).toBe("0 passed, 0 failed\n");
});
