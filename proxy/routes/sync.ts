import type { Account } from "../accounts/account.ts";
import type { Accounts } from "../accounts/accounts.ts";
import type { Clock } from "../clock.ts";
import type { SyncResult } from "../crypto/protocol.ts";
import type { UpstreamResponse } from "../homeserver/homeserver.ts";
import { withQuery } from "../matrix/request-target.ts";
import { parseSyncToken, type SyncToken } from "../matrix/sync-token.ts";
import { failpoint } from "../observe/failpoint.ts";
import { ClientFilters, type SyncFilter } from "./client-filters.ts";
import type { OwnSyncLoops } from "../sync/own-sync-loops.ts";
import type { SectionSessions } from "../sync/section-sessions.ts";
import { requireToken } from "./call.ts";
import type { Call, Handlers, Reply } from "./call.ts";

export interface SyncDeps {
  readonly accounts: Accounts;
  readonly sessions: SectionSessions;
  readonly loops: OwnSyncLoops;
  readonly clock: Clock;
}

/** The longest wait that a homeserver grants, as far as is known. */
const maxTimeoutMs = 10 * 60_000;

/** What one round upstream gave: an answer to hand on as it is, or a sync taken in. */
type Round =
  | { readonly kind: "answer"; readonly response: UpstreamResponse }
  | {
      readonly kind: "taken";
      readonly response: UpstreamResponse | null;
      readonly result: SyncResult;
    };

/**
 * `GET /sync`: the feed is taken out and on disk before anything is released; what the client sees is
 * decrypted and filtered as it asked.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#get_matrixclientv3sync
 */
export function syncRoutes(deps: SyncDeps): Handlers {
  const filters = new ClientFilters();
  return {
    sync: async (call): Promise<Reply | "pass"> => {
      const account = await deps.accounts.identify(requireToken(call), call.masquerade);
      if (account.deviceId === null) return "pass";
      await deps.sessions.open(account);
      // Only now is it known whose keys the homeserver holds.
      if (deps.sessions.passesThrough(account)) return "pass";
      const filter = await filters.resolve(call, account.userId);
      return deps.loops.whileClientSyncs(account, () => poll(deps, call, account, filter));
    },
  };
}

/** Asks until there is something for the client, or its time is over. */
async function poll(
  deps: SyncDeps,
  call: Call,
  account: Account,
  filter: SyncFilter,
): Promise<Reply> {
  const given = call.query.get("since");
  if (given !== null) {
    await deps.loops.catchUpBefore(account, parseSyncToken(given).upstream, call.signal);
  }
  let token: SyncToken | null = given === null ? null : parseSyncToken(given);
  const timeoutMs = Math.min(
    Math.max(0, Number(call.query.get("timeout") ?? 0) || 0),
    maxTimeoutMs,
  );
  const endMs = deps.clock.now() + timeoutMs;
  for (;;) {
    const remainingMs = Math.max(0, endMs - deps.clock.now());
    const round = await askOnce(deps, call, account, filter, token, remainingMs);
    if (round.kind === "answer") return round.response;
    const { result, response } = round;
    const over = deps.clock.now() >= endMs || call.signal.aborted;
    if (!result.empty || over || token === null || call.query.get("full_state") === "true") {
      failpoint("receive-to-release");
      return {
        statusCode: 200,
        headers: response?.headers ?? { "content-type": "application/json" },
        body: Buffer.from(result.body ?? new Uint8Array()),
      };
    }
    token = { upstream: result.nextBatch, cursor: result.cursor };
  }
}

/** One request upstream; it ends early when something that the client is owed can be given. */
async function askOnce(
  deps: SyncDeps,
  call: Call,
  account: Account,
  filter: SyncFilter,
  token: SyncToken | null,
  timeoutMs: number,
): Promise<Round> {
  const { sessions, loops, clock } = deps;
  const device = { userId: account.userId, deviceId: account.deviceId };
  const since = token?.upstream ?? null;
  const cursor = token?.cursor ?? null;
  const stop = new AbortController();
  const startedMs = clock.now();
  const request = loops.begin(device);
  try {
    const path = withQuery(call.rawPath, {
      since,
      filter: filter.upstream,
      timeout: String(timeoutMs),
    });
    const upstream = call.forward({ path, signal: stop.signal });
    const owed =
      since === null || timeoutMs === 0 ? null : sessions.owedReady(device, cursor, stop.signal);
    // Whichever loses is stopped below; its end is of no interest then.
    upstream.catch(() => undefined);
    owed?.catch(() => undefined);
    const first = await Promise.race([upstream, ...(owed === null ? [] : [owed.then(() => null)])]);
    if (first === null) {
      stop.abort();
      const args = { since: since ?? "", cursor, filter: filter.own };
      return { kind: "taken", response: null, result: await sessions.deliverOwed(device, args) };
    }
    if (first.statusCode !== 200) return { kind: "answer", response: first };
    const result = await sessions.sync(device, {
      body: first.body,
      since,
      cursor,
      filter: filter.own,
      source: "client",
      serial: request.serial,
      oldestSerial: loops.oldestSerial(device),
      startedMs,
    });
    loops.notePosition(device, result.nextBatch);
    return { kind: "taken", response: first, result };
  } finally {
    stop.abort();
    request.end();
  }
}
