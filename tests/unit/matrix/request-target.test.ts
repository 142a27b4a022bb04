import { describe, expect, it } from "vitest";
import { withEventType, withoutCursors, withQuery } from "../../../proxy/matrix/request-target.ts";

describe("withQuery", () => {
  it("keeps the bytes and the order of what it does not change", () => {
    const target = "/sync?a=%2f&b=+x&set_presence=offline&c";
    expect(withQuery(target, { since: "s1" })).toBe(`${target}&since=s1`);
  });

  it("replaces every spelling and every repetition of a parameter", () => {
    expect(withQuery("/sync?since=a&x=1&sin%63e=b&since", { since: "s2" })).toBe(
      "/sync?x=1&since=s2",
    );
  });

  it("removes a parameter that is set to null, and the question mark with the last", () => {
    expect(withQuery("/sync?since=a&x=1", { since: null })).toBe("/sync?x=1");
    expect(withQuery("/sync?since=a", { since: null })).toBe("/sync");
  });

  it("escapes values so that none of them becomes a parameter or a fragment", () => {
    const target = withQuery("/sync", { filter: '{"a":"b&since=x#?"}' });
    expect(new URLSearchParams(target.slice(target.indexOf("?"))).getAll("filter")).toEqual([
      '{"a":"b&since=x#?"}',
    ]);
    expect(target).not.toContain("&since");
  });

  it("takes further question marks for a part of the query", () => {
    expect(withQuery("/sync?a=1?b&since=x", { since: "y" })).toBe("/sync?a=1?b&since=y");
  });

  it("keeps a name that cannot be decoded", () => {
    expect(withQuery("/sync?%zz=1", { since: "s" })).toBe("/sync?%zz=1&since=s");
  });

  it("is not misled by names of Object.prototype", () => {
    expect(withQuery("/sync?toString=1&__proto__=2", { since: "s" })).toBe(
      "/sync?toString=1&__proto__=2&since=s",
    );
  });
});

describe("withoutCursors", () => {
  it("leaves a target without a cursor as it is, byte by byte", () => {
    const target = "/rooms/!a:x/messages?from=t1&dir=b&filter=%7B%7D";
    expect(withoutCursors(target)).toBe(target);
  });

  it.each(["since", "from", "to", "at"])("takes the cursor out of %s", (name) => {
    expect(withoutCursors(`/x?a=1&${name}=s1~k5&b=2`)).toBe(`/x?a=1&b=2&${name}=s1`);
    expect(withoutCursors(`/x?${name}=s1%7Ek5`)).toBe(`/x?${name}=s1`);
  });

  it("takes each of several positions for itself", () => {
    const target = withoutCursors("/keys/changes?from=s1~k5&to=s2~k6");
    const query = new URLSearchParams(target.split("?")[1]);
    expect([query.get("from"), query.get("to")]).toEqual(["s1", "s2"]);
  });

  it("leaves what looks like a cursor in other parameters and in the path", () => {
    expect(withoutCursors("/rooms/a~k5/x?txn=s1~k5")).toBe("/rooms/a~k5/x?txn=s1~k5");
  });
});

describe("withEventType", () => {
  it("replaces the type before a transaction id", () => {
    const target = "/_matrix/client/v3/rooms/!a%3Ax/send/m.room.message/t%2F1?ts=5";
    expect(withEventType(target, "m.room.encrypted", true)).toBe(
      "/_matrix/client/v3/rooms/!a%3Ax/send/m.room.encrypted/t%2F1?ts=5",
    );
  });

  it("replaces the type at the end where there is no transaction id", () => {
    expect(withEventType("/rooms/!a:x/send/m.room.message", "m.room.encrypted", false)).toBe(
      "/rooms/!a:x/send/m.room.encrypted",
    );
  });

  it("escapes the type, so that it stays one segment", () => {
    expect(withEventType("/r/send/a/t", "b/../c?d", true)).toBe("/r/send/b%2F..%2Fc%3Fd/t");
  });
});
