/**
 * The tests that a run leaves out, each with the reason. Everything else runs on every homeserver:
 * the playground (`npm test`), a Synapse with limits lifted, and a Synapse on its default settings
 * (`npm run test:synapse`). `vitest.config.ts` reads this list; no test decides for itself.
 */

/** The homeservers that the suite runs against (`KIRJAVA_TEST_HOMESERVER`). */
export type Target = "playground" | "synapse" | "synapse-defaults" | "url";

/** One thing that is left out of the runs against some homeservers. */
export interface Exclusion {
  /** Path of the test file from the project's root. */
  readonly file: string;
  /** Where it is left out. */
  readonly targets: readonly Target[];
  /** Leave it out only where no Debian chroot with nio is at hand. */
  readonly withoutNioOnly?: boolean;
  /** Why it cannot run there. */
  readonly reason: string;
}

/** Every exclusion there is. */
export const EXCLUSIONS: readonly Exclusion[] = [
  "tests/integration/nio-peer.test.ts",
  "tests/integration/exchange-nio.test.ts",
].map((file) => ({
  file,
  targets: ["playground", "url"],
  withoutNioOnly: true,
  reason:
    "nio and libolm come from Debian packages in the chroot that `npm run test:synapse` builds; " +
    "a hermetic run has none",
}));

/** Which homeserver this run is against. */
export function targetOf(environment: NodeJS.ProcessEnv): Target {
  const wanted = environment["KIRJAVA_TEST_HOMESERVER"] ?? "";
  if (wanted === "") return "playground";
  if (wanted === "playground" || wanted === "synapse" || wanted === "synapse-defaults") {
    return wanted;
  }
  if (/^https?:\/\//.test(wanted)) return "url";
  throw new Error(
    `KIRJAVA_TEST_HOMESERVER: expected playground, synapse, synapse-defaults or a URL, got ${JSON.stringify(wanted)}`,
  );
}

/** The test files that this run leaves out. */
export function excludedFiles(environment: NodeJS.ProcessEnv): string[] {
  const target = targetOf(environment);
  const hasNio = (environment["KIRJAVA_TEST_NIO_CHROOT"] ?? "") !== "";
  return EXCLUSIONS.filter(
    (exclusion) =>
      exclusion.targets.includes(target) && !(exclusion.withoutNioOnly === true && hasNio),
  ).map((exclusion) => exclusion.file);
}
