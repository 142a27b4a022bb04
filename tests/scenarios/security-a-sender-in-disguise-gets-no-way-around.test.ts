import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Daemon } from "../support/daemon.ts";
import { startTestHomeserver, type TestHomeserver } from "../support/homeserver.ts";
import { nextTxn, PlainRest } from "../support/peers/plain-rest.ts";

const SECRET = "not for the homeserver";
const CONTENT = JSON.stringify({ msgtype: "m.text", body: SECRET });

let homeserver: TestHomeserver;
let daemon: Daemon;
let plain: PlainRest;
let roomId: string;

beforeAll(async () => {
  homeserver = await startTestHomeserver();
  daemon = await Daemon.start({ homeserver: homeserver.url });
  plain = new PlainRest(daemon.url, await homeserver.registerUser("plain"));
  roomId = await plain.createEncryptedRoom([]);
});

afterAll(async () => {
  await daemon.dispose();
  await homeserver.stop();
});

async function plaintext(room: string): Promise<readonly string[]> {
  const stored = await homeserver.eventContents(room);
  return stored.filter(({ json }) => json.includes(SECRET)).map(({ json }) => json);
}

/** A send whose target is written as given: `fetch` would tidy it up. */
async function send(type: string, query: string, headers: Record<string, string>) {
  const { hostname, port } = new URL(daemon.url);
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/send/${type}/${nextTxn()}${query}`;
  const outgoing = request({ hostname, port, method: "PUT", path, headers });
  outgoing.end(CONTENT);
  const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
  answer.resume();
  await once(answer, "end");
  return answer.statusCode;
}

describe("a send into an encrypted room", () => {
  it.each([
    ["?access%5Ftoken={token}", {}],
    ["?%61ccess_token={token}", {}],
    ["?x=1;access_token={token}", {}],
    ["?access_token=nobody&access_token={token}", {}],
    ["?access_token={token}", { authorization: "Basic Zm9vOmJhcg==" }],
  ])("with its token in %s %o stores no plaintext", async (pattern, headers) => {
    const query = pattern.replace("{token}", plain.account.accessToken);
    await send("m.room.message", query, headers);
    expect(await plaintext(roomId)).toEqual([]);
  });

  it("under the type of ciphertext, with a message for content, is refused", async () => {
    const headers = { authorization: `Bearer ${plain.account.accessToken}` };
    expect(await send("m.room.encrypted", "", headers)).toBe(400);
    expect(await plaintext(roomId)).toEqual([]);
  });
});

describe("a send that is still on its way when its room becomes encrypted", () => {
  it("is encrypted", async () => {
    const room = await plain.createRoom();
    const { hostname, port } = new URL(daemon.url);
    const socket = connect(Number(port), hostname);
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/send/m.room.message/${nextTxn()}`;
    socket.write(
      `PUT ${path} HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${plain.account.accessToken}\r\n` +
        `content-type: application/json\r\ncontent-length: ${CONTENT.length}\r\nconnection: close\r\n\r\n${CONTENT.slice(0, 5)}`,
    );
    // Another request on another connection, later: by then the proxy has seen the first one's headers.
    await plain.ok("GET", "/account/whoami");
    await plain.ok("PUT", `/rooms/${encodeURIComponent(room)}/state/m.room.encryption/`, {
      algorithm: "m.megolm.v1.aes-sha2",
    });
    socket.write(CONTENT.slice(5));
    let answer = "";
    socket.on("data", (chunk: Buffer) => (answer += chunk.toString("latin1")));
    await once(socket, "close");
    expect(answer).toMatch(/^HTTP\/1\.1 200 [\s\S]*event_id/);
    expect(await plaintext(room)).toEqual([]);
  });
});

describe("a send that is longer than any event", () => {
  it("is refused before it is read and before anybody is asked whose it is", async () => {
    const { hostname, port } = new URL(daemon.url);
    const socket = connect(Number(port), hostname);
    socket.write(
      `PUT /_matrix/client/v3/rooms/!r:hs/send/m.room.message/1 HTTP/1.1\r\nhost: ${hostname}\r\n` +
        `authorization: Bearer nobody\r\ncontent-length: ${2 * 1024 * 1024}\r\n\r\n`,
    );
    let answer = "";
    socket.on("data", (chunk: Buffer) => (answer += chunk.toString("latin1")));
    await once(socket, "close");
    expect(answer).toMatch(/^HTTP\/1\.1 413 [\s\S]*M_TOO_LARGE/);
  });
});
