/**
 * Loads matrix-js-sdk behind types of our own. Its declarations need the DOM library, which this
 * project leaves out on purpose, so they must not become part of the program; what the tests use of
 * the SDK is declared here.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

/** An event as the SDK holds it. */
export interface SdkEvent {
  readonly status: string | null;
  getId(): string | undefined;
  getRoomId(): string | undefined;
  getSender(): string | undefined;
  /** Type after decryption. */
  getType(): string;
  /** Content after decryption. */
  getContent(): Readonly<Record<string, unknown>>;
  /** Type as it came. */
  getWireType(): string;
  getWireContent(): Readonly<Record<string, unknown>>;
  isEncrypted(): boolean;
  isBeingDecrypted(): boolean;
  isDecryptionFailure(): boolean;
  isRedacted(): boolean;
  getUnsigned(): Readonly<Record<string, unknown>>;
  readonly decryptionFailureReason: string | null;
  /** The event as the server sent it. */
  readonly event: Readonly<Record<string, unknown>>;
}

/** A member of a room. */
export interface SdkMember {
  readonly userId: string;
  readonly membership?: string;
  readonly roomId: string;
}

/** A room as the SDK holds it. */
export interface SdkRoom {
  readonly roomId: string;
  getMember(userId: string): SdkMember | null;
  getMyMembership(): string;
  hasEncryptionStateEvent(): boolean;
  getLiveTimeline(): { getEvents(): SdkEvent[] };
  findEventById(eventId: string): SdkEvent | undefined;
  readonly relations: {
    /** Undefined where nothing relates to the event in this way. */
    getChildEventsForEvent(
      eventId: string,
      relationType: string,
      eventType: string,
    ): { getRelations(): SdkEvent[] } | undefined;
  };
}

/** The SDK's crypto, as far as tests ask it. */
export interface SdkCrypto {
  getUserDeviceInfo(
    userIds: string[],
    downloadUncached?: boolean,
  ): Promise<Map<string, Map<string, unknown>>>;
  getOwnDeviceKeys(): Promise<{ ed25519: string; curve25519: string }>;
  isEncryptionEnabledInRoom(roomId: string): Promise<boolean>;
  forceDiscardSession(roomId: string): Promise<void>;
  bootstrapCrossSigning(options: {
    readonly authUploadDeviceSigningKeys: (
      makeRequest: (auth: Readonly<Record<string, unknown>> | null) => Promise<unknown>,
    ) => Promise<void>;
  }): Promise<void>;
}

/** The SDK's client, as far as tests use it. */
export interface SdkClient {
  on(event: string, listener: (...args: never[]) => void): void;
  off(event: string, listener: (...args: never[]) => void): void;
  initRustCrypto(options: { useIndexedDB: boolean }): Promise<void>;
  startClient(options: { initialSyncLimit?: number; pollTimeout?: number }): Promise<void>;
  stopClient(): void;
  getCrypto(): SdkCrypto | undefined;
  getRoom(roomId: string): SdkRoom | null;
  createRoom(options: Readonly<Record<string, unknown>>): Promise<{ room_id: string }>;
  joinRoom(roomId: string): Promise<unknown>;
  leave(roomId: string): Promise<unknown>;
  invite(roomId: string, userId: string): Promise<unknown>;
  kick(roomId: string, userId: string): Promise<unknown>;
  sendEvent(
    roomId: string,
    type: string,
    content: Readonly<Record<string, unknown>>,
    txnId?: string,
  ): Promise<{ event_id: string }>;
  redactEvent(roomId: string, eventId: string): Promise<{ event_id: string }>;
  sendStateEvent(
    roomId: string,
    type: string,
    content: Readonly<Record<string, unknown>>,
    stateKey?: string,
  ): Promise<{ event_id: string }>;
  logout(stopClient?: boolean): Promise<unknown>;
}

interface SdkModule {
  createClient(options: {
    baseUrl: string;
    userId: string;
    deviceId: string;
    accessToken: string;
    logger: SdkLogger;
  }): SdkClient;
}

interface SdkLogger {
  trace(...parts: unknown[]): void;
  debug(...parts: unknown[]): void;
  info(...parts: unknown[]): void;
  warn(...parts: unknown[]): void;
  error(...parts: unknown[]): void;
  getChild(namespace: string): SdkLogger;
}

interface LevelLogger {
  methodFactory: () => (...parts: unknown[]) => void;
  rebuild(): void;
}

interface Tracing {
  turnOff(): void;
}

interface CryptoWasm {
  initAsync(): Promise<void>;
  readonly Tracing: (new (level: number) => Tracing) & { readonly prototype: { turnOn(): void } };
}

const VERBOSE = (process.env["KIRJAVA_TEST_VERBOSE"] ?? "") !== "";
const require = createRequire(import.meta.url);
let loading: Promise<SdkModule> | null = null;

/** Makes a client that says nothing on the console (`KIRJAVA_TEST_VERBOSE=1` lets it speak). */
export async function createSdkClient(options: {
  readonly baseUrl: string;
  readonly userId: string;
  readonly deviceId: string;
  readonly accessToken: string;
}): Promise<SdkClient> {
  loading ??= load();
  const sdk = await loading;
  return sdk.createClient({ ...options, logger: VERBOSE ? consoleLogger() : silentLogger() });
}

async function load(): Promise<SdkModule> {
  const entry = require.resolve("matrix-js-sdk");
  if (!VERBOSE) {
    // Parts of the SDK use its global logger whatever logger the client was given. Its children take
    // the factory, not the level, so this has to come before anything else of the SDK is loaded.
    const { logger } = (await importUntyped(
      pathToFileURL(entry.replace(/index\.js$/, "logger.js")),
    )) as { readonly logger: LevelLogger };
    logger.methodFactory = () => () => undefined;
    logger.rebuild();
    await quietWasm(entry);
  }
  return (await importUntyped(pathToFileURL(entry))) as SdkModule;
}

/** The SDK turns its engine's debug log on at each start and offers no option for it. */
async function quietWasm(sdkEntry: string): Promise<void> {
  const own = createRequire(sdkEntry);
  const folder = dirname(own.resolve("@matrix-org/matrix-sdk-crypto-wasm"));
  const wasm = (await importUntyped(pathToFileURL(join(folder, "node.mjs")))) as CryptoWasm;
  wasm.Tracing.prototype.turnOn = function (this: Tracing) {
    this.turnOff();
  };
}

// A specifier that is no literal keeps the SDK's declarations out of the program.
async function importUntyped(url: URL): Promise<unknown> {
  return import(url.href);
}

function silentLogger(): SdkLogger {
  const nothing = (): void => undefined;
  return {
    trace: nothing,
    debug: nothing,
    info: nothing,
    warn: nothing,
    error: nothing,
    getChild: silentLogger,
  };
}

function consoleLogger(): SdkLogger {
  return Object.assign(Object.create(console) as Console, { getChild: consoleLogger });
}
