// CRC-32 by the host and, for a Node too old to have it, by table.
import zlib from "node:zlib";
import { afterEach, expect, it } from "vitest";
import { crc32 } from "../../../src/runtime/crc32.ts";

const host = zlib.crc32;
afterEach(() => {
  zlib.crc32 = host;
});

it("is zlib's, also by table, and goes on from a seed", () => {
  const data = Buffer.from("The quick brown fox jumps over the lazy dog".repeat(30));
  for (const way of [host, undefined]) {
    zlib.crc32 = way as typeof host;
    expect(crc32(data.subarray(0, 43))).toBe(0x414fa339);
    expect(crc32(new Uint8Array(0))).toBe(0);
    for (const at of [0, 1, 43, 700, data.length])
      expect(crc32(data.subarray(at), crc32(data.subarray(0, at)))).toBe(host(data));
  }
});
