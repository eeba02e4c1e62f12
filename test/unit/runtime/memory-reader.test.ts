// Reading into the core's memory: the bytes of node:fs, before and after the memory has grown, and its errors.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Core, coreModule } from "../../../src/core/index.ts";
import { fs, MemoryReader } from "../../../src/runtime/index.ts";
import { randomBytes } from "../../support/tree.ts";

describe("a reader into the core's memory", () => {
  let dir: string;
  let path: string;
  const data = randomBytes(300_000, 1);
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), "reader-"));
    path = join(dir, "file");
    writeFileSync(path, data);
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  it("reads on from the file's position, and 0 bytes at the end", () => {
    const core = new Core(coreModule());
    const reader = new MemoryReader(() => core.u8);
    const at = core.alloc(400_000);
    const fd = fs.openRead(path);
    let got = 0;
    for (let n = reader.read(fd, at, 7000); n > 0; n = reader.read(fd, at + got, 7000)) got += n;
    expect(got).toBe(data.length);
    expect(Buffer.from(core.view(at, got)).equals(data)).toBe(true);
    expect(reader.read(fd, at, 1)).toBe(0);
    fs.closeFd(fd);
  });

  it("reads at a position, and leaves the file's alone", () => {
    const core = new Core(coreModule());
    const reader = new MemoryReader(() => core.u8);
    const at = core.alloc(1000);
    const fd = fs.openRead(path);
    expect(reader.read(fd, at, 10, 123_456)).toBe(10);
    expect(Buffer.from(core.view(at, 10)).equals(data.subarray(123_456, 123_466))).toBe(true);
    expect(reader.read(fd, at, 10, 299_995)).toBe(5);
    expect(reader.read(fd, at, 10)).toBe(10);
    expect(Buffer.from(core.view(at, 10)).equals(data.subarray(0, 10))).toBe(true);
    fs.closeFd(fd);
  });

  it("follows the memory when it grows", () => {
    const core = new Core(coreModule());
    const reader = new MemoryReader(() => core.u8);
    const fd = fs.openRead(path);
    const first = core.alloc(1000);
    reader.read(fd, first, 1000, 0);
    const before = core.u8;
    const second = core.alloc(64 << 20);
    expect(core.u8 === before).toBe(false);
    const at = second + (63 << 20);
    expect(reader.read(fd, at, 1000, 1000)).toBe(1000);
    expect(Buffer.from(core.view(at, 1000)).equals(data.subarray(1000, 2000))).toBe(true);
    expect(Buffer.from(core.view(first, 1000)).equals(readFileSync(path).subarray(0, 1000))).toBe(true);
    fs.closeFd(fd);
  });

  it("refuses what lies outside, and tells the system's errors", () => {
    const core = new Core(coreModule());
    const reader = new MemoryReader(() => core.u8);
    const fd = fs.openRead(path);
    expect(() => reader.read(fd, core.u8.length - 10, 11)).toThrow(RangeError);
    fs.closeFd(fd);
    expect(() => reader.read(fd, core.alloc(10), 10)).toThrow(expect.objectContaining({ code: "EBADF" }));
    expect(() => fs.closeFd(fd)).toThrow(expect.objectContaining({ code: "EBADF" }));
    const directory = fs.openRead(dir);
    expect(() => reader.read(directory, core.alloc(10), 10)).toThrow(
      expect.objectContaining({ code: "EISDIR", syscall: "read" }),
    );
    fs.closeFd(directory);
  });
});
