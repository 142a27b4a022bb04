import type { Logger } from "pino";

import type { Clock } from "../clock.ts";
import type { OwnRequests } from "../homeserver/own-requests.ts";
import type { EngineGate } from "./engine-gate.ts";
import type { HostSection } from "./protocol.ts";

/** What a session needs besides its own opening. */
export interface SessionContext {
  readonly section: HostSection;
  readonly requests: OwnRequests;
  /** Of the thread's one wasm instance. */
  readonly gate: EngineGate;
  readonly clock: Clock;
  readonly logger: Logger;
}
