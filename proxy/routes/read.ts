import type { Accounts } from "../accounts/accounts.ts";
import type { ReadArgs } from "../crypto/protocol.ts";
import { MatrixError } from "../matrix/errors.ts";
import { widenMessagesFilter } from "../matrix/filter.ts";
import type { RoomId } from "../matrix/identifiers.ts";
import { type JsonObject, parseObject } from "../matrix/json.ts";
import { withoutCursors, withQuery } from "../matrix/request-target.ts";
import type { SectionSessions } from "../sync/section-sessions.ts";
import type { Call, Handler, Handlers, Reply } from "./call.ts";

export interface ReadDeps {
  readonly accounts: Accounts;
  readonly sessions: SectionSessions;
}

/**
 * Reading room events outside of a sync. Nothing waits for a key here: what cannot be decrypted is
 * shown as the ciphertext that it is.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#getting-events-for-a-room
 */
export function readRoutes(deps: ReadDeps): Handlers {
  return {
    messages: reader(deps, "messages"),
    context: reader(deps, "context"),
    event: reader(deps, "event"),
  };
}

function reader({ accounts, sessions }: ReadDeps, shape: ReadArgs["shape"]): Handler {
  return async (call): Promise<Reply | "pass"> => {
    if (call.token === null) return "pass";
    const account = await accounts.identify(call.token, call.masquerade);
    if (account.deviceId === null) return "pass";
    await sessions.open(account);
    if (sessions.passesThrough(account)) return "pass";
    const filter = ownFilter(call);
    const target = withoutCursors(call.rawPath);
    const path =
      filter === null
        ? target
        : withQuery(target, { filter: JSON.stringify(widenMessagesFilter(filter)) });
    const response = await call.forward({ path });
    if (response.statusCode !== 200) return response;
    const roomId = (call.params["roomId"] ?? "") as RoomId;
    const args = { shape, body: response.body, roomId, filter };
    const body = await sessions.read(account, args);
    return { statusCode: 200, headers: response.headers, body: Buffer.from(body) };
  };
}

function ownFilter(call: Call): JsonObject | null {
  const value = call.query.get("filter");
  if (value === null || value === "") return null;
  const filter = parseObject(value);
  if (filter === null) throw new MatrixError(400, "M_NOT_JSON", "expected a filter in JSON");
  return filter;
}
