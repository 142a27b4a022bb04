import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

import type { TestHomeserver, TestUser } from "../homeserver.ts";
import { asRecord, stringField } from "../json.ts";
import { Waiter } from "../waiter.ts";
import type { PeerAccount, PeerEvent } from "./sdk-peer.ts";

/** What nio saw of an event; an event whose key came late is seen twice. */
export type NioEvent = Omit<PeerEvent, "raw">;

interface Pending {
  readonly resolve: (answer: Readonly<Record<string, unknown>>) => void;
  readonly reject: (error: Error) => void;
}

/**
 * An encrypted client of another make: matrix-nio on libolm, in Python, from Debian's packages. Runs
 * only where `npm run test:synapse` has built the chroot (see the manifest).
 */
export class NioPeer {
  readonly account: PeerAccount;
  /** Each sight of each event, in order. */
  readonly events = new Waiter<NioEvent>();
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<void>;
  readonly #pending = new Map<number, Pending>();
  #commands = 0;
  #errors = "";

  private constructor(account: PeerAccount, chroot: string) {
    this.account = account;
    const script = readFileSync(new URL("nio_peer.py", import.meta.url), "utf8");
    // The death signal: the peer must not outlive a test process that is killed.
    const command = ["--pdeathsig", "KILL", "chroot", chroot, "python3", "-c", script];
    this.#child = spawn("setpriv", command, {
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", LC_ALL: "C.UTF-8" },
    });
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#errors += text;
    });
    this.#child.stdin.on("error", () => undefined);
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      this.#received(line);
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once("close", () => {
        for (const { reject } of this.#pending.values()) {
          reject(new Error(`the nio peer ended: ${this.#errors}`));
        }
        this.#pending.clear();
        resolve();
      });
    });
  }

  /** Registers a new user and starts a client on the device of the registration. */
  static async register(homeserver: TestHomeserver, localpart: string): Promise<NioPeer> {
    return NioPeer.start(homeserver.url, await homeserver.registerUser(localpart));
  }

  /** Starts a client with fresh keys on a device that has none yet, and waits for its first sync. */
  static async start(url: string, user: TestUser): Promise<NioPeer> {
    const chroot = process.env["KIRJAVA_TEST_NIO_CHROOT"] ?? "";
    if (chroot === "") {
      throw new Error("expected KIRJAVA_TEST_NIO_CHROOT: run this test by npm run test:synapse");
    }
    const peer = new NioPeer(user, chroot);
    await peer.#command("start", {
      url,
      user: user.userId,
      device: user.deviceId,
      token: user.accessToken,
    });
    return peer;
  }

  get userId(): string {
    return this.account.userId;
  }

  get deviceId(): string {
    return this.account.deviceId;
  }

  /** Joins a room and waits until nio knows that it is in and that the room is encrypted. */
  async joinEncrypted(roomId: string): Promise<void> {
    await this.#command("join", { room: roomId });
    await this.waitForMember(roomId, this.userId);
  }

  /** Waits until nio knows a member of an encrypted room. */
  async waitForMember(roomId: string, userId: string): Promise<void> {
    await this.#command("wait_for_member", { room: roomId, user: userId, encrypted: true });
  }

  /** Sends a text to all devices, verified or not, and returns the event's id. */
  sendText(roomId: string, body: string): Promise<string> {
    return this.send(roomId, "m.room.message", { msgtype: "m.text", body });
  }

  /** Sends an event to all devices, verified or not, and returns its id. */
  async send(
    roomId: string,
    type: string,
    content: Readonly<Record<string, unknown>>,
  ): Promise<string> {
    return stringField(await this.#command("send", { room: roomId, type, content }), "eventId");
  }

  /** The devices of a user that nio knows. */
  async devicesOf(userId: string): Promise<readonly string[]> {
    const answer = await this.#command("devices", { user: userId });
    return answer["devices"] as readonly string[];
  }

  /** The first sight, past or future, of an event that the predicate accepts. */
  waitForEvent(
    what: string,
    predicate: (event: NioEvent) => boolean,
    timeoutMs?: number,
  ): Promise<NioEvent> {
    return this.events.find(what, predicate, timeoutMs);
  }

  /** Waits until a text message with this body is readable. */
  waitForText(body: string, timeoutMs?: number): Promise<NioEvent> {
    return this.waitForEvent(
      `a message ${JSON.stringify(body)}`,
      (event) => event.type === "m.room.message" && event.content["body"] === body,
      timeoutMs,
    );
  }

  /** Ends the client; the device stays. */
  async stop(): Promise<void> {
    this.#child.stdin.end();
    const killer = setTimeout(() => this.#child.kill("SIGKILL"), 5_000);
    await this.#ended;
    clearTimeout(killer);
  }

  #command(
    op: string,
    values: Readonly<Record<string, unknown>>,
  ): Promise<Readonly<Record<string, unknown>>> {
    const id = this.#commands++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#child.stdin.write(`${JSON.stringify({ id, op, ...values })}\n`);
    });
  }

  #received(line: string): void {
    const message = asRecord(JSON.parse(line));
    if (message["event"] !== undefined) {
      this.events.push(message["event"] as NioEvent);
      return;
    }
    const id = message["id"] as number;
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (message["ok"] === true) pending?.resolve(message);
    else pending?.reject(new Error(`nio: ${stringField(message, "error")}`));
  }
}
