import { type Device, LocalTrust, type OlmMachine } from "@matrix-org/matrix-sdk-crypto-wasm";

import type { DeviceStore } from "../../crypto-store/index.ts";
import { engineUsers } from "./engine.ts";
import { UntrustedDevices } from "./errors.ts";
import type { TrustPolicy } from "./protocol.ts";

/**
 * What a trust policy asks for before a room key is shared.
 *
 * `cross-signed` leaves out the devices that their owner did not sign by the engine's own block list:
 * its strategy of that name works only for a sender with a cross-signing identity of its own, which a
 * plain client's user need not have.
 *
 * @throws UntrustedDevices under `verified`, where a device of these users is not
 */
export async function applyTrust(
  policy: TrustPolicy,
  parts: { readonly machine: OlmMachine; readonly store: DeviceStore },
  roomId: string,
  users: ReadonlySet<string>,
): Promise<void> {
  if (policy === "verified") return refuseUntrusted(parts.machine, roomId, users);
  if (policy === "cross-signed") return blockUnsigned(parts, users);
  if (await hasBlocked(parts.store)) await unblock(parts.machine, users);
}

async function refuseUntrusted(
  machine: OlmMachine,
  roomId: string,
  users: ReadonlySet<string>,
): Promise<void> {
  const untrusted: string[] = [];
  for await (const device of othersOf(machine, users)) {
    if (!device.isVerified())
      untrusted.push(`${device.userId.toString()} ${device.deviceId.toString()}`);
  }
  if (untrusted.length > 0) throw new UntrustedDevices(roomId, untrusted);
}

async function blockUnsigned(
  { machine, store }: { readonly machine: OlmMachine; readonly store: DeviceStore },
  users: ReadonlySet<string>,
): Promise<void> {
  for await (const device of othersOf(machine, users)) {
    const blocked = device.isBlacklisted();
    if (device.isCrossSignedByOwner()) {
      if (blocked) await device.setLocalTrust(LocalTrust.Unset);
    } else if (!blocked) {
      // Noted first: a block that nobody remembers would outlive the policy.
      await noteBlocked(store);
      await device.setLocalTrust(LocalTrust.BlackListed);
    }
  }
}

/** Takes back what the policy `cross-signed` did before the configuration was changed. */
async function unblock(machine: OlmMachine, users: ReadonlySet<string>): Promise<void> {
  for await (const device of othersOf(machine, users)) {
    if (device.isBlacklisted()) await device.setLocalTrust(LocalTrust.Unset);
  }
}

async function* othersOf(machine: OlmMachine, users: ReadonlySet<string>): AsyncGenerator<Device> {
  const own = machine.deviceId.toString();
  const self = machine.userId.toString();
  for (const user of engineUsers(users)) {
    const isSelf = user.toString() === self;
    const devices = await machine.getUserDevices(user, 0);
    for (const device of devices.devices()) {
      if (!isSelf || device.deviceId.toString() !== own) yield device;
    }
  }
}

const blockedStores = new WeakMap<DeviceStore, boolean>();

async function hasBlocked(store: DeviceStore): Promise<boolean> {
  const known = blockedStores.get(store);
  if (known !== undefined) return known;
  const found = await store.transaction(
    (database) =>
      database.prepare("SELECT 1 FROM session_value WHERE name = 'blocked-unsigned'").get() !==
      undefined,
  );
  blockedStores.set(store, found);
  return found;
}

async function noteBlocked(store: DeviceStore): Promise<void> {
  if (await hasBlocked(store)) return;
  await store.transaction((database) => {
    database
      .prepare("INSERT OR REPLACE INTO session_value (name, value) VALUES ('blocked-unsigned', 1)")
      .run();
  });
  blockedStores.set(store, true);
}
