import type { Statement } from "better-sqlite3";
import type { SectionDatabase } from "../accounts/section-database.ts";
import type { Clock } from "../clock.ts";
import type { EncryptedMedia } from "../matrix/encrypted-file.ts";
import type { MxcUri, UserId } from "../matrix/identifiers.ts";

interface Row {
  readonly key: Buffer;
  readonly iv: Buffer;
  readonly sha256: Buffer;
  readonly content_type: string | null;
  readonly file_name: string | null;
}

/**
 * The keys of encrypted media, each for the user who saw the event that holds it. The first key that a user learns for an `mxc:`
 * stays: an event of another member cannot replace it.
 */
export class MediaKeys {
  readonly #database: SectionDatabase;
  readonly #clock: Clock;
  readonly #insert: Statement<
    [string, string, Uint8Array, Uint8Array, Uint8Array, string | null, string | null, number]
  >;
  readonly #find: Statement<[string, string], Row>;

  constructor(database: SectionDatabase, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
    this.#insert = database.connection.prepare(
      `INSERT OR IGNORE INTO media_key
         (user_id, mxc, key, iv, sha256, content_type, file_name, learned_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#find = database.connection.prepare(
      "SELECT key, iv, sha256, content_type, file_name FROM media_key WHERE user_id = ? AND mxc = ?",
    );
  }

  /** Keeps the keys for this user; durable when it returns. */
  learn(userId: UserId, media: readonly EncryptedMedia[]): void {
    const unknown = media.filter(({ mxc }) => this.#find.get(userId, mxc) === undefined);
    if (unknown.length === 0) return;
    const nowMs = this.#clock.now();
    this.#database.transaction(() => {
      for (const { mxc, secret, contentType, fileName } of unknown) {
        const { key, iv, sha256 } = secret;
        this.#insert.run(userId, mxc, key, iv, sha256, contentType, fileName, nowMs);
      }
    });
  }

  /** `null` where this user knows no key: for this user it is no encrypted attachment. */
  find(userId: UserId, mxc: MxcUri): EncryptedMedia | null {
    const row = this.#find.get(userId, mxc);
    if (row === undefined) return null;
    const { key, iv, sha256, content_type: contentType, file_name: fileName } = row;
    return { mxc, secret: { key, iv, sha256 }, contentType, fileName };
  }
}
