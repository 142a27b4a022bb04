import type { Call, Requester } from "../call.ts";
import type { Reply } from "../router.ts";

/**
 * Answers a repeated transaction with the first answer. The key is the raw path, and the user and device or, for
 * appservices, the appservice alone. A failure does not use the id up.
 */
export class Transactions {
  readonly #answers = new Map<string, Promise<Reply>>();

  /** Runs `handle` unless the same transaction ran before or is running. */
  async once(call: Call, requester: Requester, handle: () => Reply): Promise<Reply> {
    const who =
      requester.appservice === null
        ? ["user", requester.userId, requester.deviceId]
        : ["appservice", requester.appservice.registration.id];
    const key = JSON.stringify([call.rawPath, ...who]);
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    const reply = handle();
    this.#answers.set(key, Promise.resolve(reply));
    return Promise.resolve(reply);
  }
}
