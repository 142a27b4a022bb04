import { MatrixError } from "../matrix/errors.ts";
import { asArray, asObject, asString } from "../matrix/json.ts";
import type { OwnApi } from "./own-api.ts";

/** Who is to receive a room's keys, as the homeserver said at one moment. */
export interface Recipients {
  readonly historyVisibility: HistoryVisibility;
  /** Joined members, and invited ones where the history visibility lets them read. */
  readonly users: ReadonlySet<string>;
  /** Those of {@link users} who are invited: the homeserver tells of changes of joined members only. */
  readonly invited: ReadonlySet<string>;
}

export type HistoryVisibility = "invited" | "joined" | "shared" | "world_readable";

/**
 * Asks the homeserver who is in the room.
 *
 * @throws when the homeserver cannot be asked: the caller must not send then
 * @see https://spec.matrix.org/v1.16/client-server-api/#get_matrixclientv3roomsroomidmembers
 */
export async function fetchRecipients(
  api: OwnApi,
  roomId: string,
  historyVisibility: HistoryVisibility,
  deadlineMs: number,
): Promise<Recipients> {
  const path = `/v3/rooms/${encodeURIComponent(roomId)}/members?not_membership=leave`;
  const answer = await api.json("GET", path, { deadlineMs, failFast: true });
  if (!Array.isArray(answer["chunk"])) {
    throw new MatrixError(
      502,
      "M_UNKNOWN",
      "not sent: the homeserver did not say who is in the room",
    );
  }
  const wanted = historyVisibility === "joined" ? ["join"] : ["join", "invite"];
  const users = new Set<string>();
  const invited = new Set<string>();
  for (const item of asArray(answer["chunk"])) {
    const event = asObject(item);
    const user = asString(event?.["state_key"]);
    const membership = asString(asObject(event?.["content"])?.["membership"]);
    if (user === null || membership === null || !wanted.includes(membership)) continue;
    users.add(user);
    if (membership === "invite") invited.add(user);
  }
  return { historyVisibility, users, invited };
}

/**
 * The room's history visibility; `shared`, the specification's default, where none is set.
 *
 * @see https://spec.matrix.org/v1.16/client-server-api/#room-history-visibility
 */
export function readHistoryVisibility(value: unknown): HistoryVisibility {
  return value === "invited" || value === "joined" || value === "world_readable" ? value : "shared";
}
