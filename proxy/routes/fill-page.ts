import type { ReadResult } from "../crypto/protocol.ts";
import type { UpstreamResponse } from "../homeserver/homeserver.ts";
import type { ReadShape } from "../matrix/event-places.ts";
import { asArray, asString, isObject, type JsonObject, parseObject } from "../matrix/json.ts";
import { withQuery } from "../matrix/request-target.ts";
import type { Call } from "./call.ts";

/** A filter that lets almost nothing through must not make one request a walk through the room. */
const maxPages = 5;

/** The member in which each shape of page says where the next one begins. */
const ends = { messages: "end", relations: "next_batch" } as const;

type PagedShape = keyof typeof ends;

/** True for responses that are pages of something longer, and that a filter may leave short. */
export function isPaged(shape: ReadShape): shape is PagedShape {
  return Object.hasOwn(ends, shape);
}

/**
 * A page of which a filter dropped events is filled from the next ones, up to the client's limit: a
 * client may take a short page for the last one. Bounded; where the page ends always fits what is
 * shown.
 *
 * @param path - how the first page was asked for
 * @param decrypt - makes of an upstream page what the client may see
 */
export async function fillPage(
  call: Call,
  shape: PagedShape,
  path: string,
  first: ReadResult,
  decrypt: (response: UpstreamResponse) => Promise<ReadResult>,
): Promise<Buffer> {
  const member = ends[shape];
  const body = parsePage(first);
  const chunk = asArray(body["chunk"]);
  const state = asArray(body["state"]);
  let end = asString(body[member]);
  // Without a limit the homeserver's own default counts, and that is what it just gave.
  const limit = Number(call.query.get("limit") ?? chunk.length + first.dropped);
  for (let pages = 1; pages < maxPages && end !== null && chunk.length < limit; pages++) {
    const next = { from: end, limit: String(limit - chunk.length) };
    const response = await call.forward({ path: withQuery(path, next) });
    // The page so far is whole, and its end leads to the same refusal.
    if (response.statusCode !== 200) break;
    const page = parsePage(await decrypt(response));
    chunk.push(...asArray(page["chunk"]));
    state.push(...asArray(page["state"]));
    end = asString(page[member]);
  }
  // A member that is undefined is not written.
  const members = state.length === 0 ? {} : { state: distinct(state) };
  return Buffer.from(JSON.stringify({ ...body, chunk, ...members, [member]: end ?? undefined }));
}

function parsePage({ body }: ReadResult): JsonObject {
  return parseObject(Buffer.from(body).toString("utf8")) ?? {};
}

/** Each page comes with the members that speak in it: those that speak in several come once. */
function distinct(events: readonly unknown[]): unknown[] {
  const seen = new Set<unknown>();
  return events.filter((event) => {
    const id = isObject(event) ? event["event_id"] : undefined;
    if (id === undefined) return true;
    if (seen.has(id)) return false;
    seen.add(id);
    return true;
  });
}
