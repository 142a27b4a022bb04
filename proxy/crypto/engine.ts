import {
  CollectStrategy,
  DecryptionSettings,
  DeviceId as EngineDeviceId,
  initAsync,
  OlmMachine,
  RoomId as EngineRoomId,
  StoreHandle,
  TrustRequirement,
  UserId as EngineUserId,
} from "@matrix-org/matrix-sdk-crypto-wasm";

import { installIndexedDB } from "../../crypto-store/index.ts";
import type { DeviceAddress } from "../matrix/identifiers.ts";
import type { TrustPolicy } from "./protocol.ts";

/** Makes the engine usable in this thread: IndexedDB on the global object, then the wasm. Idempotent. */
export async function loadEngine(): Promise<void> {
  installIndexedDB();
  await initAsync();
}

/**
 * Opens the engine's machine for one device on the store mounted as `mountName`.
 *
 * @throws what the engine throws: the store does not belong to this device, or cannot be read
 */
export async function openMachine(device: DeviceAddress, mountName: string): Promise<OlmMachine> {
  const handle = await StoreHandle.open(mountName, undefined);
  try {
    const machine = await OlmMachine.initFromStore(
      new EngineUserId(device.userId),
      new EngineDeviceId(device.deviceId),
      handle,
    );
    // Burned keys must not come back from other devices, nor ours be handed out.
    machine.roomKeyRequestsEnabled = false;
    machine.roomKeyForwardingEnabled = false;
    return machine;
  } finally {
    // The handle keeps the IndexedDB connection open for as long as it lives, whatever close() does.
    handle.free();
  }
}

/** True where the wasm itself failed: its memory can no longer be trusted. */
export function isTrap(error: unknown): boolean {
  return error instanceof Error && error.name === "RuntimeError";
}

/** Makes the wasm fail for good, as a real defect of the engine would. For tests of what follows. */
export async function provokeTrap(machine: OlmMachine): Promise<void> {
  // The engine panics when asked to encrypt for a room that no key was shared for.
  await machine.encryptRoomEvent(new EngineRoomId("!poison:localhost"), "poison", "{}");
}

/** New engine user ids for one call: the engine consumes arrays of them. Malformed ids are left out. */
export function engineUsers(users: Iterable<string>): EngineUserId[] {
  const ids: EngineUserId[] = [];
  for (const user of users) {
    try {
      ids.push(new EngineUserId(user));
    } catch {
      // A homeserver may name anything as a member; what is no user id can have no keys.
    }
  }
  return ids;
}

/** A room id of the engine, or `null` where the text is none. */
export function engineRoom(roomId: string): EngineRoomId | null {
  try {
    return new EngineRoomId(roomId);
  } catch {
    return null;
  }
}

/**
 * New decryption settings for one call: the engine consumes them. Under `cross-signed` messages of
 * devices that their owner did not sign are not shown (MSC4153); elsewhere `verified` marks them.
 */
export function decryptionSettings(trust: TrustPolicy): DecryptionSettings {
  return new DecryptionSettings(
    trust === "cross-signed" ? TrustRequirement.CrossSignedOrLegacy : TrustRequirement.Untrusted,
  );
}

/** The engine's strategy for a trust policy; a new object for each call. */
export function collectStrategy(trust: TrustPolicy): CollectStrategy {
  switch (trust) {
    case "all":
      return CollectStrategy.allDevices();
    case "tofu":
      return CollectStrategy.errorOnUnverifiedUserProblem();
    case "cross-signed":
      // Devices that their owner did not sign are on the block list: see applyTrust.
      return CollectStrategy.allDevices();
    case "verified":
      return CollectStrategy.onlyTrustedDevices();
  }
}
