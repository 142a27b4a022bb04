import type { BenchOptions } from "./options.ts";
import type { Job } from "./load/job.ts";

/** The rooms of the stub, all encrypted. */
export const ROOMS: readonly string[] = Array.from({ length: 8 }, (_, i) => `!room${i}:bench`);

/** One row of the result: a job that is repeated in every round, against the stub itself and through each proxy. */
export interface Row {
  readonly name: string;
  readonly unit: string;
  /** Operations of one job, for figures per operation. */
  readonly operations: number;
  /** What pantalaimon 0.10.5 did on such a stub, in operations a second, and its processor time for one. */
  readonly pantalaimon: { readonly perSecond: number; readonly cpuMs: string };
  readonly kind: "get" | "send" | "sync";
  job(token: string, since: string): Omit<Job, "url">;
}

/** All rows that were asked for. */
export function rowsOf(options: BenchOptions): Row[] {
  const { sends, gets, getsInFlight, events } = options;
  const send = (inFlight: number, rooms: number, perSecond: number): Row => ({
    name: `encrypted send, ${inFlight} in flight, ${rooms} ${rooms === 1 ? "room" : "rooms"}`,
    unit: "sends",
    operations: sends,
    pantalaimon: { perSecond, cpuMs: "0.40-0.56" },
    kind: "send",
    job: (token) => ({
      method: "PUT",
      targets: ROOMS.slice(0, rooms).map(sendTarget),
      token,
      body: JSON.stringify({
        msgtype: "m.text",
        body: "a message of an ordinary length, in the clear",
      }),
      inFlight,
      count: sends,
      countIn: null,
    }),
  });
  const rows: Row[] = [
    {
      name: `pass-through GET, ${getsInFlight} in flight`,
      unit: "requests",
      operations: gets,
      pantalaimon: { perSecond: 9_700, cpuMs: "0.10" },
      kind: "get",
      job: (token) => ({
        method: "GET",
        targets: ["/_matrix/client/v3/profile/%40recipient0%3Abench"],
        token,
        body: "",
        inFlight: getsInFlight,
        count: gets,
        countIn: null,
      }),
    },
    send(1, 1, 1_022),
    send(8, 1, 1_523),
    send(8, 8, 2_060),
    {
      name: `backlog sync of ${events} encrypted events`,
      unit: "events",
      operations: events,
      pantalaimon: { perSecond: 1_070, cpuMs: "" },
      kind: "sync",
      job: (token, since) => ({
        method: "GET",
        targets: [`/_matrix/client/v3/sync?since=${since}&timeout=0`],
        token,
        body: "",
        inFlight: 1,
        count: 1,
        countIn: '"type":"m.room.message"',
      }),
    },
  ];
  return rows.filter((row) => options.only === null || row.name.includes(options.only));
}

/** Where a message goes; the generator puts a number of its own in the place of `{txn}`. */
export function sendTarget(roomId: string): string {
  return `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/send/m.room.message/{txn}`;
}
