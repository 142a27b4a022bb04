import { randomUUID } from "node:crypto";
import { isObject } from "../../../playground/json.ts";
import type { JsonObject } from "../../../playground/json.ts";
import type { Playground } from "../../../playground/server.ts";

/** An answer as the tests look at it. */
export interface Answer {
  readonly status: number;
  readonly body: JsonObject;
}

/** A user of the homeserver under test, by raw requests. */
export class Client {
  readonly url: string;
  readonly userId: string;
  readonly deviceId: string;
  readonly token: string;

  constructor(url: string, session: JsonObject) {
    this.url = url;
    this.userId = String(session["user_id"]);
    this.deviceId = String(session["device_id"]);
    this.token = String(session["access_token"]);
  }

  /** Any request; `path` without a version prefix goes to v3. */
  async request(method: string, path: string, body?: unknown): Promise<Answer> {
    return request(this.url, method, path, body, this.token);
  }

  async get(path: string): Promise<JsonObject> {
    return this.#succeed("GET", path);
  }

  async post(path: string, body: unknown = {}): Promise<JsonObject> {
    return this.#succeed("POST", path, body);
  }

  async put(path: string, body: unknown = {}): Promise<JsonObject> {
    return this.#succeed("PUT", path, body);
  }

  /** Sends a message event with a transaction id of its own. */
  async say(roomId: string, body: string): Promise<string> {
    const path = `rooms/${roomId}/send/m.room.message/${randomUUID()}`;
    return String((await this.put(path, { msgtype: "m.text", body }))["event_id"]);
  }

  /** The `next_batch` of a sync from `since`. */
  async position(since?: string): Promise<string> {
    return String((await this.sync(since))["next_batch"]);
  }

  async sync(since?: string, query = ""): Promise<JsonObject> {
    const from = since === undefined ? "" : `&since=${since}`;
    return this.get(`sync?timeout=0${from}${query}`);
  }

  async #succeed(method: string, path: string, body?: unknown): Promise<JsonObject> {
    const answer = await this.request(method, path, body);
    if (answer.status !== 200) {
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
    return answer.body;
  }
}

/** One request, without a token unless one is given. */
export async function request(
  url: string,
  method: string,
  path: string,
  body?: unknown,
  token?: string,
): Promise<Answer> {
  const response = await fetch(
    `${url}${path.startsWith("/") ? "" : "/_matrix/client/v3/"}${path}`,
    {
      method,
      headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
      body: body === undefined ? null : JSON.stringify(body),
    },
  );
  const value: unknown = await response.json();
  return { status: response.status, body: isObject(value) ? value : { value } };
}

/** A new user, logged in. */
export async function register(playground: Playground, username: string): Promise<Client> {
  const auth = { type: "m.login.dummy" };
  const session = await request(playground.url, "POST", "register", {
    username,
    password: `${username}-password`,
    auth,
  });
  if (session.status !== 200) throw new Error(JSON.stringify(session.body));
  return new Client(playground.url, session.body);
}

/** A device of a user that `register` made; a known device id logs that device in again. */
export async function login(
  playground: Playground,
  username: string,
  deviceId: string,
): Promise<Client> {
  const session = await request(playground.url, "POST", "login", {
    type: "m.login.password",
    identifier: { type: "m.id.user", user: username },
    password: `${username}-password`,
    device_id: deviceId,
  });
  if (session.status !== 200) throw new Error(JSON.stringify(session.body));
  return new Client(playground.url, session.body);
}

/** The value at a path of names and indexes; undefined where it does not exist. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  let current = value;
  for (const name of path) {
    if (typeof current !== "object" || current === null) return undefined;
    current = (current as Record<string | number, unknown>)[name];
  }
  return current;
}

/** The list at a path; empty where it does not exist. */
export function listAt(value: unknown, ...path: readonly (string | number)[]): unknown[] {
  const list = at(value, ...path);
  return Array.isArray(list) ? list : [];
}
