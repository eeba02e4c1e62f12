// --compression values: accepted exactly where borg accepts them.
import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { formatCompression, parseCompression } from "../../../src/compress/index.ts";
import { ArgumentError } from "../../../src/errors.ts";

const texts = [
  ...["none", "lz4", "zstd", "zlib", "lzma", "auto", "obfuscate", "", "LZ4", "gzip", " lz4", "lz4 "],
  ...[
    "none,1",
    "lz4,9,9",
    "zstd,1",
    "zstd,22",
    "zstd,0",
    "zstd,23",
    "zstd,-1",
    "zstd,",
    "zstd,x",
    "zstd,3,4",
    "zstd, 3 ",
  ],
  ...["zlib,0", "zlib,9", "zlib,10", "lzma,0", "lzma,9", "lzma,+6", "lzma,1_0", "zstd,1_0", "zstd,3.0"],
  ...[
    "auto,lz4",
    "auto,none",
    "auto,zstd,9",
    "auto,zstd,99",
    "auto,auto,lz4",
    "auto,auto",
    "auto,obfuscate,1,none",
  ],
  ...[
    "obfuscate,1,none",
    "obfuscate,0,none",
    "obfuscate,7,none",
    "obfuscate,110,auto,zstd,3",
    "obfuscate,123,lz4",
  ],
  ...[
    "obfuscate,124,lz4",
    "obfuscate,1",
    "obfuscate,x,lz4",
    "obfuscate,2,obfuscate,3,none",
    "obfuscate,1,auto,lzma,9,9",
  ],
];

const script = `
import sys, json
from borg.compress import CompressionSpec
def show(s):
    if s.name in ('none', 'lz4'): return s.name
    if s.name == 'auto': return 'auto,' + show(s.inner)
    if s.name == 'obfuscate': return 'obfuscate,%d,' % s.level + show(s.inner)
    return '%s,%d' % (s.name, s.level)
out = []
for t in json.load(sys.stdin):
    try: out.append(show(CompressionSpec(t)))
    except Exception: out.append(None)
print(json.dumps(out))
`;

describe("parseCompression", () => {
  it("agrees with borg", () => {
    const theirs = JSON.parse(
      execFileSync("/usr/bin/python3", ["-c", script], { input: JSON.stringify(texts) }).toString(),
    );
    const ours = texts.map((text) => {
      try {
        return formatCompression(parseCompression(text));
      } catch (error) {
        expect(error).toBeInstanceOf(ArgumentError);
        return null;
      }
    });
    expect(Object.fromEntries(texts.map((t, i) => [t, ours[i]]))).toEqual(
      Object.fromEntries(texts.map((t, i) => [t, theirs[i]])),
    );
  });

  it("knows Borg 1.4's Padmé, and names the specification in errors", () => {
    expect(formatCompression(parseCompression("obfuscate,250,zstd"))).toBe("obfuscate,250,zstd,3");
    expect(() => parseCompression("zstd,99")).toThrow('"zstd,99"');
  });
});
