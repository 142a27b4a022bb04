import type { JsonObject } from "../json.ts";
import { noteSyncedMember } from "../store/device-lists.ts";
import type { SeenMembers } from "../store/device-lists.ts";
import type { Device } from "../store/device.ts";
import type { Store } from "../store/store.ts";
import type { User } from "../store/user.ts";
import type { StreamToken } from "../stream-token.ts";
import { encodeToken } from "../stream-token.ts";
import type { SyncFilter } from "./filter.ts";
import { joinedSection, leftSection, strippedSection } from "./room-sections.ts";
import type { SectionInput } from "./room-sections.ts";

/** A response and whether it tells anything: an empty one keeps the long poll open. */
export interface SyncResponse {
  readonly body: JsonObject;
  readonly isEmpty: boolean;
}

/** Builds the response of one /sync request as things are now. */
export function buildSyncResponse(o: {
  readonly store: Store;
  readonly user: User;
  readonly device: Device | null;
  readonly filter: SyncFilter;
  readonly since: StreamToken | null;
  readonly fullState: boolean;
}): SyncResponse {
  const { store, user, device, filter, since } = o;
  const now = store.notifier.position;
  const inbox =
    device === null
      ? { messages: [], position: store.toDevice.position }
      : store.toDevice.read(device, since?.toDevice ?? 0);
  const input: SectionInput = {
    store,
    user,
    reader: { userId: user.userId, deviceId: device?.deviceId ?? null },
    filter,
    since: since?.main ?? null,
    now,
    toDevice: inbox.position,
    fullState: o.fullState,
  };
  const seen: SeenMembers = { appeared: new Set(), left: new Set() };
  const rooms = roomSections(input, seen);
  const accountData = globalAccountData(input);
  const lists =
    since === null
      ? { changed: [], left: [] }
      : store.deviceLists.update(user.userId, since.main, seen);
  const hasLists = lists.changed.length + lists.left.length > 0;
  const isEmpty =
    Object.keys(rooms).length + accountData.length + inbox.messages.length === 0 && !hasLists;
  return {
    isEmpty,
    body: {
      next_batch: encodeToken({ main: now, toDevice: inbox.position }),
      ...(accountData.length === 0 ? {} : { account_data: { events: accountData } }),
      ...(inbox.messages.length === 0
        ? {}
        : {
            to_device: {
              events: inbox.messages.map(({ sender, type, content }) => ({
                content,
                type,
                sender,
              })),
            },
          }),
      ...(hasLists
        ? {
            device_lists: {
              ...(lists.changed.length === 0 ? {} : { changed: lists.changed }),
              ...(lists.left.length === 0 ? {} : { left: lists.left }),
            },
          }
        : {}),
      device_one_time_keys_count: device?.oneTimeKeyCounts() ?? {},
      device_unused_fallback_key_types: device?.unusedFallbackKeyTypes() ?? [],
      ...(Object.keys(rooms).length === 0 ? {} : { rooms }),
    },
  };
}

function roomSections(input: SectionInput, seen: SeenMembers): JsonObject {
  const { user, store, filter, since } = input;
  const sections = {
    join: [] as [string, JsonObject][],
    invite: [] as [string, JsonObject][],
    knock: [] as [string, JsonObject][],
    leave: [] as [string, JsonObject][],
  };
  if (filter.rooms.blocksAll) return {};
  for (const roomId of user.rooms) {
    const room = store.rooms.all.get(roomId);
    const membership = room?.membership(user.userId) ?? null;
    if (room === undefined || membership === null) continue;
    if (!filter.rooms.matchesRoom(roomId)) continue;
    if (membership === "invite" || membership === "knock") {
      const events = strippedSection(input, room);
      if (events !== null) {
        sections[membership].push([roomId, { [`${membership}_state`]: { events } }]);
      }
    } else if (membership === "join") {
      const section = joinedSection(input, room);
      if (section === null) continue;
      sections.join.push([roomId, section.body]);
      if (since !== null) for (const event of section.events) noteSyncedMember(seen, event);
    } else if (!user.forgotten.has(roomId)) {
      const section = leftSection(input, room);
      if (section !== null) sections.leave.push([roomId, section.body]);
    }
  }
  return Object.fromEntries(
    Object.entries(sections)
      .filter(([, entries]) => entries.length > 0)
      .map(([name, entries]) => [name, Object.fromEntries(entries)]),
  );
}

function globalAccountData(input: SectionInput): JsonObject[] {
  const events: JsonObject[] = [];
  for (const [type, entry] of input.user.accountData) {
    if (entry.position <= (input.fullState ? 0 : (input.since ?? 0))) continue;
    const event = { type, content: entry.value };
    if (input.filter.accountData.matches(event)) events.push(event);
  }
  if (
    (input.since === null || input.fullState) &&
    input.filter.accountData.matches({ type: "m.push_rules" })
  ) {
    events.push({ type: "m.push_rules", content: EMPTY_PUSH_RULES });
  }
  return events;
}

/** Push rules of a user who has none. */
export const EMPTY_PUSH_RULES: JsonObject = {
  global: { override: [], content: [], room: [], sender: [], underride: [] },
};
