import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { classify } from "../../../proxy/matrix/classify.ts";
import { CLIENT_PREFIXES, ENDPOINTS } from "../../../proxy/matrix/endpoints.ts";
import type { EndpointName } from "../../../proxy/matrix/endpoints.ts";

const SEND = "/_matrix/client/v3/rooms/!abc:example.org/send/m.room.message/txn1";

function nameOf(method: string, url: string): string {
  const result = classify(method, url);
  return typeof result === "string" ? result : result.endpoint;
}

describe("what is an endpoint of the table", () => {
  it("takes the parameters of a send, percent-decoded once", () => {
    const url = "/_matrix/client/r0/rooms/%21abc%3Aexample.org/send/m.room.message/a%252Bb?x=/y";
    expect(classify("PUT", url)).toEqual({
      endpoint: "send",
      params: { roomId: "!abc:example.org", eventType: "m.room.message", txnId: "a%2Bb" },
    });
  });

  it.each(CLIENT_PREFIXES)("knows a send under %s, by PUT and by POST", (prefix) => {
    expect(nameOf("PUT", `${prefix}/rooms/!a:b/send/m.room.message/1`)).toBe("send");
    expect(nameOf("POST", `${prefix}/rooms/!a:b/send/m.room.message`)).toBe("send");
    expect(nameOf("POST", `${prefix}/rooms/!a:b/send/m.room.message/1`)).toBe("send");
  });

  it("lets a parameter be empty, as Synapse's patterns do", () => {
    expect(classify("PUT", "/_matrix/client/v3/rooms//state//")).toEqual({
      endpoint: "state",
      params: { roomId: "", eventType: "", stateKey: "" },
    });
  });

  it("takes HEAD for GET", () => {
    expect(nameOf("HEAD", "/_matrix/client/v3/sync?since=s1")).toBe("sync");
  });

  it("keeps an invalid escape and replaces invalid UTF-8 in a parameter", () => {
    const url = "/_matrix/client/v3/rooms/!a:b/state/m.x/%zz%ff";
    expect(classify("GET", url)).toMatchObject({ params: { stateKey: "%zz\u{fffd}" } });
  });

  it.each<[string, string, EndpointName]>([
    ["GET", "/_matrix/client/v3/sync", "sync"],
    ["POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?pos=1", "slidingSync"],
    ["POST", "/_matrix/client/v4/sync", "slidingSync"],
    ["GET", "/_matrix/client/v3/events", "events"],
    ["GET", "/_matrix/client/v3/events/$e", "eventById"],
    ["GET", "/_matrix/client/api/v1/initialSync", "initialSync"],
    ["GET", "/_matrix/client/v3/rooms/!a:b/messages?dir=b", "messages"],
    ["GET", "/_matrix/client/v3/rooms/!a:b/context/$e", "context"],
    ["GET", "/_matrix/client/v3/rooms/!a:b/event/$e", "event"],
    ["GET", "/_matrix/client/v1/rooms/!a:b/relations/$e/m.replace/m.room.message", "relations"],
    ["GET", "/_matrix/client/v1/rooms/!a:b/threads", "threads"],
    ["GET", "/_matrix/client/v3/rooms/!a:b/state/m.room.name", "state"],
    ["PUT", "/_matrix/client/v3/rooms/!a:b/state/m.room.name/", "state"],
    ["POST", "/_matrix/client/v3/createRoom", "createRoom"],
    ["POST", "/_matrix/client/v3/keys/upload", "keysUpload"],
    ["POST", "/_matrix/client/r0/keys/upload/DEVICE", "keysUpload"],
    ["POST", "/_matrix/client/v3/keys/device_signing/upload", "deviceSigningUpload"],
    ["PUT", "/_matrix/client/v3/room_keys/keys/!a:b/session?version=1", "roomKeys"],
    ["PUT", "/_matrix/client/v3/sendToDevice/m.room_key/1", "sendToDevice"],
    ["POST", "/_matrix/media/v3/upload?filename=a.png", "mediaUpload"],
    ["PUT", "/_matrix/media/v3/upload/example.org/abc", "mediaUploadTo"],
    ["GET", "/_matrix/client/v1/media/download/example.org/abc/file.png", "mediaDownload"],
    ["GET", "/_matrix/media/r0/thumbnail/example.org/abc?width=1", "mediaThumbnail"],
    ["POST", "/_matrix/client/v3/login", "login"],
    ["GET", "/_matrix/client/v3/login", "loginFlows"],
    ["POST", "/_matrix/client/v3/logout/all", "logoutAll"],
    ["DELETE", "/_matrix/client/v3/devices/sync", "device"],
    ["GET", "/.well-known/matrix/client", "wellKnown"],
    ["GET", "/_matrix/client/versions", "versions"],
  ])("knows %s %s", (method, url, name) => {
    expect(nameOf(method, url)).toBe(name);
  });
});

describe("what passes", () => {
  it.each([
    ["GET", "/"],
    ["GET", "/_matrix/client/v3/profile/@a:b/displayname"],
    ["GET", "/_matrix/client/v3/pushrules/"],
    ["GET", "/_matrix/client/v3/login/sso/redirect?redirectUrl=http%3A%2F%2Fx"],
    ["GET", "/_matrix/client/v3/login/sso/redirect/idp"],
    ["GET", "/_matrix/client/v3/directory/room/%23alias%3Aexample.org"],
    ["OPTIONS", SEND],
    ["GET", "/_matrix//client/v3/rooms/!abc:example.org/send/m.room.message/txn1"],
    ["GET", "/_synapse/client/saml2//x/../y"],
    ["PUT", "/_matrix/client/v3/rooms/!a:b/typing/@a:b"],
  ])("%s %s", (method, url) => {
    expect(classify(method, url)).toBe("pass");
  });

  it("takes a state key with slashes and dots for what Synapse takes it for", () => {
    const url = "/_matrix/client/v3/rooms/!a:b/state/m.x/%2F..%2F%2Fkey%2f.%5c";
    expect(classify("PUT", url)).toMatchObject({
      endpoint: "state",
      params: { stateKey: "/..//key/.\\" },
    });
  });

  it("lets an event id with an encoded slash be redacted", () => {
    expect(nameOf("PUT", "/_matrix/client/v3/rooms/!a:b/redact/%24ab%2Fcd%2B/t1")).toBe("redact");
  });
});

describe("what is refused", () => {
  it.each([
    ["PUT", "/_matrix/client/v3//rooms/!a:b/send/m.room.message/1"],
    ["PUT", "/_matrix/client/v3/rooms/!a:b/send/m.room.message/1/"],
    ["PUT", "/_matrix/client/v3/rooms/!a:b/SEND/m.room.message/1"],
    ["PUT", "/_matrix/client/v3/rooms/!a:b/s%65nd/m.room.message/1"],
    ["PUT", "/_matrix/client/v3/rooms/!a:b/s%2565nd/m.room.message/1"],
    ["PUT", "/_matrix/client/v3/rooms/!a:b%2Fsend%2Fm.room.message%2F1"],
    ["PUT", "/_matrix/client/v3/rooms/!a:b%252Fsend%252Fm.room.message%252F1"],
    ["PUT", "/_matrix/client/v3/x/../rooms/!a:b/send/m.room.message/1"],
    ["PUT", "/_matrix/client/v3/x/%2e%2E/rooms/!a:b/send/m.room.message/1"],
    ["PUT", "/_matrix/client/v3/x/..%2frooms/!a:b/send/m.room.message/1"],
    ["PUT", "/./_matrix/client/v3/rooms/!a:b/send/m.room.message/1"],
    ["PUT", "/_matrix/client/v3/rooms/!a:b/send;x=1/m.room.message/1"],
    ["PUT", "/_matrix\\client\\v3\\rooms\\!a:b\\send\\m.room.message\\1"],
    ["PUT", "/_matrix/client/v3/rooms/!a:b/send/m.room.message/1%23"],
    ["PUT", "/_matrix/client/v3/rooms/!a:b/send/m.room.message/1/%3fx"],
    ["PUT", "/_matrix/client/v9/rooms/!a:b/send/m.room.message/1"],
    ["PUT", "/_matrix/client/unstable/org.example.vendor/rooms/!a:b/send/m.room.message/1"],
    ["PATCH", SEND],
    ["DELETE", "/_matrix/client/v3/sync"],
    ["POST", "/_matrix/client/unstable/org.example.sliding/sync"],
    ["GET", "/_matrix/client/v3/sync/"],
    ["HEAD", "/_matrix/client//v3/sync"],
    ["PUT", "/_matrix/client/v3/rooms/!a:b/send/m.room.message/"],
    ["POST", "/_matrix/client/v3/keys//upload"],
    ["POST", "/_matrix/media/v3/%75pload"],
    ["GET", "http://example.org/_matrix/client/versions"],
    ["OPTIONS", "*"],
  ])("%s %s", (method, url) => {
    expect(classify(method, url)).toBe("refuse");
  });

  it("a send to one room that another reading makes a send to the next", () => {
    const txn = "..%2F..%2F..%2F!other:b%2Fsend%2Fm.room.message%2F1";
    expect(classify("PUT", `/_matrix/client/v3/rooms/!a:b/send/m.room.message/${txn}`)).toBe(
      "refuse",
    );
  });

  it("a state key that another reading makes a send", () => {
    const key = "..%2F..%2Fsend%2Fm.room.message%2F1";
    expect(classify("PUT", `/_matrix/client/v3/rooms/!a:b/state/m.x/${key}`)).toBe("refuse");
  });

  it("a path with more readings than any honest path has, in bounded time", () => {
    const nested = `/_matrix/%${"25".repeat(600)}${"/x/..;a//".repeat(300)}`;
    expect(classify("PUT", nested)).toBe("refuse");
    expect(classify("PUT", `/${"%2F".repeat(4000)}`)).toBe("refuse");
  });
});

describe("no spelling of a guarded request passes", () => {
  /** Ways of spelling that some homeserver or reverse proxy undoes. */
  const encodeAt = (path: string, index: number): string => {
    const at = 1 + (index % (path.length - 1));
    const code = path.charCodeAt(at).toString(16).padStart(2, "0");
    return `${path.slice(0, at)}%${code}${path.slice(at + 1)}`;
  };
  const atSlash = (path: string, index: number, text: string): string => {
    const slashes = [...path.matchAll(/\//g)].map((found) => found.index);
    const at = slashes[index % slashes.length] ?? 0;
    return path.slice(0, at) + text + path.slice(at);
  };
  const MUTATIONS: readonly ((path: string, index: number) => string)[] = [
    encodeAt,
    (path, index) => encodeAt(path, index).toUpperCase(),
    (path, index) => atSlash(path, index, "/"),
    (path, index) => atSlash(path, index, "/."),
    (path, index) => atSlash(path, index, "/x/.."),
    (path, index) => atSlash(path, index, "/%2e"),
    (path, index) => atSlash(path, index, "/y/%2E%2e"),
    (path, index) => atSlash(path, index, ";jsessionid=1"),
    (path) => `${path}/`,
    (path) => `${path}/.`,
    (path) => `${path}#x`,
    (path) => path.replaceAll("%", "%25"),
    (path) => path.replace("/client/v3/", "/client/v5/"),
    (path) => path.replace("/client/v3/", "/client/unstable/com.example.x/"),
    (path, index) => {
      const slashes = [...path.matchAll(/\//g)].map((found) => found.index).slice(1);
      const at = slashes[index % Math.max(1, slashes.length)];
      // None is left: another character's place would make it another path.
      if (at === undefined) return path;
      return `${path.slice(0, at)}\\${path.slice(at + 1)}`;
    },
    (path, index) => {
      const at = index % path.length;
      return path.slice(0, at) + (path[at]?.toUpperCase() ?? "") + path.slice(at + 1);
    },
  ];
  const steps = fc.array(fc.tuple(fc.nat(MUTATIONS.length - 1), fc.nat(200)), { maxLength: 4 });
  const mutate = (path: string, program: readonly (readonly [number, number])[]): string =>
    program.reduce((result, [which, index]) => MUTATIONS[which]?.(result, index) ?? result, path);

  it.each([
    ["PUT", SEND],
    ["POST", "/_matrix/client/v3/rooms/!abc:example.org/send/m.room.message"],
    ["GET", "/_matrix/client/v3/sync"],
    ["POST", "/_matrix/client/v3/org.matrix.simplified_msc3575/sync"],
    ["POST", "/_matrix/client/v3/keys/upload"],
    ["PUT", "/_matrix/client/v3/sendToDevice/m.room.encrypted/1"],
  ])("%s %s", (method, path) => {
    fc.assert(
      fc.property(steps, (program) => {
        const mutant = mutate(path, program);
        const result = classify(method, mutant);
        if (result === "pass") throw new Error(`passes: ${mutant}`);
        if (result === "refuse") return;
        expect(ENDPOINTS[result.endpoint]).toMatchObject({ guarded: true });
      }),
      { numRuns: 3000 },
    );
  });
});

describe("a room id in raw UTF-8", () => {
  it("is the same room as in its encoded form", () => {
    const path = (room: string): string => `/_matrix/client/v3/rooms/${room}/send/m.room.message/1`;
    const raw = Buffer.from("!zimmerä:hs").toString("latin1");
    expect(classify("PUT", path(raw))).toEqual(classify("PUT", path("!zimmer%C3%A4:hs")));
    expect(classify("PUT", path(raw))).toMatchObject({ params: { roomId: "!zimmerä:hs" } });
  });
});
