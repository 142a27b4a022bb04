import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

import { excludedFiles, EXCLUSIONS, includedNames, targetOf } from "../../support/manifest.ts";

const NIO = "tests/integration/nio-peer.test.ts";

it("names only test files that exist, each with a reason", () => {
  const root = new URL("../../../", import.meta.url);
  const missing = EXCLUSIONS.filter(
    ({ file }) => !existsSync(fileURLToPath(new URL(file, root))),
  ).map(({ file }) => file);
  expect(missing).toEqual([]);
  expect(EXCLUSIONS.filter(({ reason }) => reason.length < 20)).toEqual([]);
});

it.each([
  [{}, "playground"],
  [{ KIRJAVA_TEST_HOMESERVER: "synapse" }, "synapse"],
  [{ KIRJAVA_TEST_HOMESERVER: "synapse-defaults" }, "synapse-defaults"],
  [{ KIRJAVA_TEST_HOMESERVER: "https://matrix.example.org" }, "url"],
])("takes %j for the target %s", (environment, target) => {
  expect(targetOf(environment)).toBe(target);
});

it("refuses a homeserver that it does not know", () => {
  expect(() => targetOf({ KIRJAVA_TEST_HOMESERVER: "dendrite" })).toThrow(
    'KIRJAVA_TEST_HOMESERVER: expected playground, synapse, synapse-defaults or a URL, got "dendrite"',
  );
});

it("leaves the nio peer out only where there is no nio", () => {
  expect(excludedFiles({})).toContain(NIO);
  expect(excludedFiles({ KIRJAVA_TEST_NIO_CHROOT: "/somewhere" })).not.toContain(NIO);
  expect(excludedFiles({ KIRJAVA_TEST_HOMESERVER: "synapse" })).not.toContain(NIO);
});

it("names only titles that stand in their file", () => {
  const root = new URL("../../../", import.meta.url);
  const unknown = EXCLUSIONS.flatMap(({ file, tests = [] }) => {
    const text = readFileSync(fileURLToPath(new URL(file, root)), "utf8");
    // A number in a title may stand in the file as a constant in a template.
    return tests.filter((title) => {
      const pattern = title.replace(/\d+/g, String.raw`(?:$&|\$\{\w+\})`);
      return !new RegExp(`["\`]${pattern}["\`]`).test(text);
    });
  });
  expect(unknown).toEqual([]);
});

it("leaves single tests out by their titles, on the homeservers named only", () => {
  const titles = EXCLUSIONS.filter(({ targets }) => targets.includes("synapse-defaults")).flatMap(
    ({ tests = [] }) => tests,
  );
  const names = includedNames({ KIRJAVA_TEST_HOMESERVER: "synapse-defaults" });
  expect(titles.length).toBeGreaterThan(0);
  expect(titles.filter((title) => names?.test(`a description ${title}`))).toEqual([]);
  expect(names?.test("a description of something else")).toBe(true);
  expect(includedNames({ KIRJAVA_TEST_HOMESERVER: "synapse" })).toBeNull();
});
