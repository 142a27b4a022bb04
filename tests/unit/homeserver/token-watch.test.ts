import { describe, expect, it } from "vitest";
import {
  hasAmbiguousSender,
  masqueradeOf,
  tokenOf,
} from "../../../proxy/homeserver/token-watch.ts";

describe("tokenOf", () => {
  it.each([
    ["/x?access_token=secret", "secret"],
    ["/x?access%5Ftoken=secret", "secret"],
    ["/x?%61ccess_token=secret", "secret"],
    ["/x?a=b&access_token=s%65cret", "secret"],
    ["/x?access_token=", null],
    ["/x", null],
  ])("reads %s as a homeserver does", (target, token) => {
    expect(tokenOf({}, target)).toBe(token);
  });

  it("takes no token from the query beside an Authorization header of another scheme", () => {
    expect(tokenOf({ authorization: "Basic Zm9v" }, "/x?access_token=secret")).toBeNull();
  });
});

describe("masqueradeOf", () => {
  it.each([
    "/x?user_id=@g:hs&device_id=D",
    "/x?user%5Fid=@g:hs&device%5Fid=D",
    "/x?%75ser_id=%40g%3Ahs&org.matrix.msc3202.device%5fid=D",
  ])("reads %s as a homeserver does", (target) => {
    expect(masqueradeOf(target)).toEqual({ userId: "@g:hs", deviceId: "D" });
  });

  it("is empty without a query", () => {
    expect(masqueradeOf("/x/user_id=1")).toEqual({});
  });
});

describe("hasAmbiguousSender", () => {
  it.each([
    "/x?a=1;access_token=secret",
    "/x?access_token=a&access_token=b",
    "/x?access_token=a&access%5Ftoken=b",
    "/x?user_id=@a:hs&user%5Fid=@b:hs",
    "/x?device_id=A&device_id=B",
    "/x?device_id=A&org.matrix.msc3202.device_id=B",
    "/x?since=1;since=2",
  ])("is true of %s", (target) => {
    expect(hasAmbiguousSender(target)).toBe(true);
  });

  it.each([
    "/x",
    "/x;y",
    "/x?access_token=a&user_id=@a:hs&device_id=A",
    "/x?device_id=A&org.matrix.msc3202.device_id=A",
    "/x?filter=%7B%22a%22%3B",
  ])("is false of %s", (target) => {
    expect(hasAmbiguousSender(target)).toBe(false);
  });
});
