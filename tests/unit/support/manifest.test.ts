import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

import { excludedFiles, EXCLUSIONS, targetOf } from "../../support/manifest.ts";

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
