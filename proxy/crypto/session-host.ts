import type { Logger } from "pino";

import type { Clock } from "../clock.ts";
import { Homeserver } from "../homeserver/homeserver.ts";
import { OwnRequests } from "../homeserver/own-requests.ts";
import type { DeviceAddress } from "../matrix/identifiers.ts";
import { DeviceSession } from "./device-session.ts";
import { loadEngine } from "./engine.ts";
import { EngineGate } from "./engine-gate.ts";
import type {
  DeviceOpening,
  EncryptArgs,
  HostApi,
  HostMethod,
  HostSection,
  OpenResult,
  ReadArgs,
  SuspectReport,
  SyncArgs,
} from "./protocol.ts";

interface SectionParts {
  readonly section: HostSection;
  readonly homeserver: Homeserver;
  readonly requests: OwnRequests;
  readonly logger: Logger;
}

/**
 * The sessions of the devices that one thread serves, each with its own store and machine on the
 * thread's one wasm instance. Runs in a worker thread, or in-process where no threads are wanted.
 */
export class SessionHost implements HostApi {
  readonly #sections = new Map<string, SectionParts>();
  readonly #sessions = new Map<string, Promise<DeviceSession>>();
  readonly #clock: Clock;

  constructor(sections: readonly HostSection[], clock: Clock, logger: Logger) {
    this.#clock = clock;
    for (const section of sections) {
      const homeserver = new Homeserver({
        url: new URL(section.homeserver),
        tls: { verify: section.verifyTls },
        upstreamProxy: section.upstreamProxy === null ? null : new URL(section.upstreamProxy),
        timeoutMs: section.upstreamTimeoutMs,
      });
      const child = logger.child({ section: section.name });
      const requests = new OwnRequests(homeserver, clock, child);
      this.#sections.set(section.name, { section, homeserver, requests, logger: child });
    }
  }

  /** Which calls into the engine are under way, for a report after it failed. */
  readonly gate = new EngineGate();

  async open(opening: DeviceOpening, suspects: readonly SuspectReport[]): Promise<OpenResult> {
    const parts = this.#sections.get(opening.section);
    if (parts === undefined) throw new Error(`no homeserver section ${opening.section}`);
    const key = keyOf(opening);
    const opened =
      this.#sessions.get(key) ??
      loadEngine().then(() =>
        DeviceSession.open({ ...parts, gate: this.gate, clock: this.#clock }, opening, suspects),
      );
    this.#sessions.set(key, opened);
    try {
      return (await opened).describe();
    } catch (error) {
      this.#sessions.delete(key);
      throw error;
    }
  }

  async setToken(device: DeviceAddress, token: string): Promise<void> {
    (await this.#session(device)).setToken(token);
  }

  async encrypt(device: DeviceAddress, args: EncryptArgs): Promise<{ content: string }> {
    return { content: await (await this.#session(device)).encrypt(args) };
  }

  async sync(device: DeviceAddress, args: SyncArgs) {
    return (await this.#session(device)).sync(args);
  }

  async isTaken(device: DeviceAddress, position: string): Promise<boolean> {
    return (await this.#session(device)).isTaken(position);
  }

  async owedReady(
    device: DeviceAddress,
    cursor: number | null,
    signal: AbortSignal,
  ): Promise<void> {
    return (await this.#session(device)).owedReady(cursor, signal);
  }

  async deliverOwed(device: DeviceAddress, args: Parameters<HostApi["deliverOwed"]>[1]) {
    const session = await this.#session(device);
    return session.deliverOwed(args.since, args.cursor, args.filter);
  }

  async read(device: DeviceAddress, args: ReadArgs) {
    return (await this.#session(device)).read(args);
  }

  async close(device: DeviceAddress): Promise<void> {
    const key = keyOf(device);
    const session = this.#sessions.get(key);
    this.#sessions.delete(key);
    if (session !== undefined) await (await session).close();
  }

  /** Closes every session and connection. */
  async stop(): Promise<void> {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    const closing = sessions.map(async (session) => (await session).close());
    const outcomes = await Promise.allSettled(closing);
    for (const { homeserver } of this.#sections.values()) await homeserver.close();
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  #session(device: DeviceAddress): Promise<DeviceSession> {
    const session = this.#sessions.get(keyOf(device));
    return session ?? Promise.reject(new Error("the device's session is not open"));
  }
}

/** Makes a call by its name; methods that take no signal ignore it. */
export function callHost(
  host: SessionHost,
  method: HostMethod,
  args: readonly unknown[],
  signal: AbortSignal,
): Promise<unknown> {
  return Reflect.apply(host[method].bind(host), undefined, [...args, signal]) as Promise<unknown>;
}

/** A device's key in maps; user and device ids hold no line feed. */
export function keyOf(device: DeviceAddress): string {
  return `${device.userId}\n${device.deviceId}`;
}
