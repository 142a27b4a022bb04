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
  /** Leave out only the tests with these titles (without those of their `describe`); absent: all. */
  readonly tests?: readonly string[];
  /** Where it is left out. */
  readonly targets: readonly Target[];
  /** Leave it out only where no Debian chroot with nio is at hand. */
  readonly withoutNioOnly?: boolean;
  /** Why it cannot run there. */
  readonly reason: string;
}

/** Every exclusion there is. */
export const EXCLUSIONS: readonly Exclusion[] = [
  ...["tests/integration/nio-peer.test.ts", "tests/integration/exchange-nio.test.ts"].map(
    (file): Exclusion => ({
      file,
      targets: ["playground", "url"],
      withoutNioOnly: true,
      reason:
        "nio and libolm come from Debian packages in the chroot that `npm run test:synapse` builds; " +
        "a hermetic run has none",
    }),
  ),
  {
    file: "tests/integration/client-api-old-reads.test.ts",
    targets: ["playground"],
    reason:
      "the playground has neither the deprecated /initialSync and /events nor push rules that would " +
      "make notifications; tests/unit/crypto/read-response.test.ts reads their shapes",
  },
  {
    file: "tests/scenarios/who-appeared-just-now-reads-the-next-message.test.ts",
    tests: [
      "lets 50 of 50 devices read that logged in right before the send",
      "lets 50 of 50 members read that joined right before the send",
    ],
    targets: ["synapse-defaults"],
    reason:
      "needs 50 log-ins of one account and 50 invitations and messages in a row; the default limits " +
      "are 5 log-ins (then one in 333 s), 10 invitations (0.3/s) and 10 messages (0.2/s)",
  },
  {
    file: "tests/scenarios/who-left-does-not-read-the-next-message.test.ts",
    tests: ["up to rotation_period_msgs messages, then a new one begins"],
    targets: ["synapse-defaults"],
    reason:
      "counts the messages of a session; past the default limit of 10 messages a send is answered 429, " +
      "and a retry is encrypted anew where device lists were announced in between",
  },
  {
    file: "tests/scenarios/an-encrypted-room-gets-no-plaintext.test.ts",
    tests: [
      "gets 10 of 10 messages encrypted",
      "gets no plaintext where somebody else enabled it, past this proxy",
      "takes 10 of 10 messages at the first try, encrypted and readable for who is invited",
    ],
    targets: ["synapse-defaults"],
    reason:
      "needs a new room for each round, and each message to pass at the first try; the default limits " +
      "are 10 new rooms (then one in 62 s) and 10 messages (then 0.2/s)",
  },
  {
    file: "tests/scenarios/a-crash-loses-and-doubles-nothing.test.ts",
    targets: ["synapse-defaults"],
    reason: "500 messages of one user, where the default is one in five seconds",
  },
  {
    file: "tests/scenarios/several-streams-of-one-device-lose-nothing.test.ts",
    targets: ["synapse-defaults"],
    reason: "hundreds of messages of one user, where the default is one in five seconds",
  },
  {
    file: "tests/scenarios/a-send-right-after-login-is-readable.test.ts",
    tests: ["reaches the peer readable, as the first request after the login"],
    targets: ["synapse-defaults"],
    reason:
      "logs in through Kirjava, as tests/integration/login.test.ts does, all from one address; the " +
      "default limit is 5 log-ins of an address, then one in 333 s",
  },
  {
    file: "tests/scenarios/a-revoked-token-stops-working.test.ts",
    tests: [
      "keeps the device's keys over a soft logout",
      "makes a new device when a client logs out and in again",
      "makes new keys for a device id that was logged out and comes back",
    ],
    targets: ["synapse-defaults"],
    reason:
      "log in through Kirjava, all from one address; the default limit is 5 log-ins of an address, " +
      "then one in 333 s",
  },
];

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

/** The test files that this run leaves out as a whole. */
export function excludedFiles(environment: NodeJS.ProcessEnv): string[] {
  return exclusions(environment)
    .filter(({ tests }) => tests === undefined)
    .map(({ file }) => file);
}

/** Matches the full name of every test that is not left out by its title; null where none is. */
export function includedNames(environment: NodeJS.ProcessEnv): RegExp | null {
  const titles = exclusions(environment).flatMap(({ tests }) => tests ?? []);
  if (titles.length === 0) return null;
  const escaped = titles.map((title) => title.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return new RegExp(`^(?!.*(?:${escaped.join("|")})$)`);
}

function exclusions(environment: NodeJS.ProcessEnv): Exclusion[] {
  const target = targetOf(environment);
  const hasNio = (environment["KIRJAVA_TEST_NIO_CHROOT"] ?? "") !== "";
  return EXCLUSIONS.filter(
    (exclusion) =>
      exclusion.targets.includes(target) && !(exclusion.withoutNioOnly === true && hasNio),
  );
}
