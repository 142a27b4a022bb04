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
export interface RunningDaemon {
  /** Where each section listens. */
  readonly addresses: readonly { readonly section: string; readonly url: string }[];
  /** Resolves when the daemon has ended. */
  readonly finished: Promise<void>;
  /** Requests under way finish, then the stores are closed. Idempotent. */
  stop(): Promise<void>;
}

export interface DaemonOptions {
  readonly settings: Settings;
  readonly configPath: string;
  /** Its level is taken over by the worker threads whenever it changes. */
  readonly logger: Logger;
  /** Reads the configuration anew. */
  readonly reload: () => Promise<Settings>;
}

/**
 * Starts the daemon: the composition root.
 *
 * @throws StoreKeyError, StoreError: a store or its key cannot be used; nothing was overwritten
 */
export async function runDaemon(options: DaemonOptions): Promise<RunningDaemon> {
  const { settings, logger } = options;
  const masters = await resolveMasterKeys(settings, hasStore);
  const start = {
    sections: settings.sections.map(toHostSection),
    logLevel: settings.logLevel,
    logFormat: settings.logFormat,
  };
  const hosts = new SessionHosts(start, settings.threads, logger);
  const sections: Section[] = [];
  const addresses: { section: string; url: string }[] = [];
  const onLevel = (level: string) => hosts.setLogLevel(level);
  logger.on("level-change", onLevel);
  const stop = async (): Promise<void> => {
    logger.off("level-change", onLevel);
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
      addresses.push({
        section: settings.sections[index]?.name ?? "",
        url: await section.listen(),
      });
    }
  } catch (error) {
    await stop();
    throw error;
  }
  let stopping: Promise<void> | null = null;
  let finish: () => void;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  return {
    addresses,
    finished,
    stop: () => (stopping ??= stop().finally(() => finish())),
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
    hideEncryption: section.hideEncryption,
  };
}
