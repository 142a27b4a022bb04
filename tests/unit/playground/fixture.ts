import { afterEach, beforeEach } from "vitest";
import { startPlayground } from "../../../playground/index.ts";
import type { Playground, PlaygroundOptions } from "../../../playground/index.ts";
import type { Client } from "./api.ts";
import { login, register } from "./api.ts";

/** A fresh playground for each test of the file, with users on demand. */
export class Fixture {
  #playground: Playground | null = null;

  constructor(options: PlaygroundOptions = {}) {
    beforeEach(async () => {
      this.#playground = await startPlayground(options);
    });
    afterEach(async () => {
      await this.#playground?.stop();
    });
  }

  get playground(): Playground {
    if (this.#playground === null) throw new Error("the playground has not been started");
    return this.#playground;
  }

  /** A new user, logged in. */
  user(name: string): Promise<Client> {
    return register(this.playground, name);
  }

  /** A further device of a user that `user` made. */
  device(name: string, deviceId: string): Promise<Client> {
    return login(this.playground, name, deviceId);
  }

  /** A room of the first user that the others joined. */
  async room(creator: Client, ...others: readonly Client[]): Promise<string> {
    const { room_id } = await creator.post("createRoom", {
      preset: "private_chat",
      invite: others.map((other) => other.userId),
    });
    const roomId = String(room_id);
    for (const other of others) await other.post(`join/${roomId}`);
    return roomId;
  }
}

/** A text message's content. */
export function text(body: string): { readonly msgtype: string; readonly body: string } {
  return { msgtype: "m.text", body };
}
