import {
  type Backlog,
  claim,
  type Json,
  type Person,
  publish,
  type PublishedKeys,
} from "./person.ts";

/** A request as the stub sees it. */
export interface StubRequest {
  readonly method: string;
  /** With the query. */
  readonly target: string;
  readonly token: string;
  readonly body: Buffer;
}

/** Answers of the stub: a body, at once or late. */
export interface StubAnswer {
  readonly status: number;
  readonly body: string;
}

/** A device of the proxy under test. */
interface Client {
  readonly userId: string;
  readonly deviceId: string;
  readonly keys: PublishedKeys;
  position: number;
  /** What a sync from the position before the present one shows. */
  backlog: Json;
}

type Answer = StubAnswer | Promise<StubAnswer>;
type Handler = (request: StubRequest, params: readonly string[], query: URLSearchParams) => Answer;

const OK_EMPTY: StubAnswer = { status: 200, body: "{}" };
const NO_CHANGES = json({ changed: [], left: [] });
const NOT_FOUND = json({ errcode: "M_UNRECOGNIZED", error: "not in the stub" }, 404);
const MAX_POLL_MS = 30_000;

/**
 * As much of a homeserver as a benchmark needs: everything is in memory and most answers are ready-made, so that it is not the
 * limit. Everybody is in every room, every room is encrypted, nothing ever happens but a {@link StubHomeserver.prepare}d backlog.
 */
export class StubHomeserver {
  readonly #people: ReadonlyMap<string, Person>;
  readonly #clients = new Map<string, Client>();
  readonly #rooms: readonly string[];
  readonly #routes: readonly [method: string, pattern: RegExp, handler: Handler][];
  #events = 0;

  constructor(people: readonly Person[], rooms: readonly string[]) {
    this.#people = new Map(people.map((person) => [person.userId, person]));
    this.#rooms = rooms;
    this.#routes = this.#makeRoutes();
  }

  answer(request: StubRequest): Answer {
    const question = request.target.indexOf("?");
    const path = question === -1 ? request.target : request.target.slice(0, question);
    for (const [method, pattern, handler] of this.#routes) {
      if (method !== request.method) continue;
      const match = pattern.exec(path);
      if (match === null) continue;
      const query = new URLSearchParams(question === -1 ? "" : request.target.slice(question + 1));
      return handler(request, match.slice(1).map(decodeURIComponent), query);
    }
    return NOT_FOUND;
  }

  /** Lets a client's next sync find encrypted events in a new room, with their keys. */
  async prepare(token: string, events: number, perSession: number): Promise<void> {
    const client = this.#client(token);
    const [sender] = this.#people.values();
    if (sender === undefined) throw new Error("expected at least one recipient");
    if (client.keys.deviceKeys === null) throw new Error("expected a client with device keys");
    const roomId = `!backlog${client.position}-${client.deviceId}:bench`;
    const backlog = await sender.write(roomId, client, events, perSession);
    client.backlog = syncOf(roomId, backlog, client.keys.oneTimeKeys.length);
    client.position += 1;
  }

  #makeRoutes(): [method: string, pattern: RegExp, handler: Handler][] {
    const client = (path: string): RegExp =>
      new RegExp(`^/_matrix/client/(?:r0|v1|v3|unstable)${path.replaceAll("{}", "([^/]+)")}/?$`);
    const members = this.#members();
    return [
      ["PUT", client("/rooms/{}/send/{}/{}"), () => this.#send()],
      ["GET", client("/profile/{}"), () => json({ displayname: "Bench", avatar_url: "mxc://b/1" })],
      ["GET", client("/keys/changes"), () => NO_CHANGES],
      ["GET", client("/rooms/{}/members"), () => members.events],
      ["GET", client("/rooms/{}/joined_members"), () => members.joined],
      ["GET", client("/rooms/{}/state/{}"), (_, [, type]) => stateOf(type)],
      ["GET", client("/sync"), (request, _, query) => this.#sync(request.token, query)],
      ["PUT", client("/sendToDevice/{}/{}"), () => OK_EMPTY],
      ["POST", client("/keys/query"), (request) => this.#query(parse(request.body))],
      ["POST", client("/keys/claim"), (request) => this.#claim(parse(request.body))],
      ["POST", client("/keys/upload"), (request) => this.#upload(request)],
      ["GET", client("/account/whoami"), ({ token }) => json(this.#whoami(token))],
      ["POST", client("/login"), (request) => this.#login(parse(request.body))],
      ["GET", client("/login"), () => json({ flows: [{ type: "m.login.password" }] })],
      ["POST", client("/user/{}/filter"), () => json({ filter_id: "1" })],
      ["GET", client("/user/{}/filter/{}"), () => OK_EMPTY],
      ["GET", /^\/_matrix\/client\/versions$/, () => json({ versions: ["v1.1", "v1.11"] })],
    ];
  }

  #members(): { events: StubAnswer; joined: StubAnswer } {
    const users = ["@sender:bench", "@reader:bench", ...this.#people.keys()];
    const content = { membership: "join" };
    const chunk = users.map((user) => ({ type: "m.room.member", state_key: user, content }));
    const joined = Object.fromEntries(users.map((user) => [user, {}]));
    return { events: json({ chunk }), joined: json({ joined }) };
  }

  #send(): StubAnswer {
    this.#events += 1;
    return { status: 200, body: `{"event_id":"$bench${this.#events}"}` };
  }

  #sync(token: string, query: URLSearchParams): Answer {
    const client = this.#client(token);
    const since = query.get("since");
    const counts = { signed_curve25519: client.keys.oneTimeKeys.length };
    const next_batch = `s${client.position}`;
    if (since === null)
      return json({ next_batch, device_one_time_keys_count: counts, ...this.#initial() });
    if (since !== next_batch) return json({ next_batch, ...client.backlog });
    const empty = json({ next_batch, device_one_time_keys_count: counts });
    const waitMs = Math.min(Number(query.get("timeout") ?? 0), MAX_POLL_MS);
    if (waitMs === 0) return empty;
    return new Promise((resolve) => setTimeout(resolve, waitMs, empty).unref());
  }

  #initial(): Json {
    const state = {
      events: [
        {
          type: "m.room.encryption",
          state_key: "",
          sender: "@sender:bench",
          event_id: "$encryption",
          origin_server_ts: 1,
          content: { algorithm: "m.megolm.v1.aes-sha2" },
        },
      ],
    };
    const join = Object.fromEntries(
      this.#rooms.map((room) => [
        room,
        { state, timeline: { events: [], limited: false, prev_batch: "p" } },
      ]),
    );
    return { rooms: { join } };
  }

  #query(body: Json): StubAnswer {
    const answer: Record<string, Json> = {};
    for (const userId of Object.keys(body["device_keys"] ?? {})) {
      answer[userId] = {};
      for (const { deviceId, keys } of this.#devicesOf(userId)) {
        if (keys.deviceKeys !== null) answer[userId][deviceId] = keys.deviceKeys;
      }
    }
    return json({ device_keys: answer, failures: {} });
  }

  #claim(body: Json): StubAnswer {
    const wanted = (body["one_time_keys"] ?? {}) as Record<string, Json>;
    const answer: Record<string, Json> = {};
    for (const [userId, devices] of Object.entries(wanted)) {
      answer[userId] = {};
      for (const device of this.#devicesOf(userId)) {
        if (devices[device.deviceId] === undefined) continue;
        answer[userId][device.deviceId] = claim(device.keys);
      }
    }
    return json({ one_time_keys: answer, failures: {} });
  }

  #upload(request: StubRequest): StubAnswer {
    const { keys } = this.#client(request.token);
    publish(keys, parse(request.body));
    return json({ one_time_key_counts: { signed_curve25519: keys.oneTimeKeys.length } });
  }

  #login(body: Json): StubAnswer {
    const identifier = (body["identifier"] ?? {}) as Json;
    const name = String(identifier["user"] ?? body["user"]).replace(/^@|:.*$/g, "");
    return json(this.#add(`@${name}:bench`));
  }

  #whoami(token: string): Json {
    const { userId, deviceId } = this.#client(token);
    return { user_id: userId, device_id: deviceId };
  }

  #add(userId: string): Json {
    const number = this.#clients.size + 1;
    const deviceId = `DEVICE${number}`;
    const access_token = `token-${number}`;
    const keys: PublishedKeys = { deviceKeys: null, oneTimeKeys: [], fallbackKey: null };
    this.#clients.set(access_token, { userId, deviceId, keys, position: 1, backlog: {} });
    return { access_token, user_id: userId, device_id: deviceId, home_server: "bench" };
  }

  #devicesOf(userId: string): { readonly deviceId: string; readonly keys: PublishedKeys }[] {
    const person = this.#people.get(userId);
    if (person !== undefined) return [person];
    return [...this.#clients.values()].filter((client) => client.userId === userId);
  }

  #client(token: string): Client {
    const client = this.#clients.get(token);
    if (client === undefined) throw new Error("expected a token of a login at this stub");
    return client;
  }
}

function stateOf(type: string | undefined): StubAnswer {
  if (type === "m.room.encryption") return json({ algorithm: "m.megolm.v1.aes-sha2" });
  if (type === "m.room.history_visibility") return json({ history_visibility: "shared" });
  return json({ errcode: "M_NOT_FOUND", error: "no such state" }, 404);
}

function syncOf(roomId: string, { toDevice, events }: Backlog, oneTimeKeys: number): Json {
  const timeline = { events, limited: false, prev_batch: "p" };
  return {
    to_device: { events: toDevice },
    device_one_time_keys_count: { signed_curve25519: oneTimeKeys },
    rooms: { join: { [roomId]: { timeline, state: { events: [] } } } },
  };
}

function parse(body: Buffer): Json {
  return JSON.parse(body.length === 0 ? "{}" : body.toString("utf8")) as Json;
}

function json(value: unknown, status = 200): StubAnswer {
  return { status, body: JSON.stringify(value) };
}
