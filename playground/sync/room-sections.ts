import type { JsonObject } from "../json.ts";
import { objectOr } from "../json.ts";
import type { Store } from "../store/store.ts";
import { membershipOf } from "../store/room.ts";
import type { Room, RoomEvent } from "../store/room.ts";
import type { User } from "../store/user.ts";
import { encodeToken } from "../stream-token.ts";
import type { Reader } from "./client-event.ts";
import { strippedEvent, syncEvent, syncStateEvent } from "./client-event.ts";
import { ephemeralEvents } from "./ephemeral.ts";
import { onlyFields } from "./event-fields.ts";
import type { SyncFilter } from "./filter.ts";
import { stateForSection } from "./room-state.ts";
import { recentTimeline } from "./timeline.ts";

/** What the room sections of one response are made from. */
export interface SectionInput {
  readonly store: Store;
  readonly user: User;
  readonly reader: Reader;
  readonly filter: SyncFilter;
  /** Position in the main stream; null: initial. */
  readonly since: number | null;
  readonly now: number;
  readonly toDevice: number;
  readonly fullState: boolean;
}

/** One room's part of a response, with the events in it. */
export interface Section {
  readonly body: JsonObject;
  readonly events: readonly RoomEvent[];
}

const STRIPPED = [
  "m.room.create",
  "m.room.join_rules",
  "m.room.canonical_alias",
  "m.room.avatar",
  "m.room.name",
  "m.room.encryption",
  "m.room.topic",
];

/** The `join` section of a room, or null if there is nothing to tell. */
export function joinedSection(input: SectionInput, room: Room): Section | null {
  const { user, filter, since } = input;
  const isNewlyJoined = since !== null && room.joinedChange(user.userId, since) === "joined";
  const base = isNewlyJoined ? null : since;
  const timeline = timelineSection(input, room, isNewlyJoined, input.now);
  const ephemeral = ephemeralEvents(room, user.userId, base).filter((event) =>
    filter.ephemeral.matches({ type: event["type"], roomId: room.roomId }),
  );
  const accountData = roomAccountData(input, room, input.fullState ? null : base);
  const isEmpty =
    base !== null &&
    !input.fullState &&
    timeline.events.length === 0 &&
    !timeline.limited &&
    ephemeral.length === 0 &&
    accountData.length === 0;
  if (isEmpty) return null;
  const tellsMembers =
    filter.state.lazyLoadMembers &&
    (base === null || timeline.events.some((event) => event.type === "m.room.member"));
  return {
    events: timeline.events,
    body: {
      ...timeline.body,
      account_data: { events: accountData },
      ephemeral: { events: ephemeral },
      unread_notifications: { notification_count: 0, highlight_count: 0 },
      summary: tellsMembers ? summary(room, user.userId) : {},
    },
  };
}

/** The `leave` section of a room that the user left, or null if there is nothing to tell. */
export function leftSection(input: SectionInput, room: Room): Section | null {
  const { user, filter, since } = input;
  const leave = room.membershipHistory(user.userId).at(-1);
  if (leave === undefined) return null;
  const wasJoined = membershipOf(leave.replaces) === "join";
  const isNew = since !== null && leave.position > since;
  if (!isNew && !(since === null && filter.includeLeave)) return null;
  if (!wasJoined) {
    // a declined invite or a ban from outside: the member event alone
    const matches = filter.timeline.matches(leave);
    const events = matches ? [leave] : [];
    return { events, body: sectionBody(input, room, events, [], false, leave.position - 1) };
  }
  const timeline = timelineSection(input, room, false, leave.position);
  return {
    events: timeline.events,
    body: { ...timeline.body, account_data: { events: roomAccountData(input, room, since) } },
  };
}

/** The `invite` or `knock` section's events, or null if it was told before. */
export function strippedSection(input: SectionInput, room: Room): readonly JsonObject[] | null {
  const member = room.state("m.room.member", input.user.userId);
  if (member === null || (input.since !== null && member.position <= input.since)) return null;
  const state = STRIPPED.map((type) => room.state(type)).filter((event) => event !== null);
  const sender = room.state("m.room.member", member.sender);
  if (sender !== null && sender !== member) state.push(sender);
  return [...state.map(strippedEvent), syncStateEvent(room, member, input.reader)];
}

function timelineSection(
  input: SectionInput,
  room: Room,
  isNewlyJoined: boolean,
  to: number,
): Section & { readonly limited: boolean } {
  const { user, filter, since } = input;
  const { userId } = user;
  const timeline = recentTimeline({
    room,
    userId,
    filter: filter.timeline,
    since,
    to,
    isNewlyJoined,
  });
  const stateSince = isNewlyJoined || input.fullState ? null : since;
  const state = stateForSection({ room, userId, filter, timeline, since: stateSince, to });
  const { events, limited, start } = timeline;
  return {
    events: [...state, ...events],
    limited,
    body: sectionBody(input, room, events, state, limited, start),
  };
}

function sectionBody(
  input: SectionInput,
  room: Room,
  events: readonly RoomEvent[],
  state: readonly RoomEvent[],
  limited: boolean,
  start: number,
): JsonObject {
  const write = (event: RoomEvent): JsonObject =>
    onlyFields(syncEvent(room, event, input.reader, limited), input.filter.eventFields);
  return {
    timeline: {
      events: events.map(write),
      prev_batch: encodeToken({ main: start, toDevice: input.toDevice }),
      limited,
    },
    state: {
      events: state.map((event) =>
        onlyFields(syncStateEvent(room, event, input.reader), input.filter.eventFields),
      ),
    },
  };
}

function roomAccountData(input: SectionInput, room: Room, since: number | null): JsonObject[] {
  const events: JsonObject[] = [];
  for (const [type, entry] of input.user.roomAccountData.get(room.roomId) ?? []) {
    if (entry.position <= (since ?? 0)) continue;
    const event = { type, content: entry.value };
    const matches = input.filter.roomAccountData.matches({ ...event, roomId: room.roomId });
    if (matches) events.push(event);
  }
  return events;
}

function summary(room: Room, userId: string): JsonObject {
  const joined = room.members("join");
  const invited = room.members("invite");
  const hasName = typeof objectOr(room.state("m.room.name")?.content)["name"] === "string";
  const heroes = [...joined, ...invited].filter((id) => id !== userId).slice(0, 5);
  return {
    ...(hasName ? {} : { "m.heroes": heroes }),
    "m.joined_member_count": joined.length,
    "m.invited_member_count": invited.length,
  };
}
