import type { IncomingMessage, ServerResponse } from "node:http";
import { Accounts } from "../../../proxy/accounts/accounts.ts";
import { systemClock } from "../../../proxy/clock.ts";
import { Homeserver } from "../../../proxy/homeserver/homeserver.ts";
import { loginRoutes } from "../../../proxy/routes/login.ts";
import { logoutRoutes } from "../../../proxy/routes/logout.ts";
import { versionsRoutes } from "../../../proxy/routes/versions.ts";
import { wellKnownRoutes } from "../../../proxy/routes/well-known.ts";
import { whoamiRoutes } from "../../../proxy/routes/whoami.ts";
import { Place, silent } from "../accounts/section-fixture.ts";
import { json, startFront, startUpstream, text } from "../server/front.ts";
import type { Front, Upstream } from "../server/front.ts";

/** One answer of the upstream's: status, and a body that is sent as JSON, or as it is where it is a string. */
export type Canned = readonly [status: number, body: unknown, headers?: Record<string, string>];

/** The account routes before a canned homeserver, with real accounts in a real database. */
export interface Section {
  readonly front: Front;
  readonly upstream: Upstream;
  readonly accounts: Accounts;
  /** `gone` and `token` of each device, as told to whoever listens. */
  readonly changes: string[];
  /** What each request held: method, target, body. */
  readonly asked: string[];
  stop(): Promise<void>;
}

/** @param answers - by method and path without query; whatever is not in it is a 404 */
export async function startSection(
  answers: Readonly<Record<string, Canned>>,
  publicUrl: URL | null = null,
): Promise<Section> {
  const asked: string[] = [];
  const upstream = await startUpstream((request, response) => {
    void text(request).then((body) => {
      asked.push(`${request.method ?? ""} ${request.url ?? ""} ${body}`.trim());
      reply(request, response, answers);
    });
  });
  const place = new Place();
  const database = place.open();
  const homeserver = new Homeserver({
    url: upstream.url,
    tls: { verify: true },
    timeoutMs: 10_000,
  });
  const accounts = new Accounts(database, homeserver, systemClock, silent);
  const changes: string[] = [];
  accounts.onChange(({ kind, address }) =>
    changes.push(`${kind} ${address.userId} ${address.deviceId}`),
  );
  const routes = {
    ...loginRoutes({ accounts, publicUrl }),
    ...logoutRoutes(accounts),
    ...whoamiRoutes(accounts),
    ...wellKnownRoutes(publicUrl),
    ...versionsRoutes(),
  };
  const front = await startFront(upstream.url, routes, { accounts });
  return {
    front,
    upstream,
    accounts,
    changes,
    asked,
    stop: async () => {
      await front.close();
      await homeserver.close();
      database.close();
      place.remove();
      await upstream.stop();
    },
  };
}

function reply(
  request: IncomingMessage,
  response: ServerResponse,
  answers: Readonly<Record<string, Canned>>,
): void {
  const key = `${request.method ?? ""} ${(request.url ?? "").split("?", 1)[0] ?? ""}`;
  const [status, body, headers] = answers[key] ?? [404, { errcode: "M_UNRECOGNIZED" }];
  if (typeof body === "string" || headers !== undefined) {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  } else {
    json(response, status, body);
  }
}
