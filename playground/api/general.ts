import { client, ok } from "../router.ts";
import type { Route } from "../router.ts";
import type { ApiContext } from "./context.ts";

/** What the server is and can do. */
export function generalRoutes(context: ApiContext): Route[] {
  const versions = ["r0.5.0", "r0.6.1", ...Array.from({ length: 12 }, (_, i) => `v1.${i + 1}`)];
  const versionsBody = {
    versions,
    unstable_features: {
      "org.matrix.e2e_cross_signing": true,
      "org.matrix.msc2432": true,
      "org.matrix.msc3916.stable": true,
      "uk.tcpip.msc4133": false,
    },
  };
  const capabilities = {
    capabilities: {
      "m.room_versions": {
        default: "10",
        available: { "9": "stable", "10": "stable", "11": "stable" },
      },
      "m.change_password": { enabled: false },
      "m.set_displayname": { enabled: true },
      "m.set_avatar_url": { enabled: true },
      "m.3pid_changes": { enabled: false },
      "m.get_login_token": { enabled: true },
    },
  };
  return [
    { method: "GET", path: "/_matrix/client/versions", handler: () => ok(versionsBody) },
    {
      method: "GET",
      path: "/.well-known/matrix/client",
      handler: () => ok({ "m.homeserver": { base_url: `${context.url}/` } }),
    },
    { method: "GET", path: "/health", handler: () => ({ statusCode: 200, body: "OK" }) },
    ...client("GET", "capabilities", (call) => {
      call.requester();
      return ok(capabilities);
    }),
    ...client(
      "GET",
      "voip/turnServer",
      (call) => {
        call.requester();
        return ok();
      },
      ["api/v1"],
    ),
    ...client("GET", "thirdparty/protocols", () => ok()),
    ...client("GET", "pushers", () => ok({ pushers: [] }), ["api/v1"]),
    ...client("GET", "notifications", () => ok({ notifications: [] }), ["api/v1"]),
  ];
}
