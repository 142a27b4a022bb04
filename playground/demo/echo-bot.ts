import { asObject, type JsonObject, timelineEvents } from "./json-object.ts";
import type { RestClient } from "./rest-client.ts";

/** A bot that knows nothing of encryption: it answers every text message with the same text. */
export class EchoBot {
  readonly client: RestClient;

  constructor(client: RestClient) {
    this.client = client;
  }

  /** Echoes until the signal fires; `onMessage` gets each event that it answers. */
  follow(onMessage: (event: JsonObject) => void, signal: AbortSignal): Promise<void> {
    return this.client.follow(async (response) => {
      for (const { roomId, event } of timelineEvents(response)) {
        const { msgtype, body } = asObject(event["content"]);
        if (event["type"] !== "m.room.message" || event["sender"] === this.client.userId) continue;
        if (msgtype !== "m.text" || typeof body !== "string") continue;
        onMessage(event);
        const content = { msgtype: "m.notice", body: `echo: ${body}` };
        await this.client.sendEvent(roomId, "m.room.message", content);
      }
    }, signal);
  }
}
