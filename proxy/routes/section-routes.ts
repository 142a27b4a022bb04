import type { Accounts } from "../accounts/accounts.ts";
import type { Clock } from "../clock.ts";
import { matchesRoomPattern, type SectionSettings } from "../config/settings.ts";
import type { Homeserver } from "../homeserver/homeserver.ts";
import type { EncryptionPins } from "../rooms/encryption-pins.ts";
import { RoomEncryptionState } from "../rooms/room-encryption.ts";
import type { MediaKeys } from "../media/media-keys.ts";
import type { OwnSyncLoops } from "../sync/own-sync-loops.ts";
import type { SectionSessions } from "../sync/section-sessions.ts";
import type { Handlers } from "./call.ts";
import { keysRoutes } from "./keys.ts";
import { loginRoutes } from "./login.ts";
import { logoutRoutes } from "./logout.ts";
import { mediaRoutes } from "./media.ts";
import { readRoutes } from "./read.ts";
import { roomRoutes } from "./rooms.ts";
import { sendRoutes } from "./send.ts";
import { syncRoutes } from "./sync.ts";
import { versionsRoutes } from "./versions.ts";
import { wellKnownRoutes } from "./well-known.ts";
import { whoamiRoutes } from "./whoami.ts";

/** What the routes of one section work on. */
export interface RouteParts {
  readonly settings: Pick<SectionSettings, "hideEncryption" | "requireEncryption">;
  readonly accounts: Accounts;
  readonly sessions: SectionSessions;
  readonly loops: OwnSyncLoops;
  readonly pins: EncryptionPins;
  readonly mediaKeys: MediaKeys;
  readonly homeserver: Homeserver;
  readonly clock: Clock;
}

/** The handlers of every endpoint that is answered; the rest passes, or is refused. */
export function sectionRoutes(parts: RouteParts): Handlers {
  const { settings, accounts, sessions, loops, pins, mediaKeys, homeserver, clock } = parts;
  return {
    ...loginRoutes({ accounts, publicUrl: null }),
    ...logoutRoutes(accounts),
    ...whoamiRoutes(accounts),
    ...wellKnownRoutes(null),
    ...versionsRoutes(),
    ...keysRoutes({ accounts, sessions }),
    ...roomRoutes(pins, settings.hideEncryption),
    ...readRoutes({ accounts, sessions }),
    ...mediaRoutes({ accounts, sessions, keys: mediaKeys }),
    ...syncRoutes({ accounts, sessions, loops, clock }),
    ...sendRoutes({
      accounts,
      sessions,
      encryption: new RoomEncryptionState(pins, homeserver),
      requiresEncryption: (roomId) => matchesRoomPattern(settings.requireEncryption, roomId),
      onActive: (device) => loops.ensure(device),
    }),
  };
}
