/**
 * Branded identifiers of the Matrix specification, so that a room id cannot be passed for a user id.
 * A brand says where a string stood, not that its grammar was checked.
 *
 * @see https://spec.matrix.org/v1.16/appendices/#identifier-grammar
 */
export type UserId = string & { readonly __brand: "UserId" };
export type DeviceId = string & { readonly __brand: "DeviceId" };
export type RoomId = string & { readonly __brand: "RoomId" };
export type EventId = string & { readonly __brand: "EventId" };
export type MxcUri = string & { readonly __brand: "MxcUri" };

/** The one device that an access token speaks for. */
export interface DeviceAddress {
  readonly userId: UserId;
  readonly deviceId: DeviceId;
}
