import { ENDPOINTS, type EndpointName } from "./endpoints.ts";

/**
 * What becomes of a request:
 * - `answered`: a handler reads it, its answer, or both;
 * - `passed`: streamed through untouched;
 * - `refused`: 404 M_UNRECOGNIZED, because passing it would be a way around.
 */
export type Treatment = "answered" | "passed" | "refused";

interface Note {
  readonly treatment: Treatment;
  /** One sentence for the documentation. */
  readonly note: string;
}

const answered = (note: string): Note => ({ treatment: "answered", note });
const passed = (note: string): Note => ({ treatment: "passed", note });
const refused = (note: string): Note => ({ treatment: "refused", note });

const ciphertext = "encrypted events in it stay ciphertext";
const owner = "for a client that owns its keys; 403 where Kirjava does";

/** What Kirjava does at each endpoint of the table; the documentation is made from it. */
export const ENDPOINT_NOTES: Readonly<Record<EndpointName, Note>> = {
  sync: answered(
    "the crypto feed is taken out and stored first; events are decrypted, then filtered",
  ),
  slidingSync: refused("it would take room keys out of reach"),
  events: answered("decrypted; it shows no to-device events"),
  eventById: answered("decrypted"),
  initialSync: answered("decrypted"),
  roomInitialSync: answered("decrypted"),
  messages: answered("decrypted, then filtered as the client asked"),
  context: answered("decrypted"),
  event: answered("decrypted"),
  relations: answered(
    "decrypted; a type is not asked of the homeserver: the events are filtered by it afterwards",
  ),
  threads: answered("decrypted"),
  notifications: answered("decrypted"),
  search: passed("the homeserver finds nothing in ciphertext"),
  createFilter: passed("stored as the client wrote it; widened when it is used"),
  filter: passed("the client's own filter comes back"),
  send: answered("encrypted where the room is; redactions, reactions and ciphertext pass"),
  batchSend: refused("history import would carry plaintext"),
  delayedEvents: passed(ciphertext),
  redact: passed("redactions are never encrypted"),
  sendToDevice: answered(
    "application types pass; key traffic only for a client that owns its keys",
  ),
  createRoom: answered("encryption in initial_state is remembered before the answer is released"),
  roomState: answered("encryption seen is remembered; hidden with HideEncryption"),
  state: answered("m.room.encryption is remembered; other state passes"),
  members: answered("passes; Kirjava's part of a position in `at` is taken out"),
  joinedMembers: passed("members are asked for anew before each send"),
  joinByAlias: passed("members are asked for anew before each send"),
  knock: passed("members are asked for anew before each send"),
  membership: passed("members are asked for anew before each send"),
  upgradeRoom: passed("the new room is asked about before the first send"),
  keysUpload: answered(owner),
  keysQuery: answered("passes"),
  keysClaim: answered(owner),
  keysChanges: answered("passes; Kirjava's part of the positions is taken out"),
  deviceSigningUpload: answered(owner),
  signaturesUpload: answered(owner),
  roomKeysVersion: answered(owner),
  roomKeys: answered(owner),
  dehydratedDevice: answered(owner),
  mediaUpload: passed("not encrypted"),
  mediaUploadTo: passed("not encrypted"),
  mediaCreate: passed("nothing to do"),
  mediaDownload: answered(
    "decrypted where the user saw the key; an Authorization that is not known goes no further",
  ),
  mediaThumbnail: answered("of encrypted images the decrypted original; as download"),
  mediaConfig: passed("nothing to do"),
  previewUrl: passed("the homeserver learns the URL"),
  avatarUrl: passed("profiles are public"),
  login: answered("the token is learnt; well_known in the answer leads to the proxy"),
  loginFlows: passed("nothing to do"),
  loginToken: passed("nothing to do"),
  register: answered("as login"),
  refresh: answered("the new token is learnt"),
  logout: answered("the device's session ends; its store is never used again"),
  logoutAll: answered("as logout, for all devices of the user"),
  deactivate: answered("as logout/all"),
  password: answered("devices that it logs out end"),
  whoami: answered("the token is learnt"),
  devices: passed("nothing to do"),
  device: answered("DELETE ends the device's session"),
  deleteDevices: answered("ends the devices' sessions"),
  versions: answered("what is not supported is not advertised"),
  capabilities: passed("nothing to do"),
  wellKnown: answered("leads to the proxy"),
  appservicePing: passed("nothing to do"),
};

/** The table as Markdown. */
export function endpointsAsMarkdown(): string {
  const rows = Object.entries(ENDPOINTS).map(([name, { methods, paths }]) => {
    const { treatment, note } = ENDPOINT_NOTES[name as EndpointName];
    const shown = paths.map((path) => `\`${path}\``).join("<br>");
    return `| ${methods.join(", ")} | ${shown} | ${treatment} | ${note} |`;
  });
  return ["| Methods | Paths | | |", "| --- | --- | --- | --- |", ...rows].join("\n");
}
