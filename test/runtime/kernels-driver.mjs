// Runs every kernel of the core, in every variant, over the same made-up data and prints one digest a kernel: to compare
// processors and engines. Plain JavaScript, as it runs on a Node that is only emulated. Argument: the .wasm file.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const instance = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(process.argv[2])), {
  env: {
    abort() {
      throw new Error("the core stopped");
    },
  },
});
const core = instance.exports;
let top = core.heapBase() + 4096;
core.memory.grow(128);
const u8 = new Uint8Array(core.memory.buffer);
const u32 = new Uint32Array(core.memory.buffer);
const alloc = (bytes) => {
  const at = Math.ceil(top / 64) * 64;
  top = at + bytes;
  if (top > u8.length) throw new Error("no room");
  return at;
};

let x = 2463534242;
const next = () => {
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  return x >>> 0;
};

/** Random, few values, runs, zeros: by turns of up to 3000 bytes. */
function fill(at, size) {
  for (let end = at + size; at < end; ) {
    const n = Math.min(end - at, 1 + (next() % 3000));
    const kind = next() % 4;
    let run = 0;
    for (let i = 0; i < n; i++) {
      if (kind === 2 && i % 37 === 0) run = next();
      u8[at + i] = kind === 0 ? next() : kind === 1 ? 97 + (next() % 6) : kind === 2 ? run : 0;
    }
    at += n;
  }
}

const SIZE = 700_000;
const data = alloc(SIZE + 64);
const out = alloc(1 << 20);
const table = alloc(4096);
fill(data, SIZE);
const edges = [
  0, 1, 3, 8, 15, 16, 31, 55, 56, 63, 64, 65, 111, 127, 128, 129, 200, 255, 256, 257, 1000, 4095,
];

/** Messages of edge and random sizes, at all alignments, as a table. */
function messages(n) {
  for (let i = 0; i < n; i++) {
    const size = i < edges.length ? edges[i] : next() % (i % 9 ? 3000 : 60_000);
    u32[table / 4 + 2 * i] = data + (next() % (SIZE - size));
    u32[table / 4 + 2 * i + 1] = size;
  }
  return n;
}

function show(name, work) {
  const hash = createHash("sha256");
  work(
    (at, size) => hash.update(u8.subarray(at, at + size)),
    (value) => hash.update(String(value)),
  );
  console.log(`${name} ${hash.digest("hex").slice(0, 32)}`);
}

const slot = alloc(1024);
const each = (n, work) => {
  messages(n);
  for (let i = 0; i < n; i++) work(u32[table / 4 + 2 * i], u32[table / 4 + 2 * i + 1], i);
};

show("sha256", (bytes) =>
  each(60, (p, n) => {
    core.sha256(p, n, out);
    bytes(out, 32);
  }),
);
for (const key of [0, 20, 64, 100]) core.hmacSha256SetKey(slot, data, key);
for (const [lanes, carry] of [
  [4, false],
  [4, true],
  [5, false],
]) {
  core.sha256Lanes(lanes, carry);
  x = 1;
  const name = `${lanes} lanes${carry ? ", carrying" : ""}`;
  show(`sha256Many, ${name}`, (bytes) => {
    for (const n of [1, 2, 3, 4, 5, 6, 7, 11, 60]) {
      core.sha256Many(table, messages(n), out);
      bytes(out, 32 * n);
    }
  });
  show(`hmacSha256Many, ${name}`, (bytes) => {
    for (const n of [1, 3, 5, 60]) {
      core.hmacSha256Many(slot, table, messages(n), out);
      bytes(out, 32 * n);
      core.hmacSha256Outer(slot, table, n, out);
      bytes(out, 32 * n);
    }
  });
}
for (const key of [0, 64, 128, 200]) {
  core.blake2bSetKey(slot, data, key);
  show(`blake2b, key of ${key}`, (bytes) =>
    each(60, (p, n) => {
      core.blake2b(slot, p, n, out);
      bytes(out, 32);
    }),
  );
}
core.blake2bSetKey(slot, data, 128);
for (const [lanes, constants] of [
  [3, false],
  [3, true],
  [5, false],
]) {
  core.blake2bLanes(lanes, constants);
  x = 2;
  show(`blake2bMany, ${lanes} lanes${constants ? ", constants" : ""}`, (bytes) => {
    for (const n of [1, 2, 3, 4, 5, 6, 7, 11, 60]) {
      core.blake2bMany(slot, table, messages(n), out);
      bytes(out, 32 * n);
    }
  });
}

const packed = alloc(400_000);
show("lz4", (bytes, value) => {
  for (const size of [...edges, 5000, 65_546, 65_547, 65_548, 300_000]) {
    const n = core.lz4Compress(data + (next() % 100_000), size, packed, 400_000);
    value(n);
    bytes(packed, n);
    value(core.lz4Decompress(packed, n, out, size));
    bytes(out, size);
    for (let i = 0; i < 20; i++) {
      u8[packed + (next() % n)] = next();
      u8.fill(0, out, out + size);
      const m = core.lz4Decompress(packed, n, out, size);
      value(m);
      if (m > 0) bytes(out, m);
    }
  }
});
show("crc32 and xxh64", (_, value) =>
  each(60, (p, n, i) => {
    value(core.crc32(p, n, i) >>> 0);
    value(BigInt.asUintN(64, core.xxh64(p, n, BigInt(i))));
  }),
);
show("isZero", (_, value) => each(60, (p, n) => value(core.isZero(p, n))));

const state = alloc(2048);
const list = alloc(64 + 16 * 512) + 64;
core.buzhashInit(state, 12345, 4095);
show("buzhash", (bytes, value) => {
  value(core.buzhashHash(state, data + 7, 4095) >>> 0);
  for (const mask of [0xff, 0xfff, 0xffff]) {
    for (let p = 0; p < 300_000; ) {
      p += 1 + (core.buzhashScan(state, data + p, 300_000 - p, 4095, mask) >>> 0);
      value(p);
    }
    for (const lane of [34, 2050, 65_538]) {
      const n = core.buzhashScan4(state, data + 3, lane, mask, list, 512);
      value(n);
      bytes(list - 4, 4 + 4 * n);
    }
  }
});
