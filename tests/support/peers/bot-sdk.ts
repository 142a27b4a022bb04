/**
 * Loads matrix-bot-sdk behind types of our own.
 *
 * It requires `@matrix-org/matrix-sdk-crypto-nodejs` when it is loaded, whose native library comes
 * from a download that this project does not allow to run. A client without a crypto store never
 * calls into it, and the SDK's enums of it are compiled in; so an empty module is put into Node's
 * module cache in its place, under that one path, in the test process only.
 */
import { createRequire, Module } from "node:module";

/** What `request`, the SDK's HTTP library, gives back. */
interface RequestHandle {
  abort(): void;
}

interface RequestParameters {
  readonly uri: string;
  readonly headers?: Readonly<Record<string, unknown>>;
}

type RequestFunction = (
  parameters: RequestParameters,
  done: (...args: unknown[]) => void,
) => RequestHandle;

/** The SDK's client, as far as tests use it. */
export interface BotSdkClient {
  persistTokenAfterSync: boolean;
  on(event: string, listener: (...args: never[]) => void): void;
  start(filter?: unknown): Promise<void>;
  stop(): void;
  getUserId(): Promise<string>;
  createRoom(options: Readonly<Record<string, unknown>>): Promise<string>;
  joinRoom(roomId: string): Promise<string>;
  leaveRoom(roomId: string): Promise<unknown>;
  inviteUser(userId: string, roomId: string): Promise<unknown>;
  sendText(roomId: string, text: string): Promise<string>;
  replyText(
    roomId: string,
    event: Readonly<Record<string, unknown>>,
    text: string,
  ): Promise<string>;
  sendEvent(
    roomId: string,
    type: string,
    content: Readonly<Record<string, unknown>>,
  ): Promise<string>;
  redactEvent(roomId: string, eventId: string, reason?: string): Promise<string>;
  sendStateEvent(
    roomId: string,
    type: string,
    stateKey: string,
    content: Readonly<Record<string, unknown>>,
  ): Promise<string>;
  getEvent(roomId: string, eventId: string): Promise<Readonly<Record<string, unknown>>>;
  uploadContent(data: Buffer, contentType?: string, filename?: string): Promise<string>;
  doRequest(method: string, path: string, query?: unknown, body?: unknown): Promise<unknown>;
}

/** Where the SDK keeps its sync token. */
export interface BotSdkStorage {
  setSyncToken(token: string | null): void;
}

interface BotSdkModule {
  readonly MatrixClient: new (url: string, token: string, storage: BotSdkStorage) => BotSdkClient;
  readonly MemoryStorageProvider: new () => BotSdkStorage;
  readonly LogService: { setLogger(logger: Readonly<Record<string, unknown>>): void };
  setRequestFn(request: RequestFunction): void;
  getRequestFn(): RequestFunction;
}

const VERBOSE = (process.env["KIRJAVA_TEST_VERBOSE"] ?? "") !== "";
const running = new Map<RequestHandle, string>();
let loaded: BotSdkModule | null = null;

/** The SDK, loaded at the first call. */
export function botSdk(): BotSdkModule {
  loaded ??= load();
  return loaded;
}

/** Ends the requests that still run with this token: the SDK cannot end its own long poll. */
export function abortRequests(token: string): void {
  for (const [handle, authorization] of running) {
    if (authorization === `Bearer ${token}`) handle.abort();
  }
}

function load(): BotSdkModule {
  const require = createRequire(import.meta.url);
  const own = createRequire(require.resolve("matrix-bot-sdk"));
  const path = own.resolve("@matrix-org/matrix-sdk-crypto-nodejs");
  const empty = new Module(path);
  empty.exports = {};
  empty.loaded = true;
  require.cache[path] ??= empty;
  const sdk = require("matrix-bot-sdk") as BotSdkModule;
  if (!VERBOSE) {
    const nothing = (): void => undefined;
    sdk.LogService.setLogger({
      trace: nothing,
      debug: nothing,
      info: nothing,
      warn: nothing,
      error: nothing,
    });
  }
  const request = sdk.getRequestFn();
  sdk.setRequestFn((parameters, done) => {
    const handle = request(parameters, (...args) => {
      running.delete(handle);
      done(...args);
    });
    running.set(handle, String(parameters.headers?.["Authorization"]));
    return handle;
  });
  return sdk;
}
