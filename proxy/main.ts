import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";

import { systemClock } from "./clock.ts";
import type { SectionSettings, Settings } from "./config/settings.ts";
import { resolveMasterKeys } from "./config/store-key.ts";
import type { HostSection } from "./crypto/protocol.ts";
import { SessionHosts } from "./crypto/session-hosts.ts";
import { Section } from "./section.ts";

/** A daemon that is running. */
export interface Daemon {
  /** Where it listens, a URL by the section's name. */
  readonly addresses: ReadonlyMap<string, string>;
  /** Requests under way finish, then the stores are closed. Idempotent. */
  stop(): Promise<void>;
  /** Takes over what can change while it runs: the log level. */
  reload(): Promise<void>;
}

export interface DaemonOptions {
  readonly settings: Settings;
  readonly logger: Logger;
  /** Reads the configuration anew. */
  readonly rereadSettings: () => Promise<Settings>;
}

/**
 * Starts the daemon: the composition root.
 *
 * @throws StoreKeyError, StoreError: a store or its key cannot be used; nothing was overwritten
 */
export async function runDaemon(options: DaemonOptions): Promise<Daemon> {
  const { settings, logger } = options;
  for (const { level, message } of settings.notices) logger[level](message);
  const masters = await resolveMasterKeys(settings, hasStore);
  const start = {
    sections: settings.sections.map(toHostSection),
    logLevel: settings.logLevel,
    logFormat: settings.logFormat,
  };
  const hosts = new SessionHosts(start, settings.threads, logger);
  const sections: Section[] = [];
  const addresses = new Map<string, string>();
  const stop = async (): Promise<void> => {
    await Promise.all(sections.map((section) => section.stopFront()));
    await hosts.stop();
    for (const section of sections) await section.close();
  };
  try {
    for (const section of settings.sections) {
      const master = masters.get(section.name);
      if (master === undefined) throw new Error(`no master key for section ${section.name}`);
      sections.push(await Section.open(section, master, hosts, systemClock, logger));
    }
    for (const [index, section] of sections.entries()) {
      const address = await section.listen();
      const name = settings.sections[index]?.name ?? "";
      addresses.set(name, address);
      logger.info({ section: name, address }, "listening");
    }
  } catch (error) {
    await stop();
    throw error;
  }
  let stopping: Promise<void> | null = null;
  return {
    addresses,
    stop: () => (stopping ??= stop()),
    reload: async () => {
      const { logLevel } = await options.rereadSettings();
      logger.level = logLevel;
      hosts.setLogLevel(logLevel);
      logger.info(
        { logLevel },
        "configuration read anew; only the log level changes while running",
      );
    },
  };
}

function hasStore(section: SectionSettings): boolean {
  return ["section.key", "section.db"].some((name) =>
    existsSync(join(section.dataDirectory, name)),
  );
}

function toHostSection(section: SectionSettings): HostSection {
  return {
    name: section.name,
    homeserver: section.homeserver.href,
    verifyTls: section.tls.verify,
    upstreamProxy: section.upstreamProxy?.href ?? null,
    upstreamTimeoutMs: section.upstreamTimeoutMs,
    trust: section.trust,
    freshness: section.freshness,
    sendDeadlineMs: section.sendDeadlineMs,
    lateKeyTimeoutMs: section.lateKeyTimeoutMs,
    markDecrypted: section.markDecrypted,
  };
}
