import { asRecord, stringField } from "./json.ts";
import { nextTxn, type PlainRest } from "./peers/plain-rest.ts";

type JsonObject = Readonly<Record<string, unknown>>;

/** A room in which the same was said as in its twin. */
export interface TwinRoom {
  readonly roomId: string;
  /** Event ids by the name that the script gave them. */
  readonly ids: ReadonlyMap<string, string>;
}

/** Two rooms of the same members and the same history: one in the clear, one encrypted. */
export interface TwinRooms {
  readonly plain: TwinRoom;
  readonly encrypted: TwinRoom;
}

/** Makes both rooms with two clients that talk to Kirjava, and plays the same script in them. */
export async function makeTwinRooms(alice: PlainRest, bob: PlainRest): Promise<TwinRooms> {
  return {
    plain: await play(await alice.createRoom({ invite: [bob.userId] }), alice, bob),
    encrypted: await play(await alice.createEncryptedRoom([bob.userId]), alice, bob),
  };
}

async function play(roomId: string, alice: PlainRest, bob: PlainRest): Promise<TwinRoom> {
  const ids = new Map<string, string>();
  const room = `/rooms/${encodeURIComponent(roomId)}`;
  const send = async (name: string, who: PlainRest, type: string, content: JsonObject) => {
    const answer = await who.ok("PUT", `${room}/send/${type}/${nextTxn()}`, content);
    ids.set(name, stringField(answer, "event_id"));
  };
  const text = (body: string) => ({ msgtype: "m.text", body });
  await bob.join(roomId);
  await send("hello", alice, "m.room.message", text("hello"));
  await send("answer", bob, "m.room.message", {
    ...text("answer"),
    "m.relates_to": { "m.in_reply_to": { event_id: ids.get("hello") } },
  });
  await send("notice", alice, "m.room.message", { msgtype: "m.notice", body: "notice" });
  await send("custom", bob, "org.example.custom", { nested: { "a.b": [1, 2] }, url: 7 });
  await send("image", alice, "m.room.message", {
    msgtype: "m.image",
    body: "image.png",
    url: "mxc://example.org/image",
  });
  await send("reaction", bob, "m.reaction", {
    "m.relates_to": { rel_type: "m.annotation", event_id: ids.get("hello"), key: "👍" },
  });
  await alice.ok("PUT", `${room}/state/m.room.topic/`, { topic: "twins" });
  await send("edit", alice, "m.room.message", {
    ...text("* hello, edited"),
    "m.new_content": text("hello, edited"),
    "m.relates_to": { rel_type: "m.replace", event_id: ids.get("hello") },
  });
  await send("thread", bob, "m.room.message", {
    ...text("in a thread"),
    "m.relates_to": { rel_type: "m.thread", event_id: ids.get("notice") },
  });
  await send("last", bob, "m.room.message", text("last"));
  return { roomId, ids };
}

/**
 * Events without what differs between twins for good reason: ids become the script's names, times and
 * Kirjava's marks go, and so does the one state event that makes a room encrypted.
 */
export function comparable(events: unknown, room: TwinRoom): unknown[] {
  return (events as unknown[])
    .map(asRecord)
    .filter((event) => event["type"] !== "m.room.encryption")
    .map((event) => withoutDifferences(withoutOwnMembership(event), namesOf(room)));
}

/** The requester's own membership at the time is shown in timelines only, not in state. */
function withoutOwnMembership(event: JsonObject): JsonObject {
  if (event["unsigned"] === undefined) return event;
  const members = Object.entries(asRecord(event["unsigned"]));
  const unsigned = Object.fromEntries(members.filter(([name]) => name !== "membership"));
  return { ...event, unsigned };
}

function namesOf({ roomId, ids }: TwinRoom): ReadonlyMap<string, string> {
  return new Map([[roomId, "room"], ...[...ids].map(([name, id]) => [id, name] as const)]);
}

const DIFFERENT = new Set([
  "age",
  "decrypted",
  "verified",
  "origin_server_ts",
  "transaction_id",
  "replaces_state",
  "prev_sender",
  "user_id",
]);

function withoutDifferences(value: unknown, names: ReadonlyMap<string, string>): unknown {
  if (typeof value === "string") return names.get(value) ?? value.replace(/^\$.*/s, "an event id");
  if (Array.isArray(value)) return value.map((item: unknown) => withoutDifferences(item, names));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !DIFFERENT.has(name))
      .map(([name, member]) => [name, withoutDifferences(member, names)]),
  );
}
