import type { TestHomeserver, TestUser } from "../homeserver.ts";
import { asRecord } from "../json.ts";
import type { SdkCrypto } from "./js-sdk.ts";
import { SdkPeer } from "./sdk-peer.ts";

/**
 * An encrypted client that is not ours: matrix-js-sdk with its own engine, keys in memory. It talks
 * to the homeserver directly.
 */
export class EncryptedPeer extends SdkPeer {
  /** Registers a new user and starts a client on the device of the registration. */
  static async register(homeserver: TestHomeserver, localpart: string): Promise<EncryptedPeer> {
    return EncryptedPeer.start(homeserver.url, await homeserver.registerUser(localpart));
  }

  /** Starts one more device of a user. */
  static async newDevice(homeserver: TestHomeserver, user: TestUser): Promise<EncryptedPeer> {
    return EncryptedPeer.start(homeserver.url, await homeserver.login(user));
  }

  /** Starts a client with fresh keys on a device that has none yet. */
  static async start(url: string, user: TestUser): Promise<EncryptedPeer> {
    const peer = new EncryptedPeer(url, user, await SdkPeer.client(url, user));
    await peer.client.initRustCrypto({ useIndexedDB: false });
    await peer.begin();
    return peer;
  }

  /** Creates a room that is encrypted from its first event on, and waits until this client knows. */
  async createEncryptedRoom(
    invite: readonly string[] = [],
    encryption: Readonly<Record<string, unknown>> = {},
  ): Promise<string> {
    const content = { algorithm: "m.megolm.v1.aes-sha2", ...encryption };
    const roomId = await this.createRoom({
      invite,
      initial_state: [{ type: "m.room.encryption", state_key: "", content }],
    });
    await this.waitForEncryption(roomId);
    return roomId;
  }

  /** Joins, and waits until this client knows that the room is encrypted. */
  async joinEncrypted(roomId: string): Promise<void> {
    await this.join(roomId);
    await this.waitForEncryption(roomId);
  }

  /** Waits until this client will encrypt what it sends to the room: before, it sends plaintext. */
  async waitForEncryption(roomId: string): Promise<void> {
    await this.waitForState(
      `${roomId} to be encrypted`,
      () => this.client.getRoom(roomId)?.hasEncryptionStateEvent() === true,
    );
  }

  /** The device ids of a user, asked of the server now. */
  async devicesOf(userId: string): Promise<string[]> {
    const devices = await this.crypto.getUserDeviceInfo([userId], true);
    return [...(devices.get(userId)?.keys() ?? [])].sort();
  }

  /** Makes a cross-signing identity of the user, which signs this device. */
  async bootstrapCrossSigning(password: string): Promise<void> {
    const identifier = { type: "m.id.user", user: this.userId };
    await this.crypto.bootstrapCrossSigning({
      authUploadDeviceSigningKeys: async (makeRequest) => {
        // The first upload needs no password on most homeservers.
        await makeRequest(null).catch(async (error: unknown) => {
          const { session } = asRecord((error as { data?: unknown }).data);
          await makeRequest({ type: "m.login.password", identifier, password, session });
        });
      },
    });
  }

  /** The SDK's crypto API. */
  get crypto(): SdkCrypto {
    const crypto = this.client.getCrypto();
    if (crypto === undefined) throw new Error("expected the client's crypto to be started");
    return crypto;
  }
}
