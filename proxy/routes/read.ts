import type { Accounts } from "../accounts/accounts.ts";
import type { ReadResult } from "../crypto/protocol.ts";
import type { UpstreamResponse } from "../homeserver/homeserver.ts";
import { MatrixError } from "../matrix/errors.ts";
import type { ReadShape } from "../matrix/event-places.ts";
import { widenMessagesFilter } from "../matrix/filter.ts";
import type { RoomId } from "../matrix/identifiers.ts";
import { type JsonObject, parseObject } from "../matrix/json.ts";
import { withoutCursors, withoutLastSegment, withQuery } from "../matrix/request-target.ts";
import type { SectionSessions } from "../sync/section-sessions.ts";
import type { Call, Handler, Handlers, Reply } from "./call.ts";
import { fillPage, isPaged } from "./fill-page.ts";

export interface ReadDeps {
  readonly accounts: Accounts;
  readonly sessions: SectionSessions;
}

/** How a request goes upstream, and what of its answer the client asked for. */
interface Asking {
  readonly path: string;
  /** `null` where nothing of the answer is to be left out. */
  readonly filter: JsonObject | null;
}

/**
 * Reading room events outside of a sync. Nothing waits for a key here: what cannot be decrypted is
 * shown as the ciphertext that it is.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#getting-events-for-a-room
 */
export function readRoutes(deps: ReadDeps): Handlers {
  const plainly = (shape: ReadShape) => reader(deps, shape, unfiltered);
  return {
    messages: reader(deps, "messages", byFilter),
    context: reader(deps, "context", byFilter),
    relations: reader(deps, "relations", byType),
    event: plainly("event"),
    eventById: plainly("eventById"),
    events: plainly("events"),
    initialSync: plainly("initialSync"),
    roomInitialSync: plainly("roomInitialSync"),
    threads: plainly("threads"),
    notifications: plainly("notifications"),
  };
}

function reader(
  { accounts, sessions }: ReadDeps,
  shape: ReadShape,
  ask: (call: Call) => Asking,
): Handler {
  return async (call): Promise<Reply | "pass"> => {
    if (call.token === null) return "pass";
    const account = await accounts.identify(call.token, call.masquerade);
    if (account.deviceId === null) return "pass";
    await sessions.open(account);
    if (sessions.passesThrough(account)) return "pass";
    const { path, filter } = ask(call);
    const response = await call.forward({ path });
    if (response.statusCode !== 200) return response;
    const roomId = (call.params["roomId"] ?? null) as RoomId | null;
    const decrypt = (answer: UpstreamResponse): Promise<ReadResult> =>
      sessions.read(account, { shape, body: answer.body, roomId, filter });
    const first = await decrypt(response);
    const body =
      isPaged(shape) && first.dropped > 0
        ? await fillPage(call, shape, path, first, decrypt)
        : Buffer.from(first.body);
    return { statusCode: 200, headers: response.headers, body };
  };
}

function unfiltered(call: Call): Asking {
  return { path: withoutCursors(call.rawPath), filter: null };
}

/** By the room event filter in the query. */
function byFilter(call: Call): Asking {
  const path = withoutCursors(call.rawPath);
  const value = call.query.get("filter");
  if (value === null || value === "") return { path, filter: null };
  const filter = parseObject(value);
  if (filter === null) throw new MatrixError(400, "M_NOT_JSON", "expected a filter in JSON");
  const widened = JSON.stringify(widenMessagesFilter(filter));
  return { path: withQuery(path, { filter: widened }), filter };
}

/**
 * By the type in the path. It is not asked of the homeserver: what it takes for `m.room.encrypted`
 * may be of any type, and relations in the clear are asked for as well, as reactions are.
 */
function byType(call: Call): Asking {
  const path = withoutCursors(call.rawPath);
  const type = call.params["eventType"];
  if (type === undefined) return { path, filter: null };
  return { path: withoutLastSegment(path), filter: { types: [type] } };
}
