import { RunningHomeserver } from "./homeserver/running-homeserver.ts";
import { targetOf, type Target } from "./manifest.ts";

/** A user that a test registered, with the token of one device. */
export interface TestUser {
  readonly userId: string;
  readonly deviceId: string;
  readonly accessToken: string;
  readonly password: string;
}

/** An event as the homeserver stores it. */
export interface StoredEvent {
  readonly eventId: string;
  readonly roomId: string;
  readonly type: string;
  readonly sender: string;
  /** The whole stored event as JSON text: search it for plaintext. */
  readonly json: string;
}

/** An appservice registration of this homeserver that nothing else uses. */
export interface TestAppservice {
  readonly id: string;
  /** Loopback port that the homeserver pushes transactions to. */
  readonly port: number;
  readonly asToken: string;
  readonly hsToken: string;
  readonly senderLocalpart: string;
  /** Localparts that start with this are the appservice's own. */
  readonly userPrefix: string;
}

/** The homeserver that a test file runs against. Stop it in `afterAll`. */
export interface TestHomeserver {
  readonly kind: Target;
  /** Base URL without a trailing slash. */
  readonly url: string;
  readonly serverName: string;
  /**
   * Registers a user with one logged-in device. The name is made unique, so that test files can share
   * a homeserver: never expect `@localpart:server`.
   */
  registerUser(localpart: string, password?: string): Promise<TestUser>;
  /** Logs in again: a new device, or the device named. */
  login(user: TestUser, deviceId?: string): Promise<TestUser>;
  /** Every event it stores (of one room, if named), as its database holds them. */
  eventContents(roomId?: string): Promise<readonly StoredEvent[]>;
  /** To-device messages that wait for a device, oldest first, as JSON text. */
  toDeviceInbox(userId: string, deviceId: string): Promise<readonly string[]>;
  /** What others would see: `online`, `unavailable` or `offline`. */
  presenceOf(user: TestUser): Promise<string>;
  /** Takes an appservice registration for this test alone. */
  claimAppservice(): Promise<TestAppservice>;
  /** Ends what was started for this test file; a shared homeserver goes on. */
  stop(): Promise<void>;
}

/**
 * Connects to the homeserver that `KIRJAVA_TEST_HOMESERVER` names: a playground of its own (default),
 * the Synapse that `npm run test:synapse` has started, or any homeserver's URL.
 */
export async function startTestHomeserver(): Promise<TestHomeserver> {
  const target = targetOf(process.env);
  if (target === "playground") {
    const { PlaygroundHomeserver } = await import("./homeserver/playground-homeserver.ts");
    return PlaygroundHomeserver.start();
  }
  return RunningHomeserver.connect(target, process.env);
}
