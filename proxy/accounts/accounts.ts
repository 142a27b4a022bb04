import type { Logger } from "pino";
import type { Clock } from "../clock.ts";
import type { Homeserver } from "../homeserver/homeserver.ts";
import { HomeserverTimeout, HomeserverUnreachable, MatrixError } from "../matrix/errors.ts";
import type { DeviceAddress, DeviceId, UserId } from "../matrix/identifiers.ts";
import type { Account, Identity, Masquerade } from "./account.ts";
import { identityHash, isEmpty, isSameOwner } from "./account.ts";
import { DEFAULT_ACCOUNT_LIMITS } from "./account-limits.ts";
import type { AccountLimits } from "./account-limits.ts";
import { BoundedMap } from "./bounded-map.ts";
import { DeviceFiles } from "./device-files.ts";
import { Gate } from "./gate.ts";
import type { SectionDatabase } from "./section-database.ts";
import { TokenTable } from "./token-table.ts";
import { askWhoami } from "./whoami.ts";
import type { WhoamiAnswer } from "./whoami.ts";

/** What happened to a device's tokens: `token` a new one is known, `gone` its store is never used again. */
export interface AccountChange {
  readonly kind: "token" | "gone";
  readonly address: DeviceAddress;
}

interface Entry {
  readonly identity: Identity;
  /** When the homeserver last took a request with this token; the request's start. */
  confirmedMs: number;
  /** Until when the homeserver, which gave no answer, is not asked again. */
  quietUntilMs: number;
}

interface Refusal {
  readonly error: MatrixError;
  readonly untilMs: number;
}

interface LookUp {
  readonly token: string;
  readonly sequence: number;
  revoked: boolean;
}

/** What can stand in an Authorization header; anything else was never given out by a homeserver. */
const TOKEN = /^[\x21-\x7e]{1,8192}$/;

/**
 * Whose request is it: access tokens to user and device.
 *
 * A token is served from our own data only where the homeserver took it within `revalidateMs`: that is
 * the bound within which one that was revoked elsewhere stops working. While the homeserver gives no
 * answer a known token goes on being served.
 */
export class Accounts {
  /** The stores of the devices; a device that is logged out loses its own here. */
  readonly files: DeviceFiles;
  readonly #homeserver: Pick<Homeserver, "request">;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #limits: Required<AccountLimits>;
  readonly #table: TokenTable;
  readonly #known: BoundedMap<string, Entry>;
  readonly #refused: BoundedMap<string, Refusal>;
  readonly #lookUps = new Map<string, { lookUp: LookUp; promise: Promise<Identity> }>();
  readonly #gate: Gate;
  /** When devices (`@user`, or `@user` and device) were last forgotten, as a sequence number. */
  readonly #forgotten: BoundedMap<string, number>;
  readonly #listeners = new Set<(change: AccountChange) => void>();
  #sequence = 0;
  /** Until when a homeserver that could not be reached is not asked about known tokens. */
  #silentUntilMs = 0;

  constructor(
    database: SectionDatabase,
    homeserver: Pick<Homeserver, "request">,
    clock: Clock,
    logger: Logger,
    limits: AccountLimits = {},
  ) {
    this.files = new DeviceFiles(database, clock);
    this.#homeserver = homeserver;
    this.#clock = clock;
    this.#logger = logger;
    this.#limits = { ...DEFAULT_ACCOUNT_LIMITS, ...limits };
    this.#table = new TokenTable(database);
    this.#known = new BoundedMap(this.#limits.cacheSize);
    this.#refused = new BoundedMap(this.#limits.cacheSize);
    this.#forgotten = new BoundedMap(this.#limits.cacheSize);
    this.#gate = new Gate(this.#limits.unknownAtOnce, this.#limits.unknownWaiting);
  }

  /**
   * Whom a token speaks for.
   *
   * @param masquerade `user_id` and `device_id` of the request's query, for application services
   * @throws MatrixError 401 `M_MISSING_TOKEN` or `M_UNKNOWN_TOKEN` (with `soft_logout` where the
   *   homeserver says so); the homeserver's own 400, 401 or 403; for a token that is not known here 502 or
   *   504 where the homeserver gives no answer, and 429 `M_LIMIT_EXCEEDED`
   */
  async identify(token: string, masquerade: Masquerade = {}): Promise<Identity> {
    if (token === "") throw new MatrixError(401, "M_MISSING_TOKEN", "expected an access token");
    if (!TOKEN.test(token)) throw unknownToken();
    const key = identityHash(token, masquerade);
    const entry = this.#entry(key);
    const nowMs = this.#clock.now();
    if (entry !== null && this.#isFresh(entry, nowMs)) return entry.identity;
    const refusal = this.#refused.get(key);
    if (refusal !== undefined && nowMs < refusal.untilMs) throw refusal.error;
    const running = this.#lookUps.get(key);
    if (running !== undefined) return running.promise;
    return this.#startLookUp(key, token, masquerade, entry);
  }

  /** Whether the token was learnt before; the homeserver is not asked. */
  isKnown(token: string, masquerade: Masquerade = {}): boolean {
    return this.#entry(identityHash(token, masquerade)) !== null;
  }

  /**
   * Takes what a login, registration or refresh answered.
   *
   * @param o.origin `login` (default): after a logout the device gets a new store; `refresh`: the
   *   device lives on
   */
  learn(o: {
    readonly token: string;
    readonly userId: UserId;
    readonly deviceId: DeviceId;
    readonly origin?: "login" | "refresh";
  }): Account {
    const { token, userId, deviceId } = o;
    const account: Account = { token, userId, deviceId };
    const key = identityHash(token);
    this.#keep(key, account, this.#clock.now(), true);
    if (o.origin === "refresh") this.files.revive(account);
    else this.files.sealGone(account);
    this.#tell({ kind: "token", address: { userId, deviceId } });
    return account;
  }

  /**
   * The homeserver took a request with this token.
   *
   * @param sentAtMs when the request was sent, on the clock: the end of a long poll says nothing about now
   */
  confirmed(token: string, sentAtMs = this.#clock.now(), masquerade: Masquerade = {}): void {
    const entry = this.#known.get(identityHash(token, masquerade));
    if (entry !== undefined) entry.confirmedMs = Math.max(entry.confirmedMs, sentAtMs);
  }

  /**
   * The homeserver answered `M_UNKNOWN_TOKEN`: the token is dropped. Without `softLogout` the device is
   * gone too, unless another token of it is known.
   */
  rejected(token: string, o: { readonly softLogout: boolean }): void {
    const fields = o.softLogout ? { soft_logout: true } : {};
    this.#reject(token, unknownToken(fields));
  }

  /** Drops one token; its device stays as it is. */
  forgetToken(token: string): void {
    this.#table.delete(identityHash(token));
    this.#known.deleteWhere((entry) => entry.identity.token === token);
    for (const { lookUp } of this.#lookUps.values()) {
      if (lookUp.token === token) lookUp.revoked = true;
    }
  }

  /** The device was logged out: its tokens are dropped and its store is never used again. */
  forgetDevice(address: DeviceAddress): void {
    this.#forgotten.set(addressKey(address), this.#sequence);
    this.#known.deleteWhere(({ identity }) => isSameOwner(identity, address));
    this.#table.deleteDevice(address);
    this.files.markGone(address);
    this.#tell({ kind: "gone", address });
  }

  /** All devices of a user were logged out. */
  forgetUser(userId: UserId): void {
    const deviceIds = new Set([...this.#table.deviceIds(userId), ...this.files.deviceIds(userId)]);
    for (const deviceId of deviceIds) this.forgetDevice({ userId, deviceId });
    this.#forgotten.set(userId, this.#sequence);
    this.#known.deleteWhere(({ identity }) => identity.userId === userId);
    this.#table.deleteUser(userId);
  }

  /** The token learnt last, for requests of our own; `null` where none is known. */
  latestToken(address: DeviceAddress): string | null {
    return this.#table.latest(address);
  }

  /** Every device with a token, with its latest one. */
  devices(): Account[] {
    return this.#table.devices();
  }

  /** Calls the listener, which must not throw, at each change; the returned function ends that. */
  onChange(listener: (change: AccountChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #entry(key: string): Entry | null {
    const entry = this.#known.get(key);
    if (entry !== undefined) return entry;
    const identity = this.#table.find(key);
    return identity === null ? null : this.#remember(key, identity, Number.NEGATIVE_INFINITY);
  }

  #isFresh(entry: Entry, nowMs: number): boolean {
    const quietUntilMs = Math.max(entry.quietUntilMs, this.#silentUntilMs);
    return nowMs - entry.confirmedMs < this.#limits.revalidateMs || nowMs < quietUntilMs;
  }

  #startLookUp(
    key: string,
    token: string,
    masquerade: Masquerade,
    entry: Entry | null,
  ): Promise<Identity> {
    if (entry === null && this.#gate.isFull) {
      throw new MatrixError(429, "M_LIMIT_EXCEEDED", "too many tokens that are not known here", {
        fields: { retry_after_ms: 1_000 },
      });
    }
    const lookUp: LookUp = { token, sequence: ++this.#sequence, revoked: false };
    const promise = this.#lookUp(lookUp, key, masquerade, entry).finally(() =>
      this.#lookUps.delete(key),
    );
    this.#lookUps.set(key, { lookUp, promise });
    return promise;
  }

  async #lookUp(
    lookUp: LookUp,
    key: string,
    masquerade: Masquerade,
    entry: Entry | null,
  ): Promise<Identity> {
    const { token } = lookUp;
    let startedMs = this.#clock.now();
    const ask = (timeoutMs: number): Promise<WhoamiAnswer> => {
      startedMs = this.#clock.now();
      return askWhoami(this.#homeserver, token, masquerade, timeoutMs);
    };
    const answer =
      entry === null
        ? await this.#gate.run(() => ask(this.#limits.whoamiTimeoutMs))
        : await ask(this.#limits.revalidateTimeoutMs);
    // Forgotten while the homeserver was answering: what it said may be from before.
    const owner = answer.kind === "known" ? answer.identity : entry?.identity;
    if (lookUp.revoked || (owner && this.#wasForgottenSince(owner, lookUp.sequence))) {
      throw unknownToken();
    }
    switch (answer.kind) {
      case "known":
        this.#accept(key, answer.identity, startedMs, isEmpty(masquerade));
        return answer.identity;
      case "refused":
        if (answer.error.errcode === "M_UNKNOWN_TOKEN") this.#reject(token, answer.error);
        else this.#known.delete(key);
        this.#refuse(key, answer.error);
        throw answer.error;
      case "unavailable":
        if (entry === null) throw answer.error;
        this.#keepQuiet(entry, answer.error);
        return entry.identity;
    }
  }

  /** A homeserver that cannot be reached is the same for every token; any other failure is this one's. */
  #keepQuiet(entry: Entry, error: MatrixError): void {
    const untilMs = this.#clock.now() + this.#limits.refusedMs;
    if (error instanceof HomeserverUnreachable || error instanceof HomeserverTimeout) {
      this.#silentUntilMs = untilMs;
    } else {
      entry.quietUntilMs = untilMs;
    }
  }

  #accept(key: string, identity: Identity, startedMs: number, isDurable: boolean): void {
    const isNews = isDurable && !this.#isStored(key, identity);
    this.#keep(key, identity, startedMs, isNews);
    if (!isNews) return;
    const { userId, deviceId } = identity;
    this.#logger.info({ userId, deviceId }, "the homeserver named the owner of a new token");
    if (deviceId === null) return;
    this.files.revive({ userId, deviceId });
    this.#tell({ kind: "token", address: { userId, deviceId } });
  }

  #isStored(key: string, identity: Identity): boolean {
    const stored = this.#table.find(key);
    return stored !== null && isSameOwner(stored, identity);
  }

  #reject(token: string, error: MatrixError): void {
    const key = identityHash(token);
    const identity = this.#table.find(key);
    this.forgetToken(token);
    this.#refuse(key, error);
    if (!identity?.deviceId || error.fields["soft_logout"] === true) {
      return;
    }
    const { userId, deviceId } = identity;
    const address = { userId, deviceId };
    // A token that was replaced is refused in the same words as one of a deleted device.
    if (this.#table.latest(address) !== null) return;
    this.#logger.warn(address, "the homeserver refused the last token of a device: logged out");
    this.files.markGone(address, "rejection");
    this.#tell({ kind: "gone", address });
  }

  #keep(key: string, identity: Identity, confirmedMs: number, isDurable: boolean): void {
    if (isDurable) this.#table.put(key, identity, this.#clock.now());
    this.#remember(key, identity, confirmedMs);
  }

  #remember(key: string, identity: Identity, confirmedMs: number): Entry {
    const known = this.#known.get(key)?.confirmedMs ?? Number.NEGATIVE_INFINITY;
    const entry: Entry = { identity, confirmedMs: Math.max(confirmedMs, known), quietUntilMs: 0 };
    this.#known.set(key, entry);
    return entry;
  }

  #refuse(key: string, error: MatrixError): void {
    this.#refused.set(key, { error, untilMs: this.#clock.now() + this.#limits.refusedMs });
  }

  #wasForgottenSince({ userId, deviceId }: Identity, sequence: number): boolean {
    const ofUser = this.#forgotten.get(userId) ?? -1;
    const ofDevice =
      deviceId === null ? -1 : (this.#forgotten.get(addressKey({ userId, deviceId })) ?? -1);
    return Math.max(ofUser, ofDevice) >= sequence;
  }

  #tell(change: AccountChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}

function addressKey({ userId, deviceId }: DeviceAddress): string {
  return JSON.stringify([userId, deviceId]);
}

function unknownToken(fields: Record<string, unknown> = {}): MatrixError {
  return new MatrixError(401, "M_UNKNOWN_TOKEN", "the access token is not known", { fields });
}
