import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Playground, startPlayground } from "../../../playground/index.ts";
import { engineUsers } from "../../../proxy/crypto/engine.ts";
import { type FeedPart, takeFeedPart } from "../../../proxy/crypto/feed.ts";
import { inbox } from "../../../proxy/crypto/inbox.ts";
import type { JsonObject } from "../../../proxy/matrix/json.ts";
import { Rig } from "./rig.ts";

let playground: Playground;
let rig: Rig;
let serial = 0;

beforeEach(async () => {
  playground = await startPlayground({});
  rig = await Rig.start(playground);
  await rig.parts.outgoing.flush();
});
afterEach(async () => {
  await rig.stop();
  await playground.stop();
});

/** One response's part of the feed. */
function part(change: Partial<FeedPart> & { readonly nextBatch: string }): FeedPart {
  serial += 1;
  return {
    toDevice: [],
    changed: [],
    left: [],
    counts: null,
    unusedFallbackKeys: null,
    since: null,
    serial,
    oldestSerial: serial,
    startedMs: rig.clock.now() + 1,
    ...change,
  };
}

const take = (change: Parameters<typeof part>[0]) => rig.parts.feed.take(part(change));
const waiting = async () =>
  (await rig.parts.store.transaction((database) => inbox.waiting(database))).events;

/** The engine follows the user's devices, and knows them. */
async function track(userId: string): Promise<void> {
  await rig.parts.machine.updateTrackedUsers(engineUsers([userId]));
  await rig.parts.outgoing.flush();
}

/** Which users the engine asks for when it is flushed. */
async function asked(): Promise<string[]> {
  const requests = await rig.parts.machine.outgoingRequests();
  return requests
    .flatMap((request) => {
      const body = JSON.parse(request.body) as JsonObject;
      return Object.keys(body["device_keys"] ?? {});
    })
    .filter((user) => user !== rig.client.userId);
}

describe("takeFeedPart", () => {
  const place = { since: "a", nextBatch: "b", serial: 1, oldestSerial: 1, startedMs: 1 };

  it("takes the feed out of a response and leaves everything else", () => {
    const response = {
      next_batch: "b",
      rooms: {},
      to_device: { events: [{ type: "t" }, null, 5] },
      device_lists: { changed: ["@a:x", 5], left: ["@b:x"] },
      device_one_time_keys_count: { signed_curve25519: 5, evil: -1, odd: 1.5, text: "5" },
      device_unused_fallback_key_types: ["signed_curve25519"],
    };
    const taken = takeFeedPart(response, place);
    expect(response).toEqual({ next_batch: "b", rooms: {} });
    expect(taken).toMatchObject({
      toDevice: [{ type: "t" }],
      changed: ["@a:x"],
      left: ["@b:x"],
      counts: new Map([["signed_curve25519", 5]]),
      unusedFallbackKeys: new Set(["signed_curve25519"]),
    });
  });

  it("tells counts that are absent from those that are empty", () => {
    expect(takeFeedPart({}, place).counts).toBeNull();
    expect(takeFeedPart({ device_one_time_keys_count: {} }, place).counts).toEqual(new Map());
    expect(takeFeedPart({}, place).unusedFallbackKeys).toBeNull();
    expect(
      takeFeedPart({ device_unused_fallback_key_types: [] }, place).unusedFallbackKeys,
    ).toEqual(new Set());
  });

  it.each([[{ to_device: [] }], [{ to_device: { events: {} }, device_lists: 5 }]])(
    "takes %j for nothing",
    (response) => {
      expect(takeFeedPart(response, place)).toMatchObject({ toDevice: [], changed: [], left: [] });
    },
  );
});

describe("Feed", () => {
  it("keeps its positions over a restart", async () => {
    await take({ nextBatch: "b" });
    await take({ since: "b", nextBatch: "c" });
    expect(rig.parts.feed.position).toBe("c");
    await rig.restart();
    expect(rig.parts.feed.position).toBe("c");
  });

  it("asks for every tracked user again after a gap, and for nobody where the feed goes on", async () => {
    const peer = await Rig.peer(playground, "peer");
    await take({ nextBatch: "b" });
    await track(peer.userId);
    expect(await asked()).toEqual([]);
    await take({ since: "b", nextBatch: "c" });
    await rig.restart();
    await take({ since: "c", nextBatch: "d" });
    expect(await asked()).toEqual([]);
    await take({ since: "never seen", nextBatch: "e" });
    expect(await asked()).toEqual([peer.userId]);
  });

  it("asks anew for users whose devices changed", async () => {
    const peer = await Rig.peer(playground, "peer");
    await take({ nextBatch: "b" });
    await track(peer.userId);
    await take({ since: "b", nextBatch: "c", changed: [peer.userId, "no user id", "@:"] });
    expect(await asked()).toEqual([peer.userId]);
  });

  it("gives the engine each Olm message once, whichever stream shows it", async () => {
    const peer = await Rig.peer(playground, "peer");
    await (await peer.makeKey("!room:playground", [rig.client.userId])).release();
    const shown = await rig.client.sync();
    const events = ((shown["to_device"] as JsonObject)["events"] ?? []) as JsonObject[];
    expect(events).toHaveLength(1);
    await Promise.all([
      take({ nextBatch: "b", toDevice: events }),
      take({ nextBatch: "c", toDevice: [...events, ...events] }),
    ]);
    await rig.restart();
    await take({ since: "c", nextBatch: "d", toDevice: events });
    const sessions = await rig.parts.machine.exportRoomKeys(() => true);
    expect(JSON.parse(sessions)).toHaveLength(1);
    const seen = await rig.parts.store.transaction((database) =>
      database.prepare("SELECT count(*) FROM seen_to_device").pluck().get(),
    );
    expect(seen).toBe(1);
  });

  it("keeps application events for the client, and crypto events from it", async () => {
    const hello = { type: "org.example.hello", sender: "@a:x", content: { n: 1 } };
    const plain = ["m.room_key", "m.forwarded_room_key", "m.dummy", "m.secret.request"].map(
      (type) => ({ type, sender: "@a:x", content: {} }),
    );
    await take({ nextBatch: "b", toDevice: [...plain, hello] });
    expect(await waiting()).toEqual([hello]);
  });

  it("takes no room key from an event in the clear", async () => {
    const content = {
      algorithm: "m.megolm.v1.aes-sha2",
      room_id: "!room:playground",
      session_id: "s",
      session_key: "k",
    };
    const types = ["m.room_key", "m.forwarded_room_key"];
    const toDevice = types.map((type) => ({ type, sender: "@a:playground", content }));
    await take({ nextBatch: "b", toDevice });
    expect(JSON.parse(await rig.parts.machine.exportRoomKeys(() => true))).toEqual([]);
  });

  it("survives events that are malformed", async () => {
    const hello = { type: "org.example.hello", sender: "@a:x", content: {} };
    const toDevice = [
      {},
      { type: 5, content: null },
      { type: "m.room.encrypted", sender: 5, content: "x" },
      {
        type: "m.room.encrypted",
        sender: "@a:x",
        content: { algorithm: "m.olm.v1", ciphertext: [] },
      },
      { type: "m.room_key_request", sender: "@a:x" },
    ] as JsonObject[];
    await take({ nextBatch: "b", toDevice: [...toDevice, hello] });
    expect((await waiting()).at(-1)).toEqual(hello);
    expect(rig.parts.feed.position).toBe("b");
  });

  it("uploads keys for a count that says so, but not for one that is absent, empty or stale", async () => {
    await take({ nextBatch: "b" });
    const uploads = playground.faults.add({ path: /keys\/upload/, action: { type: "pass" } });
    const since = "b";
    await take({ since, nextBatch: "c" });
    await rig.parts.outgoing.flush();
    await take({ since, nextBatch: "d", counts: new Map() });
    await rig.parts.outgoing.flush();
    const stale = rig.parts.outgoing.lastUploadMs;
    const few = new Map([["signed_curve25519", 10]]);
    await take({ since, nextBatch: "e", counts: few, startedMs: stale });
    await rig.parts.outgoing.flush();
    expect(uploads.hits).toBe(0);
    await take({ since, nextBatch: "f", counts: few });
    await rig.parts.outgoing.flush();
    expect(uploads.hits).toBe(1);
  });

  it("tells of each part once it is on disk, in the order of the calls", async () => {
    const names = ["b", "c", "d"];
    await Promise.all(names.map((nextBatch) => take({ nextBatch })));
    expect(rig.parts.taken).toEqual(names);
  });
});
