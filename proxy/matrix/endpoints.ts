/**
 * The one table of endpoints that Kirjava knows. Whatever is not in it streams through untouched.
 *
 * Paths are written with `{C}` for every prefix of the client-server API (`/_matrix/client/v3` and its older and newer kin), `{M}`
 * for those of the legacy media API, and `{name}` for one segment that becomes a parameter. A parameter may be empty, as Synapse's
 * patterns allow. GET stands for HEAD too.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/
 */
export interface Endpoint {
  readonly methods: readonly string[];
  readonly paths: readonly string[];
  /**
   * Set where a request that reached the homeserver around its handler could put plaintext into an encrypted room, use up keys or
   * to-device events, or replace a device's keys. Such an endpoint is refused under every other spelling of its path, and when it
   * has no handler, unless it says `unhandled: "pass"`.
   */
  readonly guarded?: true;
  readonly unhandled?: "pass";
}

/** Every prefix under which a homeserver, old or new, serves the client-server API. */
export const CLIENT_PREFIXES: readonly string[] = [
  "/_matrix/client/api/v1",
  "/_matrix/client/v2_alpha",
  "/_matrix/client/r0",
  "/_matrix/client/v1",
  "/_matrix/client/v3",
  "/_matrix/client/v4",
  "/_matrix/client/unstable",
];

/** Every prefix of the legacy media API. */
export const MEDIA_PREFIXES: readonly string[] = [
  "/_matrix/media/r0",
  "/_matrix/media/v1",
  "/_matrix/media/v3",
  "/_matrix/media/unstable",
];

const table = {
  // what comes in
  sync: { methods: ["GET"], paths: ["{C}/sync"], guarded: true },
  slidingSync: {
    methods: ["POST"],
    paths: [
      "{C}/sync",
      "{C}/org.matrix.simplified_msc3575/sync",
      "{C}/org.matrix.msc3575/sync",
      "{C}/org.matrix.msc4186/sync",
    ],
    guarded: true,
  },
  events: { methods: ["GET"], paths: ["{C}/events"] },
  eventById: { methods: ["GET"], paths: ["{C}/events/{eventId}"] },
  initialSync: { methods: ["GET"], paths: ["{C}/initialSync"] },
  roomInitialSync: { methods: ["GET"], paths: ["{C}/rooms/{roomId}/initialSync"] },
  messages: { methods: ["GET"], paths: ["{C}/rooms/{roomId}/messages"] },
  context: { methods: ["GET"], paths: ["{C}/rooms/{roomId}/context/{eventId}"] },
  event: { methods: ["GET"], paths: ["{C}/rooms/{roomId}/event/{eventId}"] },
  relations: {
    methods: ["GET"],
    paths: [
      "{C}/rooms/{roomId}/relations/{eventId}",
      "{C}/rooms/{roomId}/relations/{eventId}/{relType}",
      "{C}/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}",
    ],
  },
  threads: {
    methods: ["GET"],
    paths: ["{C}/rooms/{roomId}/threads", "{C}/org.matrix.msc3856/rooms/{roomId}/threads"],
  },
  notifications: { methods: ["GET"], paths: ["{C}/notifications"] },
  search: { methods: ["POST"], paths: ["{C}/search"] },
  createFilter: { methods: ["POST"], paths: ["{C}/user/{userId}/filter"] },
  filter: { methods: ["GET"], paths: ["{C}/user/{userId}/filter/{filterId}"] },

  // what goes out
  send: {
    methods: ["PUT", "POST"],
    paths: ["{C}/rooms/{roomId}/send/{eventType}", "{C}/rooms/{roomId}/send/{eventType}/{txnId}"],
    guarded: true,
  },
  batchSend: {
    methods: ["POST"],
    paths: ["{C}/rooms/{roomId}/batch_send", "{C}/org.matrix.msc2716/rooms/{roomId}/batch_send"],
    guarded: true,
  },
  delayedEvents: {
    methods: ["GET"],
    paths: ["{C}/delayed_events", "{C}/org.matrix.msc4140/delayed_events"],
  },
  redact: {
    methods: ["PUT", "POST"],
    paths: ["{C}/rooms/{roomId}/redact/{eventId}", "{C}/rooms/{roomId}/redact/{eventId}/{txnId}"],
  },
  sendToDevice: {
    methods: ["PUT"],
    paths: ["{C}/sendToDevice/{eventType}/{txnId}"],
    guarded: true,
  },

  // rooms, state and members
  createRoom: { methods: ["POST"], paths: ["{C}/createRoom"], guarded: true, unhandled: "pass" },
  roomState: { methods: ["GET"], paths: ["{C}/rooms/{roomId}/state"] },
  state: {
    methods: ["GET", "PUT"],
    paths: [
      "{C}/rooms/{roomId}/state/{eventType}",
      "{C}/rooms/{roomId}/state/{eventType}/{stateKey}",
    ],
  },
  members: { methods: ["GET"], paths: ["{C}/rooms/{roomId}/members"] },
  joinedMembers: { methods: ["GET"], paths: ["{C}/rooms/{roomId}/joined_members"] },
  joinByAlias: {
    methods: ["POST", "PUT"],
    paths: ["{C}/join/{roomIdOrAlias}", "{C}/join/{roomIdOrAlias}/{txnId}"],
  },
  knock: { methods: ["POST"], paths: ["{C}/knock/{roomIdOrAlias}"] },
  membership: {
    methods: ["POST", "PUT"],
    paths: [
      "{C}/rooms/{roomId}/join",
      "{C}/rooms/{roomId}/invite",
      "{C}/rooms/{roomId}/leave",
      "{C}/rooms/{roomId}/kick",
      "{C}/rooms/{roomId}/ban",
      "{C}/rooms/{roomId}/unban",
      "{C}/rooms/{roomId}/forget",
    ],
  },
  upgradeRoom: { methods: ["POST"], paths: ["{C}/rooms/{roomId}/upgrade"] },

  // keys
  keysUpload: {
    methods: ["POST"],
    paths: ["{C}/keys/upload", "{C}/keys/upload/{deviceId}"],
    guarded: true,
  },
  keysQuery: { methods: ["POST"], paths: ["{C}/keys/query"], guarded: true },
  keysClaim: {
    methods: ["POST"],
    paths: ["{C}/keys/claim", "{C}/org.matrix.msc3983/keys/claim"],
    guarded: true,
  },
  keysChanges: { methods: ["GET"], paths: ["{C}/keys/changes"] },
  deviceSigningUpload: {
    methods: ["POST"],
    paths: ["{C}/keys/device_signing/upload"],
    guarded: true,
  },
  signaturesUpload: { methods: ["POST"], paths: ["{C}/keys/signatures/upload"], guarded: true },
  roomKeysVersion: {
    methods: ["GET", "POST", "PUT", "DELETE"],
    paths: ["{C}/room_keys/version", "{C}/room_keys/version/{version}"],
    guarded: true,
  },
  roomKeys: {
    methods: ["GET", "PUT", "DELETE"],
    paths: [
      "{C}/room_keys/keys",
      "{C}/room_keys/keys/{roomId}",
      "{C}/room_keys/keys/{roomId}/{sessionId}",
    ],
    guarded: true,
  },
  dehydratedDevice: {
    methods: ["GET", "PUT", "DELETE", "POST"],
    paths: [
      "{C}/dehydrated_device",
      "{C}/org.matrix.msc2697.v2/dehydrated_device",
      "{C}/org.matrix.msc2697.v2/dehydrated_device/claim",
      "{C}/org.matrix.msc3814.v1/dehydrated_device",
      "{C}/org.matrix.msc3814.v1/dehydrated_device/{deviceId}/events",
    ],
    guarded: true,
  },

  // media
  mediaUpload: {
    methods: ["POST"],
    paths: ["{M}/upload", "{C}/media/upload"],
    guarded: true,
    unhandled: "pass",
  },
  mediaUploadTo: {
    methods: ["PUT"],
    paths: [
      "{M}/upload/{serverName}/{mediaId}",
      "{M}/fi.mau.msc2246/upload/{serverName}/{mediaId}",
      "{C}/media/upload/{serverName}/{mediaId}",
    ],
    guarded: true,
    unhandled: "pass",
  },
  mediaCreate: {
    methods: ["POST"],
    paths: ["{M}/create", "{M}/fi.mau.msc2246/create", "{C}/media/create"],
  },
  mediaDownload: {
    methods: ["GET"],
    paths: [
      "{C}/media/download/{serverName}/{mediaId}",
      "{C}/media/download/{serverName}/{mediaId}/{fileName}",
      "{C}/org.matrix.msc3916/media/download/{serverName}/{mediaId}",
      "{C}/org.matrix.msc3916/media/download/{serverName}/{mediaId}/{fileName}",
      "{M}/download/{serverName}/{mediaId}",
      "{M}/download/{serverName}/{mediaId}/{fileName}",
    ],
  },
  mediaThumbnail: {
    methods: ["GET"],
    paths: [
      "{C}/media/thumbnail/{serverName}/{mediaId}",
      "{C}/org.matrix.msc3916/media/thumbnail/{serverName}/{mediaId}",
      "{M}/thumbnail/{serverName}/{mediaId}",
    ],
  },
  mediaConfig: {
    methods: ["GET"],
    paths: ["{C}/media/config", "{C}/org.matrix.msc3916/media/config", "{M}/config"],
  },
  previewUrl: {
    methods: ["GET"],
    paths: ["{C}/media/preview_url", "{C}/org.matrix.msc3916/media/preview_url", "{M}/preview_url"],
  },
  avatarUrl: { methods: ["GET", "PUT", "DELETE"], paths: ["{C}/profile/{userId}/avatar_url"] },

  // accounts
  login: { methods: ["POST"], paths: ["{C}/login"] },
  loginFlows: { methods: ["GET"], paths: ["{C}/login"] },
  loginToken: {
    methods: ["POST"],
    paths: ["{C}/login/get_token", "{C}/org.matrix.msc3882/login/get_token"],
  },
  register: { methods: ["POST"], paths: ["{C}/register"] },
  refresh: {
    methods: ["POST"],
    paths: ["{C}/refresh", "{C}/org.matrix.msc2918.refresh_token/refresh"],
  },
  logout: { methods: ["POST"], paths: ["{C}/logout"] },
  logoutAll: { methods: ["POST"], paths: ["{C}/logout/all"] },
  deactivate: { methods: ["POST"], paths: ["{C}/account/deactivate"] },
  password: { methods: ["POST"], paths: ["{C}/account/password"] },
  whoami: { methods: ["GET"], paths: ["{C}/account/whoami"] },
  devices: { methods: ["GET"], paths: ["{C}/devices"] },
  device: { methods: ["GET", "PUT", "DELETE"], paths: ["{C}/devices/{deviceId}"] },
  deleteDevices: { methods: ["POST"], paths: ["{C}/delete_devices"] },

  // what the homeserver says of itself
  versions: { methods: ["GET"], paths: ["/_matrix/client/versions"] },
  capabilities: { methods: ["GET"], paths: ["{C}/capabilities"] },
  wellKnown: { methods: ["GET"], paths: ["/.well-known/matrix/client"] },
  appservicePing: { methods: ["POST"], paths: ["{C}/appservice/{appserviceId}/ping"] },
} satisfies Record<string, Endpoint>;

/** The name by which handlers and metrics know an endpoint. */
export type EndpointName = keyof typeof table;

/** The table, by name. */
export const ENDPOINTS: Readonly<Record<EndpointName, Endpoint>> = table;
