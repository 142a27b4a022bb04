import { SdkPeer, type PeerAccount } from "./sdk-peer.ts";

/**
 * matrix-js-sdk without any crypto: the plain client that sits behind Kirjava. Its events and its
 * timeline are what a user of that client would see.
 */
export class PlainJsSdk extends SdkPeer {
  /** Starts a client on `url` (a homeserver's or a proxy's) and waits for its first sync. */
  static async start(url: string, account: PeerAccount): Promise<PlainJsSdk> {
    const peer = new PlainJsSdk(url, account, await SdkPeer.client(url, account));
    await peer.begin();
    return peer;
  }
}
