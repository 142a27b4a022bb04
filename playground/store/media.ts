import { randomLetters } from "../random.ts";

/** A stored file. */
export interface MediaFile {
  readonly mediaId: string;
  readonly owner: string;
  readonly contentType: string;
  readonly filename: string | null;
  readonly chunks: readonly Buffer[];
  readonly sizeBytes: number;
}

/** Uploaded files, kept in the pieces in which they came. */
export class Media {
  readonly serverName: string;
  readonly files = new Map<string, MediaFile>();
  /** Media ids that were made ahead of their upload, with who may upload. */
  readonly reserved = new Map<string, string>();

  constructor(serverName: string) {
    this.serverName = serverName;
  }

  /** A media id that is not in use. */
  newId(): string {
    return randomLetters(24);
  }

  /** Stores a file. */
  add(file: MediaFile): void {
    this.files.set(file.mediaId, file);
    this.reserved.delete(file.mediaId);
  }

  /** The `mxc:` URI of a media id. */
  uri(mediaId: string): string {
    return `mxc://${this.serverName}/${mediaId}`;
  }
}
