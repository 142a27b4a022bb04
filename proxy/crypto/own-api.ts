import { type OwnRequests } from "../homeserver/own-requests.ts";
import { MatrixError } from "../matrix/errors.ts";
import { type JsonObject, parseObject } from "../matrix/json.ts";
import { OwnRequestRefused, TokenRejected } from "./errors.ts";

/** What a request carries besides its path. */
export interface OwnCall {
  /** JSON text. */
  readonly body?: string;
  /** How long trying may take, in milliseconds from now. */
  readonly deadlineMs?: number;
  /** A homeserver that cannot be reached fails the request at once. */
  readonly failFast?: boolean;
}

/** Requests that a device session makes in its device's name, with the newest token it was given. */
export class OwnApi {
  readonly #requests: OwnRequests;
  readonly #settled: () => Promise<void>;
  #token: string;

  /** @param settled - resolves when what the device did so far is durable: no request shows what a crash could undo */
  constructor(requests: OwnRequests, token: string, settled: () => Promise<void>) {
    this.#requests = requests;
    this.#token = token;
    this.#settled = settled;
  }

  setToken(token: string): void {
    this.#token = token;
  }

  /**
   * One request; back-off and rate limits are honoured below.
   *
   * @param path - below `/_matrix/client`
   * @returns the body's text
   * @throws {TokenRejected} 401 M_UNKNOWN_TOKEN
   * @throws {OwnRequestRefused} any other answer that is not 2xx
   */
  async call(method: "GET" | "POST" | "PUT", path: string, options: OwnCall = {}): Promise<string> {
    await this.#settled();
    const response = await this.#requests.json({
      method,
      path: `/_matrix/client${path}`,
      token: this.#token,
      ...options,
    });
    if (response.statusCode >= 200 && response.statusCode < 300) return response.text;
    const error = parseObject(response.text) ?? {};
    const errcode = typeof error["errcode"] === "string" ? error["errcode"] : "";
    if (response.statusCode === 401 && errcode === "M_UNKNOWN_TOKEN") {
      throw new TokenRejected(error["soft_logout"] === true);
    }
    throw new OwnRequestRefused(
      `${method} ${path.split("?")[0] ?? ""}`,
      response.statusCode,
      errcode,
    );
  }

  /**
   * As {@link call}, parsed.
   *
   * @throws MatrixError 502 where the answer is no JSON object: it says nothing then
   */
  async json(
    method: "GET" | "POST" | "PUT",
    path: string,
    options: OwnCall = {},
  ): Promise<JsonObject> {
    const parsed = parseObject(await this.call(method, path, options));
    if (parsed === null) {
      const what = `${method} ${path.split("?")[0] ?? ""}`;
      throw new MatrixError(
        502,
        "M_UNKNOWN",
        `the homeserver answered ${what} with no JSON object`,
      );
    }
    return parsed;
  }
}
