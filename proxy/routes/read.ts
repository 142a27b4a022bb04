import type { Accounts } from "../accounts/accounts.ts";
import type { ReadArgs, ReadResult } from "../crypto/protocol.ts";
import type { UpstreamResponse } from "../homeserver/homeserver.ts";
import { MatrixError } from "../matrix/errors.ts";
import { widenMessagesFilter } from "../matrix/filter.ts";
import type { RoomId } from "../matrix/identifiers.ts";
import { asArray, asString, type JsonObject, parseObject } from "../matrix/json.ts";
import { withoutCursors, withQuery } from "../matrix/request-target.ts";
import type { SectionSessions } from "../sync/section-sessions.ts";
import type { Call, Handler, Handlers, Reply } from "./call.ts";

/** The specification's own default for `limit`. */
const defaultPageSize = 10;
/** A filter that lets almost nothing through must not make one request a walk through the room. */
const maxMorePages = 10;

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
    const decrypt = (answer: UpstreamResponse) =>
      sessions.read(account, { shape, body: answer.body, roomId, filter });
    const first = await decrypt(response);
    const body =
      shape === "messages" && first.dropped > 0
        ? await fill(call, path, first, decrypt)
        : Buffer.from(first.body);
    return { statusCode: 200, headers: response.headers, body };
  };
}

/**
 * A page of which a filter dropped events is filled from the next ones, up to the client's limit: a
 * client may take a short page for the end of the room. Bounded; `end` always fits what is shown.
 */
async function fill(
  call: Call,
  path: string,
  first: ReadResult,
  decrypt: (response: UpstreamResponse) => Promise<ReadResult>,
): Promise<Buffer> {
  const page = parsePage(first);
  const limit = Number(call.query.get("limit") ?? defaultPageSize);
  for (let more = 0; more < maxMorePages; more++) {
    const missing = limit - page.chunk.length;
    if (!(missing > 0) || page.end === null) break;
    const next = { from: page.end, limit: String(missing) };
    const response = await call.forward({ path: withQuery(path, next) });
    if (response.statusCode !== 200) break;
    const { chunk, state, end } = parsePage(await decrypt(response));
    page.chunk.push(...chunk);
    page.state.push(...state);
    page.end = end;
  }
  const { body, chunk, state, end } = page;
  delete body["end"];
  const members = state.length === 0 ? {} : { state };
  return Buffer.from(
    JSON.stringify({ ...body, chunk, ...members, ...(end === null ? {} : { end }) }),
  );
}

function parsePage({ body }: ReadResult): {
  readonly body: JsonObject;
  readonly chunk: unknown[];
  readonly state: unknown[];
  end: string | null;
} {
  const page = parseObject(Buffer.from(body).toString("utf8")) ?? {};
  const { chunk, state, end } = page;
  return { body: page, chunk: asArray(chunk), state: asArray(state), end: asString(end) };
}

function ownFilter(call: Call): JsonObject | null {
  const value = call.query.get("filter");
  if (value === null || value === "") return null;
  const filter = parseObject(value);
  if (filter === null) throw new MatrixError(400, "M_NOT_JSON", "expected a filter in JSON");
  return filter;
}
