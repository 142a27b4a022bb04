import type { Accounts } from "../accounts/accounts.ts";
import { MatrixError } from "../matrix/errors.ts";
import type { DeviceAddress, RoomId } from "../matrix/identifiers.ts";
import { parseObject } from "../matrix/json.ts";
import { IDENTITY_PARAMETERS, keptQuery, withEventType } from "../matrix/request-target.ts";
import { failpoint } from "../observe/failpoint.ts";
import type { EncryptionPin } from "../rooms/encryption-pins.ts";
import type { RoomEncryptionState } from "../rooms/room-encryption.ts";
import type { SectionSessions } from "../sync/section-sessions.ts";
import { requireToken } from "./call.ts";
import type { Call, Handlers, Reply } from "./call.ts";

export interface SendDeps {
  readonly accounts: Accounts;
  readonly sessions: SectionSessions;
  readonly encryption: RoomEncryptionState;
  /** True for rooms that must never carry plaintext, whatever the homeserver says of them. */
  readonly requiresEncryption: (roomId: RoomId) => boolean;
  /** A device sent something encrypted: its feed has to be followed. */
  readonly onActive: (device: DeviceAddress) => void;
}

/** Never encrypted: what is encrypted already, redactions, and reactions as other clients send them. */
const clearTypes = new Set(["m.room.encrypted", "m.room.redaction", "m.reaction"]);

/** An event has at most 64 KiB, and no more than this however its client escapes it. It is read before anybody is asked whose it is. */
const maxContentBytes = 1024 * 1024;

/**
 * Sending events: into an encrypted room nothing goes but ciphertext.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid
 */
export function sendRoutes(deps: SendDeps): Handlers {
  return {
    send: async (call): Promise<Reply | "pass"> => {
      const token = requireToken(call);
      const roomId = (call.params["roomId"] ?? "") as RoomId;
      const eventType = call.params["eventType"] ?? "";
      // Before the room is asked about: it may become encrypted for as long as a slow client takes.
      const content = (await call.body(maxContentBytes)).toString("utf8");
      if (eventType === "m.room.encrypted") requireCiphertext(content);
      if (clearTypes.has(eventType)) return "pass";
      const authorization = { token, query: keptQuery(call.query, IDENTITY_PARAMETERS) };
      const room = await deps.encryption.ask(roomId, authorization, call.signal);
      if (room.kind === "refused") return room.response;
      if (room.kind === "encrypted") return sendEncrypted(deps, call, room.pin, eventType);
      if (!deps.requiresEncryption(roomId)) return "pass";
      throw new MatrixError(
        403,
        "M_FORBIDDEN",
        `not sent: room ${roomId} is not encrypted, and RequireEncryption covers it`,
      );
    },
  };
}

/** Whoever encrypts by itself sends ciphertext under this type; anything else would be a message in the clear. */
function requireCiphertext(content: string): void {
  const parsed = parseObject(content);
  const hasCiphertext = ["string", "object"].includes(typeof parsed?.["ciphertext"]);
  if (typeof parsed?.["algorithm"] === "string" && hasCiphertext && !("body" in parsed)) return;
  throw new MatrixError(
    400,
    "M_BAD_JSON",
    "expected algorithm and ciphertext, and no body, as the content of m.room.encrypted",
  );
}

async function sendEncrypted(
  deps: SendDeps,
  call: Call,
  pin: EncryptionPin,
  eventType: string,
): Promise<Reply> {
  const account = await deps.accounts.identify(requireToken(call), call.masquerade);
  if (account.deviceId === null) {
    throw new MatrixError(
      403,
      "M_FORBIDDEN",
      `not sent: room ${pin.roomId} is encrypted and this access token has no device; log in to get one`,
    );
  }
  if (deps.accounts.files.stateOf(account) === "self-encrypting") {
    throw new MatrixError(
      403,
      "M_FORBIDDEN",
      `not sent: room ${pin.roomId} is encrypted, this client encrypts by itself and did not`,
    );
  }
  const content = (await call.body()).toString("utf8");
  if (parseObject(content) === null) {
    throw new MatrixError(400, "M_NOT_JSON", "expected a JSON object as the event's content");
  }
  deps.onActive(account);
  const encrypted = await deps.sessions.encrypt(account, {
    roomId: pin.roomId,
    eventType,
    txnId: call.params["txnId"] ?? null,
    content,
    encryption: {
      algorithm: pin.algorithm,
      rotationPeriodMs: pin.rotationPeriodMs,
      rotationPeriodMessages: pin.rotationPeriodMessages,
    },
  });
  const hasTxnId = call.params["txnId"] !== undefined;
  const response = await call.forward({
    path: withEventType(call.rawPath, "m.room.encrypted", hasTxnId),
    body: encrypted,
    headers: { "content-type": "application/json" },
  });
  failpoint("send-to-answer");
  return response;
}
