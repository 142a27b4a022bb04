import { describe, expect, it } from "vitest";
import { asMxc, showAttachments } from "../../../proxy/matrix/encrypted-file.ts";

const unpadded = (length: number) => Buffer.alloc(length, 1).toString("base64").replace(/=+$/, "");
const key = { alg: "A256CTR", k: Buffer.alloc(32, 1).toString("base64url") };
const url = "mxc://example.org/abc";
const file = { v: "v2", url, key, iv: unpadded(16), hashes: { sha256: unpadded(32) } };

describe("attachments of a content", () => {
  it("are shown as a plain client expects them", () => {
    const thumbnail = { ...file, url: "mxc://example.org/small" };
    const info = { mimetype: "image/png", thumbnail_file: thumbnail };
    const { content, media } = showAttachments({ body: "cat.png", file, info });
    const shownInfo = { mimetype: "image/png", thumbnail_url: "mxc://example.org/small" };
    expect(content).toEqual({ body: "cat.png", url, info: shownInfo });
    expect(media.map(({ mxc }) => mxc)).toEqual([url, "mxc://example.org/small"]);
    expect(media[0]).toMatchObject({ contentType: "image/png", fileName: "cat.png" });
  });

  it("are shown in an edit", () => {
    const { content, media } = showAttachments({ body: "*", "m.new_content": { body: "b", file } });
    expect(content).toEqual({ body: "*", "m.new_content": { body: "b", url } });
    expect(media).toHaveLength(1);
  });

  it.each([
    ["another version", { ...file, v: "v1" }],
    ["another algorithm", { ...file, key: { ...key, alg: "A128CTR" } }],
    ["a short key", { ...file, key: { ...key, k: "AAAA" } }],
    ["a short vector", { ...file, iv: "AAAA" }],
    ["no hash", { ...file, hashes: {} }],
    ["a path in the place of an id", { ...file, url: "mxc://example.org/../x" }],
  ])("stay as they are with %s", (_, wrong) => {
    const content = { body: "x", file: wrong };
    expect(showAttachments(content)).toEqual({ content, media: [] });
  });

  it("have a URI that is fit for a path", () => {
    expect(asMxc("mxc://[::1]:8448/a-b_C")).toBe("mxc://[::1]:8448/a-b_C");
    for (const wrong of ["mxc://a/b/c", "mxc://a/b?c", "https://a/b", "mxc:///b", "mxc://a/"]) {
      expect(asMxc(wrong)).toBeNull();
    }
  });
});
