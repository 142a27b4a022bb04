import { forbidden } from "../errors.ts";
import { isObject, objectOr } from "../json.ts";
import type { JsonObject } from "../json.ts";
import type { Room } from "./room.ts";

/** What the room's m.room.power_levels says, with the specification's defaults. */
export class PowerLevels {
  readonly #content: JsonObject | null;
  readonly #creator: string | null;

  constructor(room: Room) {
    this.#content = room.state("m.room.power_levels")?.content ?? null;
    this.#creator = room.state("m.room.create")?.sender ?? null;
  }

  /** The user's level. */
  of(userId: string): number {
    if (this.#content === null) return userId === this.#creator ? 100 : 0;
    return asLevel(objectOr(this.#content["users"])[userId]) ?? this.#number("users_default", 0);
  }

  /** The level that sending such an event takes. */
  toSend(type: string, isState: boolean): number {
    const events = this.#content?.["events"];
    const own = isObject(events) ? asLevel(events[type]) : null;
    if (own !== null) return own;
    if (this.#content === null) return 0;
    return isState ? this.#number("state_default", 50) : this.#number("events_default", 0);
  }

  /** The level that an action on a member takes. */
  toAct(action: "invite" | "kick" | "ban" | "redact"): number {
    return this.#number(action, action === "invite" ? 0 : 50);
  }

  /** Throws 403 unless the user may send such an event. */
  requireSend(userId: string, type: string, isState: boolean): void {
    const needed = this.toSend(type, isState);
    const has = this.of(userId);
    if (has < needed) {
      throw forbidden(
        `You don't have permission to post that to the room. user_level (${has}) < send_level (${needed})`,
      );
    }
  }

  #number(name: string, fallback: number): number {
    return asLevel(this.#content?.[name]) ?? fallback;
  }
}

function asLevel(value: unknown): number | null {
  if (typeof value === "number") return value;
  return typeof value === "string" && /^-?\d+$/.test(value) ? Number(value) : null;
}
