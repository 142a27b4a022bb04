import type { RoomEncryption } from "./protocol.ts";

/** Rotation where the room's settings say nothing, as the specification recommends. */
const defaultRotationMs = 7 * 24 * 60 * 60 * 1000;
const defaultRotationMessages = 100;
/** The engine's own lower bound; it treats shorter periods as this one. */
const minimumRotationMs = 60 * 60 * 1000;

/**
 * After how long and how many messages a room's outbound session ends.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#mroomencryption
 */
export function rotation(encryption: RoomEncryption): { rotationMs: number; messages: number } {
  return {
    rotationMs: Math.max(minimumRotationMs, encryption.rotationPeriodMs ?? defaultRotationMs),
    messages: Math.max(1, encryption.rotationPeriodMessages ?? defaultRotationMessages),
  };
}
