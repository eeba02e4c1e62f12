// SHA-256, HMAC-SHA256 and BLAKE2b-256 of the core against @noble/hashes and node:crypto: edge sizes, all
// alignments, batches of every size, keys of every length; batches in every variant of the kernels.
import { createHash, createHmac } from "node:crypto";
import { blake2b } from "@noble/hashes/blake2.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { describe, expect, it } from "vitest";
import { Core, coreModule } from "../../../src/core/index.ts";
import { laneVariants } from "../../../src/core/lanes.ts";
import { bytes, edgeSizes, generator } from "./data.ts";

const core = new Core(coreModule());
const hex = (b: Uint8Array) => Buffer.from(b).toString("hex");
const blake = (key: Uint8Array, data: Uint8Array) => hex(blake2b(Buffer.concat([key, data]), { dkLen: 32 }));

/** Lays messages out in a core's memory, each at an odd distance, and returns the table and the output. */
function batch(core: Core, messages: Uint8Array[], seed: number): { table: number; out: number } {
  const next = generator(seed);
  const table = core.alloc(8 * messages.length);
  const out = core.alloc(32 * messages.length);
  const area = core.alloc(messages.reduce((n, m) => n + m.length + 16, 16));
  let at = area;
  messages.forEach((message, i) => {
    at += next() % 16;
    core.u8.set(message, at);
    core.u32[table / 4 + 2 * i] = at;
    core.u32[table / 4 + 2 * i + 1] = message.length;
    at += message.length;
  });
  return { table, out };
}

function digests(core: Core, out: number, n: number): string[] {
  return Array.from({ length: n }, (_, i) => hex(core.view(out + 32 * i, 32)));
}

describe("one message", () => {
  it("SHA-256 equals noble and the host at all edge sizes", () => {
    for (const size of edgeSizes) {
      const data = bytes(size, "random", size + 1);
      expect(hex(core.sha256(data))).toBe(hex(sha256(data)));
    }
    const big = bytes(8 << 20, "mixed", 3);
    expect(hex(core.sha256(big))).toBe(createHash("sha256").update(big).digest("hex"));
  });

  it("HMAC-SHA256 equals the host for keys of every length up to 150", () => {
    for (let n = 0; n <= 150; n++) {
      const key = bytes(n, "random", n + 7);
      const data = bytes(n * 3, "text", n + 1);
      expect(hex(core.hmacSha256(key, data))).toBe(createHmac("sha256", key).update(data).digest("hex"));
    }
  });

  it("notices that a key array was overwritten", () => {
    const key = bytes(32, "random", 1);
    core.hmacSha256(key, key);
    core.blake2bPrefix(key, key);
    key.fill(0);
    expect(hex(core.hmacSha256(key, key))).toBe(createHmac("sha256", key).update(key).digest("hex"));
    expect(hex(core.blake2bPrefix(key, key))).toBe(blake(key, key));
  });

  it("BLAKE2b-256 of key and message equals noble for keys of every length up to 400", () => {
    for (let n = 0; n <= 400; n++) {
      const key = bytes(n, "random", n + 5);
      for (const size of [0, 1, n, 127, 128, 129, 257]) {
        const data = bytes(size, "random", n + size);
        expect(hex(core.blake2bPrefix(key, data))).toBe(blake(key, data));
      }
    }
  });

  it("BLAKE2b-256 with Borg's 128-byte key at all edge sizes", () => {
    const key = bytes(128, "random", 9);
    for (const size of edgeSizes) {
      const data = bytes(size, "random", size + 3);
      expect(hex(core.blake2bPrefix(key, data))).toBe(blake(key, data));
    }
  });

  it("takes data that lies in the core's memory where it is, at any alignment", () => {
    const region = core.alloc(5000);
    const data = bytes(4096, "random", 77);
    for (let shift = 0; shift < 64; shift++) {
      core.u8.set(data, region + shift);
      expect(hex(core.sha256(core.view(region + shift, 4096)))).toBe(hex(sha256(data)));
    }
  });
});

describe.each(laneVariants())("batches, $sha256 and $blake2b at once", (lanes) => {
  const core = new Core(coreModule(), lanes);
  const sets: [string, (next: () => number) => number][] = [
    ["small files", (next) => next() % 30_000],
    ["tiny", (next) => next() % 200],
    ["very unequal", (next) => (next() % 10 ? next() % 100 : next() % 400_000)],
    ["empty and full blocks", (next) => (next() % 4) * 64],
  ];
  for (const [name, size] of sets) {
    it(`of ${name}: every digest equals the single one`, () => {
      const next = generator(name.length);
      const hmacKey = bytes(32, "random", 5);
      const blakeKey = bytes(128, "random", 6);
      core.hmacSetKey(1, hmacKey);
      core.blake2bSetKey(1, blakeKey);
      for (const n of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 64]) {
        const messages = Array.from({ length: n }, (_, i) => bytes(size(next), "random", i + n));
        const { table, out } = batch(core, messages, n + 1);
        core.sha256Many(table, n, out);
        expect(digests(core, out, n)).toEqual(
          messages.map((m) => createHash("sha256").update(m).digest("hex")),
        );
        core.hmacSha256Many(1, table, n, out);
        expect(digests(core, out, n)).toEqual(
          messages.map((m) => createHmac("sha256", hmacKey).update(m).digest("hex")),
        );
        core.blake2bMany(1, table, n, out);
        expect(digests(core, out, n)).toEqual(messages.map((m) => hex(core.blake2bPrefix(blakeKey, m))));
      }
    });
  }

  it("covers every pair of edge sizes in neighbouring lanes", () => {
    const key = bytes(128, "random", 8);
    core.blake2bSetKey(2, key);
    const sizes = [0, 1, 55, 56, 63, 64, 65, 119, 127, 128, 129, 255, 256, 257, 300];
    const messages = sizes.flatMap((a) =>
      sizes.flatMap((b) => [bytes(a, "random", b + 1), bytes(b, "random", a + 1)]),
    );
    const { table, out } = batch(core, messages, 4);
    core.sha256Many(table, messages.length, out);
    expect(digests(core, out, messages.length)).toEqual(messages.map((m) => hex(sha256(m))));
    core.blake2bMany(2, table, messages.length, out);
    expect(digests(core, out, messages.length)).toEqual(messages.map((m) => blake(key, m)));
  });

  it("of 8 MiB messages and small ones between", { timeout: 60_000 }, () => {
    const key = bytes(128, "random", 12);
    core.blake2bSetKey(3, key);
    const sizes = [8 << 20, 5, 1 << 20, (8 << 20) - 1, 70_001, 0, 128, (1 << 20) + 127];
    const messages = sizes.map((size, i) => bytes(size, i % 2 ? "mixed" : "random", i + 50));
    const { table, out } = batch(core, messages, 9);
    core.sha256Many(table, messages.length, out);
    expect(digests(core, out, messages.length)).toEqual(
      messages.map((m) => createHash("sha256").update(m).digest("hex")),
    );
    core.blake2bMany(3, table, messages.length, out);
    expect(digests(core, out, messages.length)).toEqual(messages.map((m) => blake(key, m)));
  });

  it("refuses a slot without a key", () => {
    expect(() => core.hmacSha256Many(9, 0, 0, 0)).toThrow(/slot 9/);
    expect(() => core.blake2bMany(9, 0, 0, 0)).toThrow(/slot 9/);
  });
});
