// CRC-32 by table, by the core as soon as it is there, and by the host where much is summed up.
import zlib from "node:zlib";
import { beforeEach, expect, it, vi } from "vitest";

type Crc32 = (data: Uint8Array, seed?: number) => number;
const load = () => import("../../../src/runtime/crc32.ts");

const data = Buffer.from("The quick brown fox jumps over the lazy dog".repeat(30));
const whole = zlib.crc32(data);
const large = Buffer.alloc((100 << 10) + 77, "many");
const sumOfLarge = zlib.crc32(large);

// Each test has modules that have summed up nothing.
beforeEach(() => vi.resetModules());

function agrees(crc32: Crc32): void {
  expect(crc32(data.subarray(0, 43))).toBe(0x414fa339);
  expect(crc32(new Uint8Array(0))).toBe(0);
  for (const at of [0, 1, 43, 700, data.length])
    expect(crc32(data.subarray(at), crc32(data.subarray(0, at)))).toBe(whole);
}

it("is zlib's by table, which is asked for little only, and goes on from a seed", async () => {
  const { crc32, hasNativeCrc32, nativeCrc32 } = await load();
  const host = vi.spyOn(zlib, "crc32");
  agrees(crc32);
  expect(host).not.toHaveBeenCalled();
  expect(crc32(large)).toBe(sumOfLarge);
  expect(host).toHaveBeenCalled();
  host.mockRestore();
  expect(hasNativeCrc32()).toBe(true);
  agrees(nativeCrc32!);
});

it("is zlib's by the core, whatever is staged there, until some more is summed up", async () => {
  const { crc32 } = await load();
  const { loadCore } = await import("../../../src/core/index.ts");
  const core = loadCore();
  const staged = core.stage(Buffer.from("staged"));
  const host = vi.spyOn(zlib, "crc32");
  agrees(crc32);
  expect(crc32(large)).toBe(sumOfLarge);
  expect(host).not.toHaveBeenCalled();
  expect(Buffer.from(core.view(staged, 6)).toString()).toBe("staged");
  for (let i = 0; i < 4; i++) expect(crc32(large)).toBe(sumOfLarge);
  expect(host).toHaveBeenCalled();
  host.mockRestore();
});

it("is the table's or the core's on a Node that has none", async () => {
  const platform = { runtime: { name: "node", version: "20.14.0" } };
  vi.doMock("../../../src/runtime/platform.ts", () => platform);
  const { crc32, hasNativeCrc32, lendCrc32, nativeCrc32 } = await load();
  vi.doUnmock("../../../src/runtime/platform.ts");
  expect(hasNativeCrc32()).toBe(false);
  expect(nativeCrc32).toBeUndefined();
  agrees(crc32);
  expect(crc32(large)).toBe(sumOfLarge);
  lendCrc32((bytes, seed) => zlib.crc32(bytes, seed));
  agrees(crc32);
});
