// Placeholders, --format strings and byte helpers.
import { execFileSync } from "node:child_process";
import { hostname } from "node:os";
import { describe, expect, it } from "vitest";
import { InvalidPlaceholder, PlaceholderError } from "../../../src/errors.ts";
import { concatBytes, equalBytes, equalSecret, fromHex, toHex } from "../../../src/format/bytes.ts";
import { compileFormat, FileSize, partialFormat } from "../../../src/format/formatter.ts";
import { replacePlaceholders } from "../../../src/format/placeholders.ts";
import { OutputTime } from "../../../src/format/time.ts";

const context = {
  hostname: "box",
  fqdn: "box.example.org",
  user: "ann",
  pid: 42,
  now: 1455566189123456,
  env: {},
};

describe("replacePlaceholders", () => {
  it("knows every name of Borg's", () => {
    const expand = (text: string) => replacePlaceholders(text, context);
    expect(expand("{hostname} {fqdn} {reverse-fqdn} {user} {pid}")).toBe(
      "box box.example.org org.example.box ann 42",
    );
    expect(expand("{utcnow} {utcnow:%Y-%m-%d} {unixtime} {{now}}")).toBe(
      "2016-02-15T19:56:29 2016-02-15 1455566189 {now}",
    );
    expect(expand("{utcnow:%z%f} {pid:05d} {user:>5}")).toBe("+0000123456 00042   ann");
    expect(expand("{uuid4}")).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    expect(expand("{borgversion} {borgmajor} {borgminor} {borgpatch}")).toMatch(
      /^(1)\.4\.\d+ 1 1\.4 1\.4\.\d+$/,
    );
    expect(
      replacePlaceholders("{hostname}{user}", {
        ...context,
        env: { BORG_HOSTNAME: "h", BORG_USERNAME: "u" },
      }),
    ).toBe("hu");
  });

  it("asks the system where it is told nothing, as borg does", () => {
    const text = "{hostname}|{fqdn}|{user}|{now:%Y}";
    const script =
      "import sys; from borg.helpers import replace_placeholders; print(replace_placeholders(sys.argv[1]))";
    const theirs = execFileSync("/usr/bin/python3", ["-c", script, text]).toString().trim();
    expect(replacePlaceholders(text)).toBe(theirs);
    expect(replacePlaceholders("{hostname}")).toBe(hostname());
  });

  it("refuses what it does not know", () => {
    for (const text of ["{nope}", "{now.year}", "{pid!r}", "{now[0]}"]) {
      expect(() => replacePlaceholders(text, context), text).toThrow(InvalidPlaceholder);
    }
    for (const text of ["{", "}", "{hostname", "{}", "{pid:y}", "{user:d}"]) {
      expect(() => replacePlaceholders(text, context), text).toThrow(PlaceholderError);
    }
  });
});

describe("compileFormat", () => {
  it("renders keys and fixed keys, and tells what it needs", () => {
    const format = compileFormat("{path:<10}|{size:>8}{TAB}{mtime}{NL}{{x}}", [
      "path",
      "size",
      "mtime",
      "unused",
    ]);
    expect([...format.keys]).toEqual(["path", "size", "mtime"]);
    const values = { path: "a", size: new FileSize(1234), mtime: OutputTime.ofTimestamp(0) };
    const line = format.render((key) => values[key as keyof typeof values]);
    expect(line).toBe(`a         | 1.23 kB\t${values.mtime}\n{x}`);
  });

  it("checks keys and specifications", () => {
    expect(() => compileFormat("{nope}", ["path"])).toThrow(InvalidPlaceholder);
    expect(() => compileFormat("{toString}", ["path"])).toThrow(InvalidPlaceholder);
    expect(() => compileFormat("{path", ["path"])).toThrow(PlaceholderError);
    expect(() => compileFormat("{path:d}", ["path"]).render(() => "x")).toThrow(PlaceholderError);
  });

  it("partialFormat leaves unknown keys as they are", () => {
    expect(partialFormat("{a:>3}{b!r:<5}{{a}}", { a: "{x" })).toBe(" {{x{b!r:<5}{{a}}");
  });
});

describe("bytes", () => {
  it("helpers", () => {
    expect(toHex(fromHex("00fFa0"))).toBe("00ffa0");
    expect(() => fromHex("0g")).toThrow(/hexadecimal/);
    expect(() => fromHex("0")).toThrow(/hexadecimal/);
    const ab = concatBytes(new Uint8Array([1]), new Uint8Array(0), new Uint8Array([2, 3]));
    expect(ab).toEqual(new Uint8Array([1, 2, 3]));
    expect(equalBytes(ab, ab.slice()) && equalSecret(ab, ab.slice())).toBe(true);
    expect(
      equalBytes(ab, new Uint8Array(3)) ||
        equalSecret(ab, new Uint8Array(3)) ||
        equalSecret(ab, new Uint8Array(2)),
    ).toBe(false);
  });
});
