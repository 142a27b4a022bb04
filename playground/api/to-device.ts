import type { Call } from "../call.ts";
import { missingParam } from "../errors.ts";
import { isObject, objectOr } from "../json.ts";
import type { JsonObject } from "../json.ts";
import { client, ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import type { ApiContext } from "./context.ts";
import type { Transactions } from "./transactions.ts";

/** Send-to-device messaging. Contents arrive as they were sent: the server adds nothing to them. */
export function toDeviceRoutes(context: ApiContext, transactions: Transactions): Route[] {
  const send = (call: Call): Promise<Reply> => {
    const requester = call.requester();
    return transactions.once(call, requester, () => {
      const messages = call.json()["messages"];
      if (!isObject(messages)) throw missingParam("Missing params: ['messages']");
      const byUser = new Map<string, Map<string, JsonObject>>();
      for (const [userId, devices] of Object.entries(messages)) {
        const byDevice = Object.entries(objectOr(devices)).map(
          ([deviceId, content]) => [deviceId, objectOr(content)] as const,
        );
        byUser.set(userId, new Map(byDevice));
      }
      context.store.toDevice.send(requester.userId, call.param("type"), byUser);
      return ok();
    });
  };
  return client("PUT", "sendToDevice/{type}/{txnId}", send);
}
