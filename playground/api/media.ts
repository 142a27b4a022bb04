import type { Call } from "../call.ts";
import { ApiError, forbidden, notFound } from "../errors.ts";
import { ok } from "../router.ts";
import type { Handler, Reply, Route } from "../router.ts";
import type { MediaFile } from "../store/media.ts";
import type { ApiContext } from "./context.ts";

/** Uploads and downloads, legacy and authenticated. */
export function mediaRoutes(context: ApiContext): Route[] {
  const { media } = context.store;

  const store = (call: Call, mediaId: string): void => {
    const { userId } = call.requester();
    const sizeBytes = call.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (sizeBytes > context.settings.maxUploadBytes) {
      throw new ApiError(413, "M_TOO_LARGE", "Upload request body is too large");
    }
    media.add({
      mediaId,
      owner: userId,
      contentType: call.headers["content-type"] ?? "application/octet-stream",
      filename: call.query.get("filename"),
      chunks: call.chunks,
      sizeBytes,
    });
  };
  const upload = (call: Call): Reply => {
    const mediaId = media.newId();
    store(call, mediaId);
    return ok({ content_uri: media.uri(mediaId) });
  };
  const reserve = (call: Call): Reply => {
    const { userId } = call.requester();
    const mediaId = media.newId();
    media.reserved.set(mediaId, userId);
    const unusedExpiresAt = Date.now() + 86_400_000;
    return ok({ content_uri: media.uri(mediaId), unused_expires_at: unusedExpiresAt });
  };
  const uploadReserved = (call: Call): Reply => {
    const { userId } = call.requester();
    const mediaId = call.param("mediaId");
    if (media.files.has(mediaId)) {
      throw new ApiError(409, "M_CANNOT_OVERWRITE_MEDIA", "Media ID already has content");
    }
    const owner = media.reserved.get(mediaId);
    if (owner === undefined) throw notFound("Unknown media ID");
    if (owner !== userId) throw forbidden("Only the creator of the media ID can upload to it");
    store(call, mediaId);
    return ok();
  };
  const config = (call: Call): Reply => {
    call.requester();
    return ok({ "m.upload.size": context.settings.maxUploadBytes });
  };
  const download = (call: Call): Reply => {
    const file =
      call.param("serverName") === media.serverName ? media.files.get(call.param("mediaId")) : null;
    if (file == null) {
      if (media.reserved.has(call.param("mediaId"))) {
        throw new ApiError(504, "M_NOT_YET_UPLOADED", "Media has not been uploaded yet");
      }
      throw notFound("Not found");
    }
    return {
      statusCode: 200,
      body: file.chunks,
      headers: headersOf(file, call.params["filename"]),
    };
  };
  const authenticated: Handler = (call) => {
    call.requester();
    return download(call);
  };

  const legacy = ["r0", "v1", "v3"].map((version) => `/_matrix/media/${version}`);
  const withToken = ["/_matrix/client/v1/media"];
  const get = (bases: readonly string[], path: string, handler: Handler): Route[] =>
    bases.map((base) => ({ method: "GET", path: `${base}/${path}`, handler }));
  const file = "{serverName}/{mediaId}";
  const downloads = [`download/${file}`, `download/${file}/{filename}`, `thumbnail/${file}`];
  return [
    ...legacy.map((base) => ({ method: "POST", path: `${base}/upload`, handler: upload })),
    { method: "POST", path: "/_matrix/media/v1/create", handler: reserve },
    { method: "PUT", path: `/_matrix/media/v3/upload/${file}`, handler: uploadReserved },
    ...get([...legacy, ...withToken], "config", config),
    ...downloads.flatMap((path) => get(legacy, path, download)),
    ...downloads.flatMap((path) => get(withToken, path, authenticated)),
  ];
}

function headersOf(file: MediaFile, filename: string | undefined): Record<string, string> {
  const name = filename ?? file.filename;
  const inline = /^(image|video|audio|text)\//.test(file.contentType) ? "inline" : "attachment";
  const disposition =
    name === null ? inline : `${inline}; filename*=utf-8''${encodeURIComponent(name)}`;
  return {
    "Content-Type": file.contentType,
    "Content-Disposition": disposition,
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cache-Control": "private,max-age=86400,s-maxage=86400",
    ETag: `"${file.mediaId}"`,
  };
}
