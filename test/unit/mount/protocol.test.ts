// The FUSE codec against what the kernel's header says: sizes and offsets of the structs, and requests whose
// lengths lie. The layout is checked with struct sizes compiled from the system's own header in the interop test.
import fc from "fast-check";
import { expect, test } from "vitest";
import { IN_HEADER, initFlag, OUT_HEADER } from "../../../src/mount/constants.ts";
import {
  direntSize,
  encodeDevice,
  ProtocolError,
  readHeader,
  readInit,
  readName,
  readRead,
  writeAttrOut,
  writeDirent,
  writeEntryOut,
  writeInit,
} from "../../../src/mount/protocol.ts";

function request(opcode: number, body: Uint8Array, length = IN_HEADER + body.length, extensions = 0) {
  const buffer = new Uint8Array(4096);
  const view = new DataView(buffer.buffer);
  view.setUint32(0, length, true);
  view.setUint32(4, opcode, true);
  view.setBigUint64(8, 77n, true);
  view.setBigUint64(16, 5n, true);
  view.setUint16(36, extensions, true);
  buffer.set(body, IN_HEADER);
  return { buffer, view, got: IN_HEADER + body.length };
}

test("a header is believed only as far as the bytes go", () => {
  const { view, got } = request(3, new Uint8Array(16));
  expect(readHeader(view, got)).toMatchObject({ opcode: 3, uniqueLow: 77, node: 5, bodyEnd: 56 });
  expect(() => readHeader(view, 39)).toThrow(ProtocolError);
  for (const length of [0, 39, 57, 0xffffffff]) {
    const r = request(3, new Uint8Array(16), length);
    expect(() => readHeader(r.view, r.got)).toThrow(ProtocolError);
  }
  const r = request(3, new Uint8Array(16), 56, 3);
  expect(() => readHeader(r.view, r.got)).toThrow(ProtocolError);
});

test("a node number beyond 2^53 is no inode of ours", () => {
  const { view, got } = request(3, new Uint8Array(16));
  view.setBigUint64(16, 1n << 60n, true);
  expect(readHeader(view, got).node).toBe(-1);
});

test("names end within the body", () => {
  const good = request(1, Uint8Array.of(0x61, 0x62, 0));
  expect(readName(good.buffer, readHeader(good.view, good.got))).toEqual(Uint8Array.of(0x61, 0x62));
  const open = request(1, Uint8Array.of(0x61, 0x62));
  expect(() => readName(open.buffer, readHeader(open.view, open.got))).toThrow(ProtocolError);
  const none = request(22, new Uint8Array(4));
  expect(() => readName(none.buffer, readHeader(none.view, none.got), 8)).toThrow(ProtocolError);
});

test("reads have an offset and a size", () => {
  const body = new Uint8Array(40);
  const v = new DataView(body.buffer);
  v.setBigUint64(8, 1n << 40n, true);
  v.setUint32(16, 131072, true);
  const r = request(15, body);
  expect(readRead(r.view, readHeader(r.view, r.got))).toEqual({ offset: 2 ** 40, size: 131072 });
  v.setBigUint64(8, 1n << 60n, true);
  const far = request(15, body);
  expect(() => readRead(far.view, readHeader(far.view, far.got))).toThrow(ProtocolError);
  const short = request(15, body.subarray(0, 20));
  expect(() => readRead(short.view, readHeader(short.view, short.got))).toThrow(ProtocolError);
});

test("INIT agrees on the smaller version and on flags that both sides know", () => {
  const options = { maxReadahead: 1 << 20, maxWrite: 4096, maxPages: 256, wanted: 0xffffff & ~1 };
  const ask = (major: number, minor: number, flags: number) => {
    const body = new Uint8Array(64);
    const v = new DataView(body.buffer);
    v.setUint32(0, major, true);
    v.setUint32(4, minor, true);
    v.setUint32(8, 131072, true);
    v.setUint32(12, flags, true);
    const r = request(26, body);
    const out = new DataView(new ArrayBuffer(256));
    const answer = writeInit(out, readInit(r.view, readHeader(r.view, r.got)), options);
    return { out, answer };
  };
  const now = ask(7, 45, initFlag.MAX_PAGES | initFlag.ASYNC_READ);
  expect(now.answer).toEqual({ bytes: 64, minor: 38, flags: initFlag.MAX_PAGES });
  expect(now.out.getUint32(OUT_HEADER + 8, true)).toBe(131072);
  expect(now.out.getUint16(OUT_HEADER + 28, true)).toBe(256);
  expect(ask(7, 19, 0).answer).toEqual({ bytes: 24, minor: 19, flags: 0 });
  expect(ask(8, 0, 0).answer).toEqual({ bytes: 8, minor: 0, flags: 0 });
  expect(() => ask(7, 8, 0)).toThrow(ProtocolError);
  expect(() => ask(6, 1, 0)).toThrow(ProtocolError);
});

const attributes = (mtime: bigint) => ({
  mode: 0o100644,
  nlink: 2,
  uid: 7,
  gid: 8,
  rdev: 0,
  size: 2 ** 41 + 1,
  mtime,
  atime: mtime,
  ctime: 0n,
});

test("times before 1970 and after 2038 keep their nanoseconds", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(1n << 62n), max: 1n << 62n }), (mtime) => {
      const view = new DataView(new ArrayBuffer(256));
      expect(writeAttrOut(view, 0, 9, attributes(mtime), 60)).toBe(104);
      const seconds = view.getBigInt64(16 + 32, true);
      const nanos = BigInt(view.getUint32(16 + 52, true));
      expect(nanos < 1_000_000_000n && seconds * 1_000_000_000n + nanos === mtime).toBe(true);
      expect(view.getBigUint64(16 + 8, true)).toBe(BigInt(2 ** 41 + 1));
    }),
  );
});

test("entries are padded to eight bytes and carry name, cookie and type", () => {
  const buffer = new Uint8Array(512).fill(0xff);
  const view = new DataView(buffer.buffer);
  expect(direntSize(1, false)).toBe(32);
  expect(direntSize(8, false)).toBe(32);
  expect(direntSize(9, true)).toBe(128 + 40);
  expect(writeEntryOut(view, 0, 3, attributes(5n), 1)).toBe(128);
  writeDirent(
    buffer,
    view,
    128,
    3,
    9,
    8,
    Uint8Array.from("name", (c) => c.charCodeAt(0)),
  );
  expect(view.getBigUint64(128, true)).toBe(3n);
  expect(view.getBigUint64(136, true)).toBe(9n);
  expect(view.getUint32(144, true)).toBe(4);
  expect(view.getUint32(148, true)).toBe(8);
  expect([...buffer.subarray(152, 160)]).toEqual([0x6e, 0x61, 0x6d, 0x65, 0, 0, 0, 0]);
  expect(buffer[160]).toBe(0xff);
});

test("device numbers change from makedev's packing to the kernel's", () => {
  const makedev = (major: bigint, minor: bigint) =>
    ((major & 0xfffff000n) << 32n) |
    ((major & 0xfffn) << 8n) |
    ((minor & 0xffffff00n) << 12n) |
    (minor & 0xffn);
  expect(encodeDevice(makedev(300n, 70000n))).toBe((70000 & 0xff) | (300 << 8) | ((70000 & ~0xff) << 12));
  expect(encodeDevice(0)).toBe(0);
  expect(encodeDevice(makedev(8n, 1n))).toBe(0x801);
});
