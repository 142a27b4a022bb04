import type { Homeserver, UpstreamResponse } from "../homeserver/homeserver.ts";
import { MatrixError } from "../matrix/errors.ts";
import type { RoomId } from "../matrix/identifiers.ts";
import { parseObject } from "../matrix/json.ts";
import type { EncryptionPin, EncryptionPins } from "./encryption-pins.ts";

/**
 * - an {@link EncryptionPin}: the room is encrypted.
 * - `plain`: it is not, as of this very moment.
 * - `refused`: the homeserver does not let this client see; its answer is the client's.
 */
export type RoomEncryptionAnswer =
  | { readonly kind: "encrypted"; readonly pin: EncryptionPin }
  | { readonly kind: "plain" }
  | { readonly kind: "refused"; readonly response: UpstreamResponse };

/**
 * Whether a room is encrypted. "Encrypted" is remembered for good; "plain" is asked again each time,
 * because it may end at any moment.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#mroomencryption
 */
export class RoomEncryptionState {
  readonly #pins: EncryptionPins;
  readonly #homeserver: Homeserver;

  constructor(pins: EncryptionPins, homeserver: Homeserver) {
    this.#pins = pins;
    this.#homeserver = homeserver;
  }

  /**
   * @param authorization - how the homeserver is asked: headers, and query parameters of a masquerade
   * @throws MatrixError 502 where the homeserver does not say: the caller must not send then
   */
  async ask(
    roomId: RoomId,
    authorization: { readonly token: string; readonly query: string },
    signal: AbortSignal,
  ): Promise<RoomEncryptionAnswer> {
    const pin = this.#pins.get(roomId);
    if (pin !== null) return { kind: "encrypted", pin };
    const room = encodeURIComponent(roomId);
    const response = await this.#homeserver.request({
      method: "GET",
      path: `/_matrix/client/v3/rooms/${room}/state/m.room.encryption/${authorization.query}`,
      headers: { authorization: `Bearer ${authorization.token}` },
      signal,
    });
    // Another request may have shown it meanwhile, whatever this answer says.
    const seen = this.#pins.get(roomId);
    if (seen !== null) return { kind: "encrypted", pin: seen };
    const body = parseObject(response.body.toString("utf8"));
    if (response.statusCode === 200) {
      return { kind: "encrypted", pin: this.#pins.pin(roomId, body) };
    }
    const errcode = body?.["errcode"];
    // Only this very answer says that there is no such state; any other 404 says nothing.
    if (response.statusCode === 404 && errcode === "M_NOT_FOUND") return { kind: "plain" };
    if ([401, 403, 429].includes(response.statusCode)) return { kind: "refused", response };
    throw new MatrixError(
      502,
      "M_UNKNOWN",
      "not sent: the homeserver did not say whether the room is encrypted " +
        `(status ${response.statusCode})`,
    );
  }
}
