import type { Route } from "../router.ts";
import { accountRoutes } from "./account.ts";
import type { ApiContext } from "./context.ts";
import { createRoomRoutes } from "./create-room.ts";
import { crossSigningRoutes } from "./cross-signing.ts";
import { generalRoutes } from "./general.ts";
import { keysRoutes } from "./keys.ts";
import { loginRoutes } from "./login.ts";
import { membershipRoutes } from "./membership.ts";
import { registerRoutes } from "./register.ts";
import { roomStateRoutes } from "./room-state.ts";
import { sendRoutes } from "./send.ts";
import { syncRoutes } from "./sync.ts";
import { toDeviceRoutes } from "./to-device.ts";
import { appserviceRoutes } from "./appservice.ts";
import { directoryRoutes } from "./directory.ts";
import { ephemeralRoutes } from "./ephemeral.ts";
import { historyRoutes } from "./history.ts";
import { mediaRoutes } from "./media.ts";
import { relationsRoutes } from "./relations.ts";
import { roomKeysRoutes } from "./room-keys.ts";
import { Transactions } from "./transactions.ts";
import { userDataRoutes } from "./user-data.ts";

/** Every endpoint of the homeserver. */
export function apiRoutes(context: ApiContext): Route[] {
  const transactions = new Transactions();
  return [
    ...generalRoutes(context),
    ...loginRoutes(context),
    ...registerRoutes(context),
    ...accountRoutes(context),
    ...userDataRoutes(context),
    ...createRoomRoutes(context),
    ...membershipRoutes(context),
    ...roomStateRoutes(context),
    ...sendRoutes(context, transactions),
    ...syncRoutes(context),
    ...appserviceRoutes(context),
    ...directoryRoutes(context),
    ...ephemeralRoutes(context),
    ...historyRoutes(context),
    ...mediaRoutes(context),
    ...relationsRoutes(context),
    ...roomKeysRoutes(),
    ...keysRoutes(context),
    ...crossSigningRoutes(context),
    ...toDeviceRoutes(context, transactions),
  ];
}
