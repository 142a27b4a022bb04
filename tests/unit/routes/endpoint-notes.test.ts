import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Accounts } from "../../../proxy/accounts/accounts.ts";
import type { SectionDatabase } from "../../../proxy/accounts/section-database.ts";
import { systemClock as clock } from "../../../proxy/clock.ts";
import { SessionHosts } from "../../../proxy/crypto/session-hosts.ts";
import { Homeserver } from "../../../proxy/homeserver/homeserver.ts";
import { ENDPOINT_NOTES } from "../../../proxy/matrix/endpoint-notes.ts";
import { type Endpoint, type EndpointName, ENDPOINTS } from "../../../proxy/matrix/endpoints.ts";
import { MediaKeys } from "../../../proxy/media/media-keys.ts";
import { EncryptionPins } from "../../../proxy/rooms/encryption-pins.ts";
import type { Handlers } from "../../../proxy/routes/call.ts";
import { sectionRoutes } from "../../../proxy/routes/section-routes.ts";
import { OwnSyncLoops } from "../../../proxy/sync/own-sync-loops.ts";
import { SectionSessions } from "../../../proxy/sync/section-sessions.ts";
import { Place } from "../accounts/section-fixture.ts";

describe("the notes on endpoints", () => {
  const logger = pino({ level: "silent" });
  const hosts = new SessionHosts({ sections: [], logLevel: "error", logFormat: "json" }, 0, logger);
  let database: SectionDatabase;
  let homeserver: Homeserver;
  let routes: Handlers;

  beforeAll(() => {
    database = new Place().open();
    homeserver = new Homeserver({
      url: new URL("http://127.0.0.1:9"),
      tls: { verify: true },
      timeoutMs: 1_000,
    });
    const accounts = new Accounts(database, homeserver, clock, logger);
    const pins = new EncryptionPins(database, clock);
    const mediaKeys = new MediaKeys(database, clock);
    const parts = { section: "s", hosts, accounts, database, pins, mediaKeys, homeserver, logger };
    const sessions = new SectionSessions(parts);
    const loops = new OwnSyncLoops({ sessions, accounts, homeserver, clock, logger });
    const settings = { hideEncryption: false, requireEncryption: [] };
    routes = sectionRoutes({
      settings,
      accounts,
      sessions,
      loops,
      pins,
      mediaKeys,
      homeserver,
      clock,
    });
  });

  afterAll(async () => {
    await hosts.stop();
    await homeserver.close();
    database.close();
  });

  it.each(Object.keys(ENDPOINTS) as EndpointName[])("are true of %s", (name) => {
    const endpoint: Endpoint = ENDPOINTS[name];
    const isRefused = endpoint.guarded === true && endpoint.unhandled !== "pass";
    const without = isRefused ? "refused" : "passed";
    expect(ENDPOINT_NOTES[name].treatment).toBe(routes[name] === undefined ? without : "answered");
  });
});
