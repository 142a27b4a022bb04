import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SectionDatabase } from "../../../proxy/accounts/section-database.ts";
import { systemClock } from "../../../proxy/clock.ts";
import { Homeserver } from "../../../proxy/homeserver/homeserver.ts";
import type { RoomId } from "../../../proxy/matrix/identifiers.ts";
import { EncryptionPins } from "../../../proxy/rooms/encryption-pins.ts";
import { RoomEncryptionState } from "../../../proxy/rooms/room-encryption.ts";
import { Place } from "../accounts/section-fixture.ts";
import { json, startUpstream, type Upstream } from "../server/front.ts";

const roomId = "!room/..:example.org" as RoomId;
const authorization = { token: "t", query: "?user_id=%40a%3Ax" };

let place: Place;
let database: SectionDatabase;
let pins: EncryptionPins;
let upstream: Upstream;
let homeserver: Homeserver;
let state: RoomEncryptionState;
let answer: (response: ServerResponse) => void;

beforeEach(async () => {
  upstream = await startUpstream((_, response) => answer(response));
  place = new Place();
  database = place.open();
  pins = new EncryptionPins(database, systemClock);
  homeserver = new Homeserver({ url: upstream.url, tls: { verify: true }, timeoutMs: 10_000 });
  state = new RoomEncryptionState(pins, homeserver);
});
afterEach(async () => {
  await homeserver.close();
  await upstream.stop();
  database.close();
  place.remove();
});

const ask = () => state.ask(roomId, authorization, new AbortController().signal);
const replies = (status: number, body: unknown): void => {
  answer = (response) => json(response, status, body);
};

describe("RoomEncryptionState", () => {
  it("says plain for M_NOT_FOUND alone, and asks again the next time", async () => {
    replies(404, { errcode: "M_NOT_FOUND" });
    expect(await ask()).toEqual({ kind: "plain" });
    expect(await ask()).toEqual({ kind: "plain" });
    expect(upstream.requests.map(({ url }) => url)).toEqual(
      Array<string>(2).fill(
        "/_matrix/client/v3/rooms/!room%2F..%3Aexample.org/state/m.room.encryption/?user_id=%40a%3Ax",
      ),
    );
    expect(upstream.requests[0]?.headers.authorization).toBe("Bearer t");
  });

  it("pins what it sees, and asks no more, whatever the homeserver would say", async () => {
    replies(200, { algorithm: "m.megolm.v1.aes-sha2", rotation_period_msgs: 5 });
    expect(await ask()).toMatchObject({ kind: "encrypted", pin: { rotationPeriodMessages: 5 } });
    replies(404, { errcode: "M_NOT_FOUND" });
    expect(await ask()).toMatchObject({ kind: "encrypted", pin: { rotationPeriodMessages: 5 } });
    expect(upstream.requests).toHaveLength(1);
  });

  it.each([["{}"], ["[]"], ["null"], ["no JSON"], [""]])(
    "takes a 200 of %j for encrypted",
    async (body) => {
      answer = (response) => response.writeHead(200).end(body);
      expect(await ask()).toMatchObject({ kind: "encrypted" });
    },
  );

  it.each([401, 403, 429])("hands the homeserver's own refusal on: %d", async (status) => {
    replies(status, { errcode: "M_FORBIDDEN" });
    expect(await ask()).toMatchObject({ kind: "refused", response: { statusCode: status } });
  });

  it.each<[number, unknown]>([
    [404, { errcode: "M_UNRECOGNIZED" }],
    [404, "<html>"],
    [404, {}],
    [400, { errcode: "M_INVALID_PARAM" }],
    [302, {}],
    [204, {}],
    [500, { errcode: "M_UNKNOWN" }],
    [502, "bad gateway"],
    [503, {}],
  ])("does not let anything be sent after %d %j", async (status, body) => {
    replies(status, body);
    await expect(ask()).rejects.toMatchObject({ statusCode: 502, errcode: "M_UNKNOWN" });
    expect(pins.size).toBe(0);
  });

  it("does not let anything be sent where the connection breaks", async () => {
    answer = (response) => response.socket?.destroy();
    await expect(ask()).rejects.toMatchObject({ name: "HomeserverUnreachable", statusCode: 502 });
  });
});
