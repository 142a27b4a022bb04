import { randomBytes } from "node:crypto";
import { ApiError, forbidden, notFound } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { canonicalJson } from "../json.ts";
import { randomLetters } from "../random.ts";
import type { Accounts } from "./accounts.ts";
import { requireMembershipChange } from "./membership-rules.ts";
import { requireValidContent } from "./content-rules.ts";
import type { Notifier } from "./notifier.ts";
import { PowerLevels } from "./power-levels.ts";
import { redactedContent } from "./redaction.ts";
import { Room, membershipOf } from "./room.ts";
import type { Membership, RoomEvent } from "./room.ts";

/** What a sender gives of an event. */
export interface EventDraft {
  readonly type: string;
  readonly sender: string;
  readonly content: JsonObject;
  readonly stateKey?: string;
  readonly redacts?: string;
  readonly originServerTs?: number;
  /** A transaction that was seen before gives its event again. */
  readonly origin?: { readonly deviceId: string | null; readonly txnId: string } | null;
}

/** All rooms; the only place where events come into being. */
export class Rooms {
  readonly all = new Map<string, Room>();
  readonly aliases = new Map<string, { readonly roomId: string; readonly creator: string }>();
  readonly published = new Set<string>();
  readonly #accounts: Accounts;
  readonly #notifier: Notifier;
  /** Every event, in the order in which it came to be. */
  readonly events: RoomEvent[] = [];
  readonly #listeners = new Set<(event: RoomEvent, room: Room) => void>();
  readonly #byTransaction = new Map<string, RoomEvent>();

  constructor(accounts: Accounts, notifier: Notifier) {
    this.#accounts = accounts;
    this.#notifier = notifier;
  }

  /** Calls back for each new event. */
  onEvent(listener: (event: RoomEvent, room: Room) => void): void {
    this.#listeners.add(listener);
  }

  /** A new room without events. */
  create(version: string): Room {
    const room = new Room(`!${randomLetters(18)}:${this.#accounts.serverName}`, version);
    this.all.set(room.roomId, room);
    return room;
  }

  /** The room, or 404. */
  get(roomId: string): Room {
    const room = this.all.get(roomId);
    if (room === undefined) throw notFound(`Unknown room ${roomId}`);
    return room;
  }

  /** Rooms in which the user has one of these memberships. */
  of(userId: string, ...memberships: readonly Membership[]): Room[] {
    const rooms: Room[] = [];
    for (const roomId of this.#accounts.users.get(userId)?.rooms ?? []) {
      const room = this.all.get(roomId);
      const membership = room?.membership(userId) ?? null;
      if (room !== undefined && membership !== null && memberships.includes(membership)) {
        rooms.push(room);
      }
    }
    return rooms;
  }

  /** The room, if the user is joined to it. Throws 403. */
  requireJoined(roomId: string, userId: string): Room {
    const room = this.all.get(roomId);
    if (room?.membership(userId) !== "join") {
      throw forbidden(`User ${userId} not in room ${roomId}`);
    }
    return room;
  }

  /** The room, if the user is or was joined to it, or it is world readable. Throws 403. */
  requireReadable(roomId: string, userId: string): Room {
    const room = this.all.get(roomId);
    const wasJoined = room
      ?.membershipHistory(userId)
      .some((event) => membershipOf(event) === "join");
    const visibility = room?.state("m.room.history_visibility")?.content["history_visibility"];
    if (room === undefined || (wasJoined !== true && visibility !== "world_readable")) {
      throw forbidden(`User ${userId} not in room ${roomId}, and room previews are disabled`);
    }
    return room;
  }

  /**
   * Checks, stores and announces an event. A transaction id that the same device used in the room
   * before, whatever for, gives that event again; a state event equal to the current one is not sent again.
   * Throws 403 M_FORBIDDEN.
   */
  send(room: Room, draft: EventDraft): RoomEvent {
    const transaction = transactionKey(room, draft);
    const known = transaction === null ? undefined : this.#byTransaction.get(transaction);
    if (known !== undefined) return known;
    const replaces = draft.stateKey === undefined ? null : room.state(draft.type, draft.stateKey);
    if (replaces?.sender === draft.sender && sameContent(replaces.content, draft.content)) {
      return replaces;
    }
    requireValidContent(draft.type, draft.content);
    requireFittingSize(draft.content);
    authorize(room, draft);
    const event: RoomEvent = {
      eventId: `$${randomBytes(32).toString("base64url")}`,
      roomId: room.roomId,
      type: draft.type,
      sender: draft.sender,
      stateKey: draft.stateKey ?? null,
      content: draft.content,
      originServerTs: draft.originServerTs ?? Date.now(),
      position: this.#notifier.next(),
      redacts: draft.redacts ?? null,
      redactedBy: null,
      replaces,
      origin: draft.origin ?? null,
    };
    room.append(event);
    this.events.push(event);
    if (transaction !== null) this.#byTransaction.set(transaction, event);
    if (event.redacts !== null) redact(room, event, event.redacts);
    if (event.type === "m.room.member" && event.stateKey !== null) {
      const user = this.#accounts.users.get(event.stateKey);
      user?.rooms.add(room.roomId);
      user?.forgotten.delete(room.roomId);
    }
    for (const listener of this.#listeners) listener(event, room);
    this.#notifier.wake([
      ...room.members("join"),
      ...(event.stateKey?.startsWith("@") === true ? [event.stateKey] : []),
    ]);
    return event;
  }
}

function transactionKey(room: Room, draft: EventDraft): string | null {
  const origin = draft.origin ?? null;
  if (origin?.deviceId == null) return null;
  return JSON.stringify([room.roomId, draft.sender, origin.deviceId, origin.txnId]);
}

function sameContent(a: JsonObject, b: JsonObject): boolean {
  return canonicalJson(a) === canonicalJson(b);
}

/** What a homeserver adds to the content of an event, roughly: hashes, signatures, references. */
const ENVELOPE_BYTES = 1_500;
const MAX_EVENT_BYTES = 65_536;

/** @see https://spec.matrix.org/v1.16/client-server-api/#size-limits */
function requireFittingSize(content: unknown): void {
  if (Buffer.byteLength(JSON.stringify(content)) + ENVELOPE_BYTES > MAX_EVENT_BYTES) {
    throw new ApiError(413, "M_TOO_LARGE", "event too large");
  }
}

function authorize(room: Room, draft: EventDraft): void {
  if (room.events.length === 0 && draft.type === "m.room.create") return;
  if (draft.type === "m.room.member" && draft.stateKey !== undefined) {
    const membership = draft.content["membership"];
    if (
      membership === "join" ||
      membership === "invite" ||
      membership === "leave" ||
      membership === "ban" ||
      membership === "knock"
    ) {
      requireMembershipChange(room, draft.sender, draft.stateKey, membership);
      return;
    }
    throw forbidden("Invalid membership");
  }
  if (room.membership(draft.sender) !== "join") {
    throw forbidden(`User ${draft.sender} not in room ${room.roomId}`);
  }
  if (draft.stateKey?.startsWith("@") === true && draft.stateKey !== draft.sender) {
    throw forbidden("You are not allowed to set others state");
  }
  const levels = new PowerLevels(room);
  levels.requireSend(draft.sender, draft.type, draft.stateKey !== undefined);
  if (draft.redacts === undefined) return;
  const target = room.byId.get(draft.redacts);
  if (target?.sender !== draft.sender && levels.of(draft.sender) < levels.toAct("redact")) {
    throw forbidden("You don't have permission to redact events");
  }
}

function redact(room: Room, redaction: RoomEvent, targetId: string): void {
  const target = room.byId.get(targetId);
  if (target?.redactedBy !== null) return;
  const relatesTo = target.content["m.relates_to"];
  target.content = redactedContent(target.type, target.content);
  target.redactedBy = redaction;
  if (relatesTo === undefined) return;
  for (const related of room.relations.values()) {
    const index = related.indexOf(target);
    if (index >= 0) related.splice(index, 1);
  }
}
