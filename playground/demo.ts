/**
 * The demo: a homeserver, Kirjava before it, a bot that knows nothing of encryption, and an encrypted
 * client. Shows what each of them sees, then stays up to be tried by hand.
 */
import { once } from "node:events";

import { EchoBot } from "./demo/echo-bot.ts";
import { EncryptedPeer } from "./demo/encrypted-peer.ts";
import { asObject, type JsonObject } from "./demo/json-object.ts";
import { KirjavaProcess } from "./demo/kirjava-process.ts";
import { RestClient } from "./demo/rest-client.ts";
import { type Playground, startPlayground } from "./index.ts";

const password = "demo";

/** Messages as they come in, and a promise for the next one. */
class Inbox {
  readonly #waiting: ((event: JsonObject) => void)[] = [];
  readonly push = (event: JsonObject): void => this.#waiting.shift()?.(event);
  next(): Promise<JsonObject> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

function print(label = "", text = ""): void {
  process.stdout.write(label === "" ? "\n" : `  ${label.padEnd(26)} ${text}\n`);
}

/** The stored event, as whoever reads the homeserver's database sees it. */
function stored(playground: Playground, eventId: unknown): string {
  const event = playground.store.events().find((candidate) => candidate.eventId === eventId);
  const content = asObject(event?.content);
  const { ciphertext, algorithm, session_id: sessionId } = content;
  if (typeof ciphertext !== "string") return JSON.stringify(content);
  const shown = { algorithm, ciphertext: `${ciphertext.slice(0, 40)}...`, session_id: sessionId };
  return JSON.stringify(shown);
}

async function main(): Promise<void> {
  const stop = new AbortController();
  // SIGHUP is a terminal that was closed; a second signal must not leave the daemon behind.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => stop.abort());
  }
  const stopped = once(stop.signal, "abort");

  const playground = await startPlayground();
  const kirjava = await KirjavaProcess.start(playground.url);
  try {
    for (const username of ["alice", "bot"]) {
      await fetch(`${playground.url}/_matrix/client/v3/register`, {
        method: "POST",
        body: JSON.stringify({ username, password, auth: { type: "m.login.dummy" } }),
      });
    }
    const alice = await EncryptedPeer.start(
      await RestClient.login(playground.url, "alice", password),
    );
    const bot = new EchoBot(await RestClient.login(kirjava.url, "bot", password));
    const created = await alice.client.request("POST", "/createRoom", {
      name: "Demo",
      preset: "private_chat",
      invite: [bot.client.userId],
      initial_state: [
        {
          type: "m.room.encryption",
          state_key: "",
          content: { algorithm: "m.megolm.v1.aes-sha2" },
        },
      ],
    });
    const roomId = String(created["room_id"]);
    await bot.client.request("POST", `/join/${encodeURIComponent(roomId)}`, {});
    // By then Kirjava has made keys for the bot's device: who sends now encrypts for it, too.
    await bot.client.catchUp();

    const [toAlice, toBot] = [new Inbox(), new Inbox()];
    const following = [
      alice.follow((event) => {
        if (event["sender"] === bot.client.userId) toAlice.push(event);
      }, stop.signal),
      bot.follow(toBot.push, stop.signal),
    ];
    const failed = Promise.all(following).then((): JsonObject => ({}));
    failed.catch(() => undefined);

    const text = "Is this readable on the homeserver?";
    const [seenByBot, seenByAlice] = [toBot.next(), toAlice.next()];
    const sent = await alice.sendText(roomId, text);
    const atBot = await Promise.race([seenByBot, failed]);
    const atAlice = await Promise.race([seenByAlice, failed]);
    if (stop.signal.aborted) return;

    print();
    print("alice, encrypted, sends", text);
    print("the homeserver holds", stored(playground, sent));
    print("the plain bot sees", JSON.stringify(atBot["content"]));
    print();
    print("the plain bot answers", "through Kirjava, with a plain HTTP request");
    print("the homeserver holds", stored(playground, atAlice["event_id"]));
    print("alice reads", JSON.stringify(atAlice["content"]));
    print();
    print("homeserver (in memory)", playground.url);
    print("Kirjava", kirjava.url);
    print("users", `alice, bot (password: ${password})`);
    print("room", roomId);
    print();
    const room = encodeURIComponent(roomId);
    const path = `/_matrix/client/v3/rooms/${room}/messages?dir=b&limit=3`;
    const header = `-H 'Authorization: Bearer ${bot.client.accessToken}'`;
    process.stdout.write(
      "Try by hand: the same request, at the homeserver and through Kirjava\n\n",
    );
    process.stdout.write(`  curl ${header} '${playground.url}${path}'\n`);
    process.stdout.write(`  curl ${header} '${kirjava.url}${path}'\n\n`);
    process.stdout.write("Ctrl-C stops everything. Nothing is kept.\n");
    await Promise.race([stopped, failed]);
    stop.abort();
    await Promise.allSettled(following);
  } finally {
    await kirjava.stop();
    await playground.stop();
  }
}

await main();
