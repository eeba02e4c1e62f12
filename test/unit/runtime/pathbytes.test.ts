import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { fsDecode, fsEncode } from "../../../src/runtime/pathbytes.ts";

const python = "/usr/bin/python3";

describe("surrogate-escaped names", () => {
  it("decodes and encodes as Python's os.fsdecode does", () => {
    const samples: Uint8Array[] = [];
    const parts = ["", "a", "é", "日本", "𝄞", "\ufeff", "x".repeat(60), "ä".repeat(50)].map((s) =>
      Buffer.from(s),
    );
    for (let i = 0; i < 2000; i++) {
      const pieces: Uint8Array[] = [];
      for (let k = 0; k < 1 + (i % 5); k++) {
        pieces.push(parts[(i * 7 + k * 3) % parts.length]!, randomBytes((i + k) % 7));
      }
      samples.push(Buffer.concat(pieces));
    }
    for (const hex of [
      "c080",
      "eda080",
      "f08080",
      "f4908080",
      "e28",
      "f09d84",
      "edbfbf",
      "c3",
      "ff",
      "f09d849e80",
    ]) {
      samples.push(Buffer.from(hex.padEnd(hex.length + (hex.length % 2), "0"), "hex"));
    }
    const out = execFileSync(
      python,
      [
        "-c",
        "import sys\nfor l in sys.stdin: print(bytes.fromhex(l.strip()).decode('utf-8','surrogateescape').encode('utf-16-le','surrogatepass').hex())",
      ],
      { input: `${samples.map((s) => Buffer.from(s).toString("hex")).join("\n")}\n`, encoding: "utf8" },
    ).split("\n");
    samples.forEach((bytes, i) => {
      const text = fsDecode(bytes);
      expect(Buffer.from(text, "utf16le").toString("hex")).toBe(out[i]);
      expect(Buffer.from(fsEncode(text)).equals(Buffer.from(bytes))).toBe(true);
    });
  });

  it("refuses surrogates that stand for no byte", () => {
    expect(() => fsEncode("\ud800")).toThrow(RangeError);
    expect(() => fsEncode("a\udc7f")).toThrow(RangeError);
  });
});
