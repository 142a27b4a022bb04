import { randomUUID } from "node:crypto";
import type { Call } from "../call.ts";
import { ApiError, forbidden } from "../errors.ts";
import { stringOr } from "../json.ts";
import { ok } from "../router.ts";
import type { Reply, Route } from "../router.ts";
import type { ApiContext } from "./context.ts";

/**
 * The ping: the homeserver calls the appservice back, and sends what it kept.
 *
 * @see https://spec.matrix.org/v1.16/application-service-api/#pinging
 */
export function appserviceRoutes(context: ApiContext): Route[] {
  const ping = async (call: Call): Promise<Reply> => {
    const { appservice } = call.requester();
    if (appservice?.registration.id !== call.param("id")) {
      throw forbidden("Only application services can use this endpoint for their own id");
    }
    const { url, hs_token: token } = appservice.registration;
    if (url === null) {
      throw new ApiError(400, "M_URL_NOT_SET", "The application service does not have a URL set");
    }
    const transactionId = stringOr(call.jsonOrEmpty()["transaction_id"]);
    const start = Date.now();
    let response: Response;
    try {
      response = await fetch(`${url.replace(/\/$/, "")}/_matrix/app/v1/ping`, {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
        body: JSON.stringify({ transaction_id: transactionId ?? randomUUID() }),
        signal: call.signal,
      });
    } catch {
      throw new ApiError(502, "M_CONNECTION_FAILED", "Connection to the appservice failed");
    }
    const text = await response.text();
    if (!response.ok) {
      throw new ApiError(502, "M_BAD_STATUS", `HTTP ${response.status} response from appservice`, {
        status: response.status,
        body: text,
      });
    }
    context.pusher.queue(appservice).retryNow();
    return ok({ duration_ms: Date.now() - start });
  };
  return ["v1", "unstable/fi.mau.msc2659"].map((prefix) => ({
    method: "POST",
    path: `/_matrix/client/${prefix}/appservice/{id}/ping`,
    handler: ping,
  }));
}
