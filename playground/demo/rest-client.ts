import { asObject, type JsonObject } from "./json-object.ts";

/** A client of the demo, as simple as a Matrix client can be: a base URL and an access token. */
export class RestClient {
  readonly baseUrl: string;
  readonly userId: string;
  readonly deviceId: string;
  readonly accessToken: string;
  #transactions = 0;
  #since = "";

  private constructor(baseUrl: string, login: JsonObject) {
    this.baseUrl = baseUrl;
    this.userId = String(login["user_id"]);
    this.deviceId = String(login["device_id"]);
    this.accessToken = String(login["access_token"]);
  }

  /** Logs in with a password. */
  static async login(baseUrl: string, user: string, password: string): Promise<RestClient> {
    const login = await send(`${baseUrl}/_matrix/client/v3/login`, "POST", null, {
      type: "m.login.password",
      identifier: { type: "m.id.user", user },
      password,
    });
    return new RestClient(baseUrl, login);
  }

  /**
   * One request.
   *
   * @param path - below `/_matrix/client/v3`
   * @throws where the answer is not 2xx, with the homeserver's own words
   */
  request(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<JsonObject> {
    const url = `${this.baseUrl}/_matrix/client/v3${path}`;
    return send(url, method, this.accessToken, body, signal);
  }

  /** Sends an event and returns its id. */
  async sendEvent(roomId: string, type: string, content: unknown): Promise<string> {
    const txnId = `demo${++this.#transactions}`;
    const path = `/rooms/${encodeURIComponent(roomId)}/send/${encodeURIComponent(type)}/${txnId}`;
    return String((await this.request("PUT", path, content))["event_id"]);
  }

  /** Syncs until the signal fires; `handle` is awaited before the next request. */
  async follow(
    handle: (response: JsonObject) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      for (;;) {
        const since = this.#since === "" ? "" : `&since=${encodeURIComponent(this.#since)}`;
        const path = `/sync?timeout=30000${since}`;
        const response = await this.request("GET", path, undefined, signal);
        this.#since = String(response["next_batch"]);
        await handle(response);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** The first sync: what there is so far is not looked at. */
  async catchUp(): Promise<void> {
    this.#since = String((await this.request("GET", "/sync?timeout=0"))["next_batch"]);
  }
}

async function send(
  url: string,
  method: string,
  token: string | null,
  body?: unknown,
  signal?: AbortSignal,
): Promise<JsonObject> {
  const response = await fetch(url, {
    method,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  });
  const answer = asObject(await response.json());
  if (response.ok) return answer;
  const path = new URL(url).pathname;
  throw new Error(`${method} ${path}: ${response.status} ${String(answer["error"])}`);
}
