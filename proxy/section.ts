import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";

import { Accounts } from "./accounts/accounts.ts";
import { SectionDatabase } from "./accounts/section-database.ts";
import type { Clock } from "./clock.ts";
import type { SectionSettings } from "./config/settings.ts";
import type { MasterKey } from "./config/store-key.ts";
import type { SessionHosts } from "./crypto/session-hosts.ts";
import { Homeserver } from "./homeserver/homeserver.ts";
import { MediaKeys } from "./media/media-keys.ts";
import { EncryptionPins } from "./rooms/encryption-pins.ts";
import { sectionRoutes } from "./routes/section-routes.ts";
import { createSectionServer } from "./server.ts";
import { OwnSyncLoops } from "./sync/own-sync-loops.ts";
import { SectionSessions } from "./sync/section-sessions.ts";

/** How often copies of the store made until then are made recognisable. */
const generationIntervalMs = 60 * 60 * 1000;

/** Everything of one homeserver section, wired together; it listens once {@link listen} was called. */
export class Section {
  readonly #settings: SectionSettings;
  readonly #database: SectionDatabase;
  readonly #homeserver: Homeserver;
  readonly #loops: OwnSyncLoops;
  readonly #app: FastifyInstance;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #cancelTimer: () => void = () => undefined;

  private constructor(
    settings: SectionSettings,
    parts: {
      readonly database: SectionDatabase;
      readonly homeserver: Homeserver;
      readonly loops: OwnSyncLoops;
      readonly app: FastifyInstance;
      readonly clock: Clock;
      readonly logger: Logger;
    },
  ) {
    this.#settings = settings;
    this.#database = parts.database;
    this.#homeserver = parts.homeserver;
    this.#loops = parts.loops;
    this.#app = parts.app;
    this.#clock = parts.clock;
    this.#logger = parts.logger;
    this.#raiseGenerationLater();
  }

  /** Opens the section's store. @throws StoreError where it cannot be used */
  static async open(
    settings: SectionSettings,
    master: MasterKey,
    hosts: SessionHosts,
    clock: Clock,
    parent: Logger,
  ): Promise<Section> {
    const logger = parent.child({ section: settings.name });
    const directory = settings.dataDirectory;
    const database = SectionDatabase.open({ directory, master, logger });
    try {
      const homeserver = new Homeserver({
        url: settings.homeserver,
        tls: settings.tls,
        upstreamProxy: settings.upstreamProxy,
        timeoutMs: settings.upstreamTimeoutMs,
      });
      const accounts = new Accounts(database, homeserver, clock, logger);
      const pins = new EncryptionPins(database, clock, (roomId) =>
        logger.info({ roomId }, "a room is encrypted: nothing in the clear is sent to it any more"),
      );
      const mediaKeys = new MediaKeys(database, clock);
      const section = settings.name;
      const parts = { section, hosts, accounts, database, pins, mediaKeys, homeserver, logger };
      const sessions = new SectionSessions(parts);
      const loops = new OwnSyncLoops({ sessions, accounts, homeserver, clock, logger });
      const routes = sectionRoutes({
        settings,
        accounts,
        sessions,
        loops,
        pins,
        mediaKeys,
        homeserver,
        clock,
      });
      const front = { section: settings, homeserver, accounts, routes, logger, clock };
      const app = await createSectionServer(front);
      loops.resume();
      return new Section(settings, { database, homeserver, loops, app, clock, logger });
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** Starts to listen. @returns the address with the port that was bound */
  async listen(): Promise<string> {
    const { listenAddress: host, listenPort: port } = this.#settings;
    return this.#app.listen({ host, port });
  }

  /** Lets requests under way finish; nothing new is taken. */
  async stopFront(): Promise<void> {
    await this.#loops.stop();
    await this.#app.close();
  }

  /** Closes the store and the connections; the device sessions must be closed by then. */
  async close(): Promise<void> {
    this.#cancelTimer();
    await this.#homeserver.close();
    this.#database.close();
  }

  #raiseGenerationLater(): void {
    this.#cancelTimer = this.#clock.after(generationIntervalMs, () => {
      try {
        this.#database.raiseGeneration();
      } catch (error) {
        // Nothing that is sent or received hangs on it; the next hour tries again.
        this.#logger.error({ err: error }, "the store's generation could not be raised");
      }
      this.#raiseGenerationLater();
    });
  }
}
