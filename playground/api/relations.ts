import type { Call } from "../call.ts";
import type { JsonObject } from "../json.ts";
import { objectOr } from "../json.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import type { RoomEvent } from "../store/room.ts";
import { isVisible } from "../store/visibility.ts";
import { encodeToken } from "../stream-token.ts";
import { clientEvent } from "../sync/client-event.ts";
import type { ApiContext } from "./context.ts";
import { open, positionOf, visibleEvent } from "./history.ts";

/** Events that relate to an event, and threads. */
export function relationsRoutes(context: ApiContext): Route[] {
  const relations = (call: Call): Reply => {
    const { room, reader, end } = open(context, call);
    const parent = visibleEvent(room, call, reader, end);
    const { relType, type } = call.params;
    const backwards = call.query.get("dir") !== "f";
    const from = positionOf(call, "from");
    const matching = (room.relations.get(parent.eventId) ?? []).filter(
      (event) =>
        (relType === undefined || relTypeOf(event) === relType) &&
        (type === undefined || event.type === type) &&
        isVisible(room, event, reader.userId),
    );
    const ordered = backwards ? matching.toReversed() : matching;
    const started = ordered.filter(
      (event) => from === null || (backwards ? event.position <= from : event.position > from),
    );
    return ok(page(call, started, backwards, (event) => clientEvent(room, event, reader)));
  };
  const threads = (call: Call): Reply => {
    const { room, reader } = open(context, call);
    const isOwn = (event: RoomEvent | undefined): boolean => event?.sender === reader.userId;
    const roots: { readonly root: RoomEvent; readonly latest: number }[] = [];
    for (const [parentId, related] of room.relations) {
      const root = room.byId.get(parentId);
      const thread = related.filter((event) => relTypeOf(event) === "m.thread");
      const latest = thread.at(-1);
      if (root === undefined || latest === undefined) continue;
      const participated = isOwn(root) || thread.some(isOwn);
      if (call.query.get("include") === "participated" && !participated) continue;
      roots.push({ root, latest: latest.position });
    }
    const from = positionOf(call, "from") ?? Infinity;
    const started = roots
      .filter(({ latest }) => latest <= from)
      .sort((a, b) => b.latest - a.latest);
    const limit = call.integer("limit", 50);
    const next = started[limit];
    return ok({
      chunk: started.slice(0, limit).map(({ root }) => clientEvent(room, root, reader)),
      ...(next === undefined
        ? {}
        : { next_batch: encodeToken({ main: next.latest, toDevice: 0 }) }),
    });
  };
  const base = "rooms/{roomId}/relations/{eventId}";
  return [
    ...[base, `${base}/{relType}`, `${base}/{relType}/{type}`].flatMap((path) =>
      client("GET", path, relations, ["v1"]),
    ),
    ...client("GET", "rooms/{roomId}/threads", threads, ["v1"]),
  ];
}

function page(
  call: Call,
  events: readonly RoomEvent[],
  backwards: boolean,
  write: (event: RoomEvent) => JsonObject,
): JsonObject {
  const limit = call.integer("limit", 5);
  const shown = events.slice(0, limit);
  const last = shown.at(-1);
  const hasMore = events.length > shown.length && last !== undefined;
  const main = last === undefined ? 0 : last.position - (backwards ? 1 : 0);
  return {
    chunk: shown.map(write),
    ...(hasMore ? { next_batch: encodeToken({ main, toDevice: 0 }) } : {}),
  };
}

function relTypeOf(event: RoomEvent): unknown {
  return objectOr(event.content["m.relates_to"])["rel_type"];
}
