import { setTimeout as delay } from "node:timers/promises";

import type { PlainBotSdk } from "./peers/plain-bot-sdk.ts";
import type { PlainJsSdk } from "./peers/plain-js-sdk.ts";

type Content = Readonly<Record<string, unknown>>;

/** What the tests of both plain clients use of them. */
export type PlainClient = PlainBotSdk | PlainJsSdk;

/** Joins a room with either client. */
export async function joinWith(client: PlainClient, roomId: string): Promise<void> {
  await patiently(() => client.client.joinRoom(roomId));
}

/** Sends an event with either client and returns the id that the client was told. */
export async function sendWith(
  client: PlainClient,
  roomId: string,
  type: string,
  content: Content,
): Promise<string> {
  return answeredId(await patiently<Answer>(() => client.client.sendEvent(roomId, type, content)));
}

/** Redacts an event with either client and returns the redaction's id. */
export async function redactWith(
  client: PlainClient,
  roomId: string,
  eventId: string,
): Promise<string> {
  return answeredId(await patiently<Answer>(() => client.client.redactEvent(roomId, eventId)));
}

type Answer = string | { readonly event_id: string };

/** matrix-bot-sdk answers with the id, matrix-js-sdk with an object around it. */
function answeredId(answer: Answer): string {
  return typeof answer === "string" ? answer : answer.event_id;
}

/** Waits out a homeserver's rate limits, which matrix-bot-sdk leaves to its user. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const { errcode, retryAfterMs } = error as { errcode?: unknown; retryAfterMs?: unknown };
      if (errcode !== "M_LIMIT_EXCEEDED" || typeof retryAfterMs !== "number") throw error;
      await delay(retryAfterMs);
    }
  }
}
