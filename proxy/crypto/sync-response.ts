import type { RoomId } from "../matrix/identifiers.ts";
import { passesEventFilter, pruneEvent, roomEventFilters } from "../matrix/filter.ts";
import { asArray, asObject, asString, isObject, type JsonObject } from "../matrix/json.ts";
import {
  eachEvent,
  readEncryptionState,
  stripMarks,
  withoutEncryptionState,
} from "../matrix/room-events.ts";
import type { DecryptOutcome } from "./event-decryptor.ts";
import type { NewOwedItem, OwedEntry } from "./owed-events.ts";
import type { SeenEncryption } from "./protocol.ts";
import {
  arrangeTimeline,
  eventsToDecrypt,
  type TimelineInput,
  type TimelineRules,
} from "./room-timeline.ts";

/** The state at the end of the timeline, where the client asked for that. */
const afterMembers = ["state_after", "org.matrix.msc4222.state_after"];
const stateMembers = ["state", ...afterMembers];

/** A room's part of a sync response, with what is owed for it. */
interface RoomPart {
  readonly room: JsonObject;
  readonly input: TimelineInput;
  readonly toDecrypt: readonly JsonObject[];
}

/** What stays outstanding after a response. */
export interface Outstanding {
  readonly kept: readonly OwedEntry[];
  readonly fresh: readonly NewOwedItem[];
}

/**
 * A parsed `/sync` response on its way to a client, changed in place. Pure: the decryption between
 * {@link SyncResponse.toDecrypt} and {@link SyncResponse.arrange} is the caller's.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#get_matrixclientv3sync
 */
export class SyncResponse {
  readonly #response: JsonObject;
  readonly #parts: RoomPart[] = [];
  readonly #pins: SeenEncryption[] = [];
  readonly #touched = new Set<RoomId>();

  /** @param hideEncryption - whether clients are not to see that a room is encrypted */
  constructor(response: JsonObject, owed: readonly OwedEntry[], hideEncryption: boolean) {
    this.#response = response;
    const byRoom = groupByRoom(owed);
    const rooms = asObject(response["rooms"]);
    for (const section of ["join", "leave", "invite", "knock"]) {
      for (const [id, value] of Object.entries(asObject(rooms?.[section]) ?? {})) {
        if (!isObject(value)) continue;
        const roomId = id as RoomId;
        this.#scan(roomId, value);
        if (hideEncryption) hideEncryptionState(value);
        if (section === "invite" || section === "knock") continue;
        this.#addPart(roomId, value, byRoom.get(roomId) ?? [], section === "leave");
        byRoom.delete(roomId);
      }
    }
    for (const [roomId, entries] of byRoom) this.#addPart(roomId, {}, entries, false);
  }

  /** Encryption seen in the response's rooms, as their pins are to hold it. */
  get pins(): readonly SeenEncryption[] {
    return this.#pins;
  }

  /** Rooms whose membership or history visibility may have changed. */
  get touched(): ReadonlySet<RoomId> {
    return this.#touched;
  }

  /** Everything that has to be decrypted, room by room in order. */
  toDecrypt(): { readonly roomId: RoomId; readonly event: JsonObject }[] {
    return this.#parts.flatMap(({ input, toDecrypt }) =>
      toDecrypt.map((event) => ({ roomId: input.roomId, event })),
    );
  }

  /** Puts decrypted timelines into place and says what stays outstanding. */
  arrange(outcomes: readonly DecryptOutcome[], rules: TimelineRules): Outstanding {
    const kept: OwedEntry[] = [];
    const fresh: NewOwedItem[] = [];
    let used = 0;
    for (const { room, input, toDecrypt } of this.#parts) {
      const own = outcomes.slice(used, used + toDecrypt.length);
      used += toDecrypt.length;
      const output = arrangeTimeline(input, own, rules);
      kept.push(...output.kept);
      fresh.push(...output.fresh);
      const known = asObject(room["timeline"]);
      if (known === null && output.events.length === 0) continue;
      if (known === null) this.#joinedRooms()[input.roomId] = room;
      room["timeline"] = {
        ...known,
        events: output.events,
        limited: output.limited,
        ...(output.prevBatch === null ? {} : { prev_batch: output.prevBatch }),
      };
    }
    return { kept, fresh };
  }

  /** Drops what the client's own filter does not ask for; rooms in which nothing is left go too. */
  applyFilter(filter: JsonObject | null): void {
    if (filter === null) return;
    const { timeline, state, eventFields } = roomEventFilters(filter);
    const rooms = asObject(this.#response["rooms"]);
    for (const section of ["join", "leave"]) {
      const list = asObject(rooms?.[section]);
      if (list === null) continue;
      for (const [roomId, room] of Object.entries(list)) {
        if (!isObject(room)) continue;
        const hidden = filterEvents(room["timeline"], timeline, eventFields);
        let dropped = hidden.length;
        showAsState(room, hidden);
        for (const member of stateMembers) {
          dropped += filterEvents(room[member], state, eventFields).length;
        }
        // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- a map by room id
        if (dropped > 0 && hasNoEvents(room)) delete list[roomId];
      }
    }
  }

  /** True where nothing is in it that would end a long poll. */
  isEmpty(): boolean {
    const rooms = asObject(this.#response["rooms"]) ?? {};
    const sections = Object.values(rooms).map((section) => asObject(section) ?? {});
    if (sections.some((section) => Object.keys(section).length > 0)) return false;
    return ["presence", "account_data", "to_device"].every(
      (member) => asArray(asObject(this.#response[member])?.["events"]).length === 0,
    );
  }

  #addPart(roomId: RoomId, room: JsonObject, owed: readonly OwedEntry[], left: boolean): void {
    const timeline = asObject(room["timeline"]);
    const input: TimelineInput = {
      roomId,
      owed,
      events: asArray(timeline?.["events"]).filter(isObject),
      limited: timeline?.["limited"] === true,
      prevBatch: asString(timeline?.["prev_batch"]),
      left,
    };
    this.#parts.push({ room, input, toDecrypt: eventsToDecrypt(input) });
  }

  /** Finds encryption and membership in a room's part, and removes marks that are ours to set. */
  #scan(roomId: RoomId, room: JsonObject): void {
    // A gap may hide members who came or left, and a client's filter the state that would show them.
    if (asObject(room["timeline"])?.["limited"] === true) this.#touched.add(roomId);
    for (const part of Object.values(room)) {
      eachEvent(asObject(part)?.["events"], (event) => {
        stripMarks(event);
        const content = readEncryptionState(event);
        if (content !== null) this.#pins.push({ roomId, content });
        else if (event["type"] === "m.room.encrypted") this.#pinCiphertext(roomId);
        if (event["type"] === "m.room.member" || event["type"] === "m.room.history_visibility") {
          this.#touched.add(roomId);
        }
      });
    }
  }

  #pinCiphertext(roomId: RoomId): void {
    if (this.#pins.at(-1)?.roomId === roomId) return;
    this.#pins.push({ roomId, content: null });
  }

  #joinedRooms(): JsonObject {
    const rooms = asObject(this.#response["rooms"]) ?? {};
    const join = asObject(rooms["join"]) ?? {};
    rooms["join"] = join;
    this.#response["rooms"] = rooms;
    return join;
  }
}

function groupByRoom(owed: readonly OwedEntry[]): Map<RoomId, OwedEntry[]> {
  const byRoom = new Map<RoomId, OwedEntry[]>();
  for (const entry of owed) {
    const list = byRoom.get(entry.item.roomId);
    if (list === undefined) byRoom.set(entry.item.roomId, [entry]);
    else list.push(entry);
  }
  return byRoom;
}

function hideEncryptionState(room: JsonObject): void {
  for (const part of Object.values(room)) {
    const object = asObject(part);
    if (object !== null && Array.isArray(object["events"])) {
      object["events"] = withoutEncryptionState(object["events"]);
    }
  }
}

/** Filters `part.events` in place; returns what was dropped. */
function filterEvents(
  part: unknown,
  filter: JsonObject,
  eventFields: readonly (readonly string[])[] | null,
): JsonObject[] {
  const object = asObject(part);
  const events = object?.["events"];
  if (object === null || !Array.isArray(events)) return [];
  const before = events.filter(isObject);
  const kept = before.filter((event) => passesEventFilter(event, filter));
  object["events"] =
    eventFields === null ? kept : kept.map((event) => pruneEvent(event, eventFields));
  return before.filter((event) => !passesEventFilter(event, filter));
}

/**
 * The homeserver leaves out of `state` what it shows in the timeline. State that the client does not
 * see there, because only Kirjava asked for it, has to be in `state` then.
 */
function showAsState(room: JsonObject, hidden: readonly JsonObject[]): void {
  if (afterMembers.some((member) => Object.hasOwn(room, member))) return;
  const changes = new Map(
    hidden
      .filter((event) => typeof event["state_key"] === "string")
      .map((event) => [stateName(event), event]),
  );
  if (changes.size === 0) return;
  const state = asObject(room["state"]) ?? {};
  const older = asArray(state["events"]).filter(
    (event) => !isObject(event) || !changes.has(stateName(event)),
  );
  room["state"] = { ...state, events: [...older, ...changes.values()] };
}

function stateName(event: JsonObject): string {
  return JSON.stringify([event["type"], event["state_key"]]);
}

function hasNoEvents(room: JsonObject): boolean {
  if (asObject(room["timeline"])?.["limited"] === true) return false;
  return Object.values(room).every((part) => asArray(asObject(part)?.["events"]).length === 0);
}
