import { describe, expect, it } from "vitest";
import { at, listAt } from "./api.ts";
import type { Client } from "./api.ts";
import { Fixture } from "./fixture.ts";

describe("to-device messages", () => {
  const fixture = new Fixture();

  async function sendMany(sender: Client, target: Client, count: number): Promise<void> {
    for (let i = 0; i < count; i++) await send(sender, target.userId, target.deviceId, i);
  }

  async function send(sender: Client, userId: string, deviceId: string, n: number): Promise<void> {
    const messages = { [userId]: { [deviceId]: { n } } };
    await sender.put(`sendToDevice/org.test/${userId}-${n}`, { messages });
  }

  const numbers = (response: unknown): unknown[] =>
    listAt(response, "to_device", "events").map((event) => at(event, "content", "n"));

  it("arrive as they were sent, with type and sender and nothing more", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    await send(alice, bob.userId, bob.deviceId, 7);
    const { to_device } = await bob.sync();
    expect(to_device).toEqual({
      events: [{ type: "org.test", sender: alice.userId, content: { n: 7 } }],
    });
  });

  it("come at most 100 in a response, in order", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const start = await bob.position();
    await sendMany(alice, bob, 250);
    const seen: unknown[] = [];
    let since = start;
    for (const size of [100, 100, 50]) {
      const response = await bob.sync(since);
      expect(numbers(response)).toHaveLength(size);
      seen.push(...numbers(response));
      since = String(response["next_batch"]);
    }
    expect(seen).toEqual(Array.from({ length: 250 }, (_, i) => i));
    expect(numbers(await bob.sync(since))).toEqual([]);
  });

  it("are deleted by the request whose since covers them, not by the response", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const start = await bob.position();
    await sendMany(alice, bob, 2);
    const inbox = (): number => fixture.playground.store.inbox(bob.userId, bob.deviceId).length;
    const first = await bob.sync(start);
    expect(numbers(await bob.sync(start))).toEqual([0, 1]);
    expect(inbox()).toBe(2);
    await bob.sync(String(first["next_batch"]));
    expect(inbox()).toBe(0);
    expect(numbers(await bob.sync(start))).toEqual([]);
  });

  it("are deleted at the start of a long poll that has not answered yet", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    await send(alice, bob.userId, bob.deviceId, 1);
    const { next_batch } = await bob.sync();
    const poll = bob.get(`sync?timeout=30000&since=${String(next_batch)}`);
    await fixture.playground.store.notifier.untilWaiting(bob.userId);
    expect(fixture.playground.store.inbox(bob.userId, bob.deviceId)).toEqual([]);
    await send(alice, bob.userId, bob.deviceId, 2);
    expect(numbers(await poll)).toEqual([2]);
  });

  it("are shown by an initial sync, which deletes nothing", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    await send(alice, bob.userId, bob.deviceId, 1);
    expect(numbers(await bob.sync())).toEqual([1]);
    expect(numbers(await bob.sync())).toEqual([1]);
  });

  it("are deleted unread by a since of another device of the user", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    const second = await fixture.device("bob", "SECOND");
    await send(alice, bob.userId, "*", 1);
    const ofSecond = await second.sync();
    expect(numbers(ofSecond)).toEqual([1]);
    await bob.sync(String(ofSecond["next_batch"]));
    expect(fixture.playground.store.inbox(bob.userId, bob.deviceId)).toEqual([]);
    expect(fixture.playground.store.inbox(bob.userId, "SECOND")).toHaveLength(1);
  });

  it("go to every device for *, and nowhere for unknown devices", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    await fixture.device("bob", "SECOND");
    await send(alice, bob.userId, "*", 1);
    await send(alice, bob.userId, "NOWHERE", 2);
    for (const deviceId of [bob.deviceId, "SECOND"]) {
      const inbox = fixture.playground.store.inbox(bob.userId, deviceId);
      expect(inbox.map((message) => message.content)).toEqual([{ n: 1 }]);
    }
  });

  it("are sent once for one transaction id", async () => {
    const alice = await fixture.user("alice");
    const bob = await fixture.user("bob");
    await send(alice, bob.userId, bob.deviceId, 1);
    await send(alice, bob.userId, bob.deviceId, 1);
    expect(fixture.playground.store.inbox(bob.userId, bob.deviceId)).toHaveLength(1);
  });
});
