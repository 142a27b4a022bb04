import { describe, expect, it } from "vitest";

import { interpolate, InterpolationError, parseIni } from "../../../proxy/config/ini.ts";
import { describeProblem } from "../../../proxy/config/problems.ts";

function values(text: string): Record<string, Record<string, string>> {
  const document = parseIni(text, "Default");
  expect(document.problems).toEqual([]);
  const all = [document.defaults, ...document.sections];
  return Object.fromEntries(
    all.map(({ name, entries }) => [
      name,
      Object.fromEntries([...entries].map(([key, { raw }]) => [key, raw])),
    ]),
  );
}

function problems(text: string): string[] {
  return parseIni(text, "Default").problems.map((problem) => describeProblem("f", problem));
}

describe("parseIni", () => {
  it("takes = and : with or without spaces, whichever comes first", () => {
    expect(values("[a]\nB=1\nC : 2\nD = x=y\nE: http://x\nF\t=\tz\nG =")).toEqual({
      Default: {},
      a: { b: "1", c: "2", d: "x=y", e: "http://x", f: "z", g: "" },
    });
  });

  it("takes comments on lines of their own only", () => {
    expect(values("# one\n[a] ; trailing\n  ; two\nB = 1 # not a comment\n#C = 2\n")).toEqual({
      Default: {},
      a: { b: "1 # not a comment" },
    });
  });

  it("keeps the default section apart and lets it come again", () => {
    expect(values("[Default]\nA = 1\n[x]\nA = 2\n[Default]\nB = 3")).toEqual({
      Default: { a: "1", b: "3" },
      x: { a: "2" },
    });
  });

  it("continues a value on lines indented deeper than its key", () => {
    const text = "[a]\nB = 1\n  2\n\n\t3\n  # comment\n  4\n\nC = 5\n  D = 6\nE =\n  7";
    expect(values(text)).toEqual({
      Default: {},
      a: { b: "1\n2\n\n3\n4", c: "5\nD = 6", e: "\n7" },
    });
  });

  it("takes an indented first key, and a section header inside a value as part of it", () => {
    expect(values("[a]\n   B = 1\n     [c]\n   D = 2\n")).toEqual({
      Default: {},
      a: { b: "1\n[c]", d: "2" },
    });
  });

  it.each([
    ["CRLF", "[a]\r\nB = 1\r\nC = 2\r\n"],
    ["CR", "[a]\rB = 1\rC = 2\r"],
    ["a byte order mark", "\ufeff[a]\nB = 1\nC = 2"],
  ])("takes %s", (_name, text) => {
    expect(values(text)).toEqual({ Default: {}, a: { b: "1", c: "2" } });
  });

  it("keeps names of sections as they are and reads to the last bracket", () => {
    expect(Object.keys(values("[ a b ]\n[DEFAULT]\n[x]y]\n"))).toEqual([
      "Default",
      " a b ",
      "DEFAULT",
      "x]y",
    ]);
  });

  it("pollutes no prototype", () => {
    const text = "[__proto__]\n__proto__ = 1\nconstructor = 2\n[constructor]\npolluted = 3";
    const document = parseIni(text, "Default");
    expect(document.sections.map(({ name }) => name)).toEqual(["__proto__", "constructor"]);
    expect([...(document.sections[0]?.entries.keys() ?? [])]).toEqual(["__proto__", "constructor"]);
    expect(Reflect.get({}, "polluted")).toBeUndefined();
  });

  it("remembers the lines of keys and sections", () => {
    const [section] = parseIni("\n[a]\n# c\nB = 1\n  2\nC = 3", "Default").sections;
    expect(section?.line).toBe(2);
    expect(section?.entries.get("b")?.line).toBe(4);
    expect(section?.entries.get("c")?.line).toBe(6);
  });

  it("reports every problem of a file with its line", () => {
    expect(problems("[a]\nB = 1\nb = 2\nwithout value\n= no key\n[a]\nC = 3\nc = 4\n[]\n")).toEqual(
      [
        "f:3: [a] b: this key is already set in this section, at line 2",
        'f:4: [a] expected "key = value", "[section]" or a comment, got "without value"',
        'f:5: [a] expected "key = value", "[section]" or a comment, got ""',
        "f:6: [a] this section is already there, at line 1",
        "f:8: [a] c: this key is already set in this section, at line 7",
        'f:9: [a] expected "key = value", "[section]" or a comment, got "[]"',
      ],
    );
  });

  it("reports keys in front of the first section once", () => {
    expect(problems("Homeserver = https://x\nListenPort = 1\n[a]\nB = 1")).toEqual([
      'f:1: expected a section such as [example] before the first key, got "Homeserver"',
    ]);
  });

  it("shows of a line that is no setting its beginning only, because it may be a secret", () => {
    const [problem] = problems("[a]\nsyt_YWxpY2U_bQnXGNhVmCOYLDTuMuEj_1xPd0b");
    expect(problem).toMatch(/got "syt_YWxp\.\.\."$/);
  });
});

describe("interpolate", () => {
  const lookUp = (key: string) =>
    new Map([
      ["host", "example.org"],
      ["url", "https://%(HOST)s/%%"],
      ["loop", "%(loop)s"],
    ]).get(key) ?? null;

  it("replaces references, whatever their letter case, and doubled percent signs", () => {
    expect(interpolate("a %(Host)s %(url)s 100%%", lookUp)).toBe(
      "a example.org https://example.org/% 100%",
    );
    expect(interpolate("%%(host)s", lookUp)).toBe("%(host)s");
  });

  it.each([
    ["50%", 'a percent sign is written "%%", or refers to a key as "%(key)s"'],
    ["%(host)", 'a percent sign is written "%%", or refers to a key as "%(key)s"'],
    ["%s", 'a percent sign is written "%%", or refers to a key as "%(key)s"'],
    ["%(other)s", '"%(other)s" refers to a key that is not set'],
    ["%(loop)s", "%(...)s refers to itself, or is nested over 10 deep"],
    ["%(__proto__)s", '"%(__proto__)s" refers to a key that is not set'],
  ])("refuses %s", (text, message) => {
    expect(() => interpolate(text, lookUp)).toThrow(new InterpolationError(message));
  });
});
