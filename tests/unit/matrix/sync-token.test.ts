import { assert, property, integer, string, option } from "fast-check";
import { describe, expect, it } from "vitest";
import { formatSyncToken, parseSyncToken } from "../../../proxy/matrix/sync-token.ts";

describe("sync tokens", () => {
  it("leave the homeserver's token as it is where nothing is owed", () => {
    expect(formatSyncToken({ upstream: "s72595_4483_1934", cursor: null })).toBe(
      "s72595_4483_1934",
    );
    expect(parseSyncToken("s72595_4483_1934")).toEqual({
      upstream: "s72595_4483_1934",
      cursor: null,
    });
  });

  it("carry a cursor there and back", () => {
    const token = formatSyncToken({ upstream: "s1", cursor: 42 });
    expect(parseSyncToken(token)).toEqual({ upstream: "s1", cursor: 42 });
  });

  it("give back what was put in, whatever the homeserver calls its positions", () => {
    const upstream = string({ unit: "binary", maxLength: 20 });
    const suffixed = string({ maxLength: 8 }).map((text) => `${text}~k7`);
    const cursor = option(integer({ min: 1, max: 2 ** 40 }), { nil: null });
    for (const token of [upstream, suffixed]) {
      assert(
        property(token, cursor, (text, at) => {
          const parsed = parseSyncToken(formatSyncToken({ upstream: text, cursor: at }));
          expect(parsed).toEqual({ upstream: text, cursor: at });
        }),
      );
    }
  });

  it.each([
    ["s1~k-1"],
    ["s1~k1.5"],
    ["s1~k1e3"],
    ["s1~k01"],
    ["s1~k9999999999999999"],
    ["s1~kx"],
    ["s1~k"],
    ["s1~k1 "],
    ["~j1"],
  ])("take %j for a token of the homeserver's own", (text) => {
    expect(parseSyncToken(text)).toEqual({ upstream: text, cursor: null });
  });

  it("read a cursor that stands alone, or behind line feeds", () => {
    expect(parseSyncToken("~k3")).toEqual({ upstream: "", cursor: 3 });
    expect(parseSyncToken("a\nb~k3")).toEqual({ upstream: "a\nb", cursor: 3 });
  });
});
