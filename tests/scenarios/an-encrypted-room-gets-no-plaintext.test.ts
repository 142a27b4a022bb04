import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { LightDevice } from "../support/peers/light-device.ts";
import { nextTxn, PlainRest } from "../support/peers/plain-rest.ts";

const SECRET = "not for the homeserver";

let homeserver: TestHomeserver;
let daemon: Daemon;
let plain: PlainRest;
let reader: LightDevice;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  daemon = await Daemon.start({ homeserver: homeserver.url });
  plain = new PlainRest(daemon.url, await homeserver.registerUser("plain"));
  reader = await LightDevice.start(homeserver.url, await homeserver.registerUser("reader"));
});

afterAll(async () => {
  await daemon.dispose();
  await homeserver.stop();
});

async function storedPlaintext(roomId?: string): Promise<readonly string[]> {
  const stored = await homeserver.eventContents(roomId);
  return stored.filter(({ json }) => json.includes(SECRET)).map(({ json }) => json);
}

describe("a room whose encryption was enabled the moment before", () => {
  it("gets 10 of 10 messages encrypted", async () => {
    const content = { algorithm: "m.megolm.v1.aes-sha2" };
    for (let round = 0; round < 10; round++) {
      const roomId = await plain.createRoom();
      await plain.ok(
        "PUT",
        `/rooms/${encodeURIComponent(roomId)}/state/m.room.encryption/`,
        content,
      );
      await plain.sendText(roomId, `${SECRET} ${round}`);
      const stored = await homeserver.eventContents(roomId);
      expect(stored.filter(({ type }) => type === "m.room.encrypted")).toHaveLength(1);
      expect(await storedPlaintext(roomId)).toEqual([]);
    }
  });

  it("gets no plaintext where somebody else enabled it, past this proxy", async () => {
    const other = new PlainRest(homeserver.url, await homeserver.registerUser("other"));
    for (let round = 0; round < 10; round++) {
      const roomId = await other.createRoom({ invite: [plain.userId] });
      await plain.join(roomId);
      await plain.sendText(roomId, "in the open, still");
      const path = `/rooms/${encodeURIComponent(roomId)}/state/m.room.encryption/`;
      await other.ok("PUT", path, { algorithm: "m.megolm.v1.aes-sha2" });
      await plain.sendText(roomId, `${SECRET} ${round}`);
      const stored = await homeserver.eventContents(roomId);
      expect(stored.filter(({ type }) => type === "m.room.encrypted")).toHaveLength(1);
      expect(await storedPlaintext(roomId)).toEqual([]);
    }
  });
});

describe("a room that was created encrypted the moment before", () => {
  it("takes 10 of 10 messages at the first try, encrypted and readable for who is invited", async () => {
    for (let round = 0; round < 10; round++) {
      const roomId = await plain.createEncryptedRoom([reader.userId]);
      const answer = await plain.trySend(roomId, `${SECRET} ${round}`);
      expect([answer.status, answer.text]).toEqual([200, expect.stringContaining("event_id")]);
      expect(await storedPlaintext(roomId)).toEqual([]);
      await new PlainRest(homeserver.url, reader.account).join(roomId);
      const seen = await reader.read(roomId, String(answer.json["event_id"]));
      expect(seen.content["body"]).toBe(`${SECRET} ${round}`);
    }
  });
});

describe("an encrypted room", () => {
  const room = "{room}";
  const type = "m.room.message";
  const variants: readonly (readonly [string, string])[] = [
    ["PUT", `/_matrix/client/r0/rooms/${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix/client/v1/rooms/${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix/client/v3/rooms/${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix/client/v4/rooms/${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix/client/api/v1/rooms/${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix/client/v2_alpha/rooms/${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix/client/unstable/rooms/${room}/send/${type}/{txn}`],
    ["POST", `/_matrix/client/r0/rooms/${room}/send/${type}`],
    ["POST", `/_matrix/client/v3/rooms/${room}/send/${type}`],
    ["POST", `/_matrix/client/api/v1/rooms/${room}/send/${type}`],
    ["POST", `/_matrix/client/unstable/rooms/${room}/send/${type}`],
    ["POST", `/_matrix/client/v3/rooms/${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix/client/v3/rooms/${room}/send/${type}`],
    ["PUT", `/_matrix/client/v3/rooms/${room}/send/m%2Eroom%2Emessage/{txn}`],
    ["PUT", `/_matrix/client/v3/rooms/${room}/%73end/${type}/{txn}`],
    ["PUT", `/_matrix/client/v3/%72ooms/${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix/client/v3/rooms/${room}%2Fsend/${type}/{txn}`],
    ["PUT", `/_matrix/client/v3/rooms/${room}/send%2F${type}/{txn}`],
    ["PUT", `/_matrix/client/v3/rooms/${room}/send%252F${type}/{txn}`],
    ["PUT", `//_matrix/client/v3/rooms/${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix//client/v3/rooms/${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix/client/v3//rooms/${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix/client/v3/rooms//${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix/client/v3/rooms/${room}//send/${type}/{txn}`],
    ["PUT", `/_matrix/client/v3/rooms/${room}/send//${type}/{txn}`],
    ["PUT", `/_matrix/client/v3/rooms/${room}/send/${type}//{txn}`],
    ["PUT", `/_matrix/client/v3/rooms/${room}/send/${type}/{txn}/`],
    ["PUT", `/_matrix/client/v3/rooms/${room}/send/${type}/{txn}//`],
    ["POST", `/_matrix/client/v3/rooms/${room}/send/${type}/`],
    ["PUT", `/_matrix/client/v3/rooms/x/../${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix/client/v3/rooms/./${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix/client/v3/rooms/${room}/send/${type}/{txn};x=1`],
    ["PUT", `/_MATRIX/CLIENT/V3/ROOMS/${room}/SEND/${type}/{txn}`],
    ["PUT", `/_matrix/client/v3/Rooms/${room}/Send/${type}/{txn}`],
    ["put", `/_matrix/client/v3/rooms/${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix/client/v9/rooms/${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix/client/unstable/org.example.vendor/rooms/${room}/send/${type}/{txn}`],
    ["PUT", `/_matrix/client/v3/rooms/${room}/send/${type}/{txn}?ts=1`],
    ["PUT", `/_matrix/client/v3/rooms/${room}/send/${type}/{txn}#fragment`],
    ["PUT", `/_matrix/client/v3/rooms/{raw}/send/${type}/{txn}`],
  ];
  /** These are how clients write it: they have to work, not only to be harmless. */
  const common = new Set([
    `PUT /_matrix/client/r0/rooms/${room}/send/${type}/{txn}`,
    `PUT /_matrix/client/v3/rooms/${room}/send/${type}/{txn}`,
    `POST /_matrix/client/v3/rooms/${room}/send/${type}`,
    `PUT /_matrix/client/v3/rooms/${room}/send/m%2Eroom%2Emessage/{txn}`,
    `PUT /_matrix/client/v3/rooms/{raw}/send/${type}/{txn}`,
  ]);
  let roomId: string;

  beforeAll(async () => {
    roomId = await plain.createEncryptedRoom([reader.userId]);
    await new PlainRest(homeserver.url, reader.account).join(roomId);
  });

  it.each(variants)("stores no plaintext after %s %s", async (method, pattern) => {
    const path = pattern
      .replace("{room}", encodeURIComponent(roomId))
      .replace("{raw}", roomId)
      .replace("{txn}", nextTxn());

    const { status, text } = await rawRequest(method, path);

    expect(await storedPlaintext(roomId)).toEqual([]);
    if (common.has(`${method} ${pattern}`)) {
      expect([status, text]).toEqual([200, expect.stringContaining("event_id")]);
    }
    if (status !== 200) return;
    const { event_id: eventId } = JSON.parse(text) as { event_id: string };
    expect((await reader.read(roomId, eventId)).content["body"]).toBe(SECRET);
  });

  /** Path and method as they are: `fetch` would tidy them up. Rate limits are waited out. */
  async function rawRequest(
    method: string,
    path: string,
  ): Promise<{ status: number; text: string }> {
    for (;;) {
      const answer = await once(method, path);
      if (answer.status !== 429) return answer;
      const { retry_after_ms: waitMs } = JSON.parse(answer.text) as { retry_after_ms: number };
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }

  function once(method: string, path: string): Promise<{ status: number; text: string }> {
    const { hostname, port } = new URL(daemon.url);
    const body = JSON.stringify({ msgtype: "m.text", body: SECRET });
    return new Promise((resolve, reject) => {
      const headers = {
        authorization: `Bearer ${plain.account.accessToken}`,
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
      };
      const outgoing = request({ hostname, port, method, path, headers }, (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (part: string) => (text += part));
        answer.on("end", () => {
          resolve({ status: answer.statusCode ?? 0, text });
        });
      });
      outgoing.once("error", reject);
      outgoing.end(body);
    });
  }
});
