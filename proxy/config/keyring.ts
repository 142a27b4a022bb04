import type { AsyncEntry } from "@napi-rs/keyring";

import { decodeKey } from "./key-file.ts";
import { StoreKeyError } from "./store-key-error.ts";

const service = "kirjava";

/**
 * Reads a key from the keyring of the desktop.
 *
 * @returns null where the keyring has none
 * @throws StoreKeyError
 */
export async function readKeyringKey(account: string): Promise<Uint8Array | null> {
  const entry = await open(account);
  let text: string | null;
  try {
    text = await entry.getPassword();
  } catch (error) {
    throw unavailable("the keyring cannot be read", error);
  }
  if (text === null) return null;
  return decodeKey(Buffer.from(text), `the keyring's entry ${service} / ${account}`, false);
}

/**
 * Puts a new key into the keyring and makes sure that it can be read back.
 *
 * @throws StoreKeyError
 */
export async function createKeyringKey(account: string, key: Uint8Array): Promise<void> {
  const entry = await open(account);
  try {
    await entry.setPassword(Buffer.from(key).toString("hex"));
  } catch (error) {
    throw unavailable("the keyring cannot be written", error);
  }
  const kept = await readKeyringKey(account);
  if (kept === null || !Buffer.from(kept).equals(key)) {
    throw unavailable("the keyring did not keep the key", undefined);
  }
}

async function open(account: string): Promise<AsyncEntry> {
  try {
    // An optional dependency: absent where no binary could be installed.
    const { AsyncEntry } = await import("@napi-rs/keyring");
    // Left alone it falls back silently to the kernel's keyring, which a reboot empties.
    return new AsyncEntry(service, account, { linux: { store: "secret-service" } });
  } catch (error) {
    throw unavailable("there is no keyring", error);
  }
}

function unavailable(message: string, cause: unknown): StoreKeyError {
  return new StoreKeyError("KEYRING_UNAVAILABLE", message, {
    hint: "install the optional package @napi-rs/keyring and start a keyring service (on Linux: gnome-keyring, KWallet or KeePassXC), or set StoreKey = file:PATH and remove UseKeyring",
    cause,
  });
}
