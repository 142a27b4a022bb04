import { describe, expect, it } from "vitest";
import { asMxc } from "../../../proxy/matrix/encrypted-file.ts";
import { downloadHeaders, rangeOf } from "../../../proxy/media/download-headers.ts";

const mxc = asMxc("mxc://example.org/abc");
const nothing = new Uint8Array();
const secret = { key: nothing, iv: nothing, sha256: nothing };

describe("headers of a decrypted attachment", () => {
  it("do not let a browser show what may hold scripts", () => {
    if (mxc === null) throw new Error("expected a URI");
    const media = { mxc, secret, contentType: "text/html", fileName: "other" };
    const headers = downloadHeaders({ etag: "x" }, media, "a'b.html");
    expect(headers).toMatchObject({
      "content-type": "text/html",
      "content-disposition": "attachment; filename*=utf-8''a%27b.html",
      "x-content-type-options": "nosniff",
    });
    expect(headers["content-security-policy"]).toContain("sandbox");
    expect(headers["etag"]).toBeUndefined();
  });

  it.each([
    ["bytes=0-9", { first: 0, last: 9 }],
    ["bytes=90-", { first: 90, last: 99 }],
    ["bytes=-5", { first: 95, last: 99 }],
    ["bytes=90-500", { first: 90, last: 99 }],
    ["bytes=100-", "unsatisfiable"],
    ["bytes=-0", "unsatisfiable"],
    ["bytes=9-1", null],
    ["bytes=0-1,3-4", null],
    ["lines=0-1", null],
    ["bytes=-", null],
  ])("read the range %s of 100 bytes", (header, range) => {
    expect(rangeOf(header, 100)).toEqual(range);
  });
});
