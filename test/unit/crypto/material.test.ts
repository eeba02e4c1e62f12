import { createCipheriv, createHmac, randomBytes } from "node:crypto";
import { blake2b } from "@noble/hashes/blake2.js";
import { describe, expect, test } from "vitest";
import { loadCore } from "../../../src/core/index.ts";
import {
  blocksOf,
  ENVELOPE_SIZE,
  type KeyMaterial,
  nonceOf,
  plaintextMaterial,
  Sealer,
} from "../../../src/crypto/material.ts";
import { KEY_MODES, type KeyMode, keyMode } from "../../../src/crypto/modes.ts";
import { IntegrityError } from "../../../src/errors.ts";

function material(mode: KeyMode): KeyMaterial {
  if (mode === "none") return plaintextMaterial();
  const long = keyMode(mode).idHash === "blake2b" ? 128 : 32;
  return {
    mode,
    encKey: randomBytes(32),
    encHmacKey: randomBytes(long),
    idKey: randomBytes(long),
    chunkSeed: 7,
  };
}

describe.each(KEY_MODES.map((m) => m.mode))("sealer, %s", (mode) => {
  const sealer = new Sealer(material(mode));
  test("opens what it sealed, at any size and nonce", () => {
    for (const size of [0, 1, 15, 16, 17, 31, 4096, 70001]) {
      for (const nonce of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 5]) {
        const data = randomBytes(size);
        const blob = sealer.seal(data, nonce);
        expect(blob.length).toBe(size + sealer.overhead);
        expect(Buffer.from(sealer.open(blob)).equals(data)).toBe(true);
        if (keyMode(mode).encrypted) expect(nonceOf(blob)).toBe(nonce);
      }
    }
  });
  test("sealInto writes the same bytes into the middle of a buffer", () => {
    const data = randomBytes(1000);
    const out = new Uint8Array(2000).fill(0xee);
    const n = sealer.sealInto(data, out, 13, 99);
    expect(Buffer.from(out.subarray(13, 13 + n)).equals(sealer.seal(data, 99))).toBe(true);
    expect(out[12]).toBe(0xee);
    expect(out[13 + n]).toBe(0xee);
    expect(() => sealer.sealInto(data, out, 1000, 99)).toThrow(RangeError);
  });
  test("ids", () => {
    const data = randomBytes(100);
    const id = sealer.idHash(data);
    expect(id.length).toBe(32);
    sealer.checkId(id, data);
    expect(() => sealer.checkId(id, randomBytes(100))).toThrow(IntegrityError);
  });
  test("refuses a wrong type and an empty object", () => {
    const blob = sealer.seal(randomBytes(10), 0);
    blob[0] = 0x77;
    expect(() => sealer.open(blob)).toThrow(IntegrityError);
    expect(() => sealer.open(new Uint8Array(0))).toThrow(IntegrityError);
  });
});

test("decrypting in pieces into the caller's memory gives the same, and nothing that does not verify", () => {
  for (const mode of ["repokey", "keyfile-blake2"] as const) {
    const sealer = new Sealer(material(mode));
    for (const size of [0, 1, 16, 65535, 65536, 65537, 200_001]) {
      const data = randomBytes(size);
      const blob = sealer.seal(data, 2 ** 32 - 3);
      const memory = new Uint8Array(size + 10);
      const opened = sealer.openInto(blob, undefined, (length, head) => {
        expect(length).toBe(size);
        expect(Buffer.compare(head, data.subarray(0, head.length))).toBe(0);
        return memory.subarray(5, 5 + length);
      });
      expect(opened.buffer).toBe(memory.buffer);
      expect(Buffer.compare(opened, data)).toBe(0);
      blob[blob.length - 1]! ^= 1;
      const never = () => expect.unreachable("memory for what is not authentic");
      expect(() => sealer.openInto(blob, undefined, never)).toThrow(IntegrityError);
    }
  }
});

test("every single bit flip behind the type byte fails the MAC", () => {
  for (const mode of ["repokey", "repokey-blake2"] as const) {
    const sealer = new Sealer(material(mode));
    const blob = sealer.seal(randomBytes(40), 3);
    for (let bit = 8; bit < blob.length * 8; bit++) {
      const bad = blob.slice();
      bad[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => sealer.open(bad)).toThrow(IntegrityError);
    }
    for (let length = 0; length < ENVELOPE_SIZE; length++) {
      expect(() => sealer.open(blob.subarray(0, length))).toThrow(IntegrityError);
    }
  }
});

test("the envelope is AES-256-CTR and HMAC-SHA256 over iv and ciphertext", () => {
  const m = material("repokey");
  const data = randomBytes(77);
  const blob = new Sealer(m).seal(data, 258);
  const iv = Buffer.alloc(16);
  iv.writeUInt16BE(258, 14);
  const ct = createCipheriv("aes-256-ctr", m.encKey, iv).update(data);
  const body = Buffer.concat([iv.subarray(8), ct]);
  const mac = createHmac("sha256", m.encHmacKey).update(body).digest();
  expect(Buffer.from(blob).equals(Buffer.concat([Buffer.from([3]), mac, body]))).toBe(true);
});

test("a repokey reads objects of the old passphrase type; nonces out of range are refused", () => {
  const sealer = new Sealer(material("repokey"));
  const blob = sealer.seal(randomBytes(10), 0);
  blob[0] = 1;
  expect(sealer.open(blob).length).toBe(10);
  expect(() => sealer.seal(randomBytes(10), -1)).toThrow(RangeError);
  expect(() => sealer.seal(randomBytes(10), 2 ** 53)).toThrow(RangeError);
  blob.fill(0xff, 33, 41);
  expect(() => nonceOf(blob)).toThrow(IntegrityError);
  expect([0, 1, 16, 17].map(blocksOf)).toEqual([0, 1, 1, 2]);
});

test("keys of a wrong length are refused; with the core and without it the bytes are the same", () => {
  expect(() => new Sealer({ ...material("repokey"), encKey: randomBytes(16) })).toThrow(IntegrityError);
  expect(() => new Sealer({ ...material("repokey-blake2"), encHmacKey: randomBytes(32) })).toThrow(
    IntegrityError,
  );
  const core = loadCore();
  for (const mode of KEY_MODES.map((m) => m.mode)) {
    const m = material(mode);
    const [host, measured] = [new Sealer(m), new Sealer(m, core)];
    // Enough calls that the measured choice comes into force.
    for (let i = 0; i < 300; i++) {
      const data = randomBytes([0, 1, 100, 5000, 30_000][i % 5]!);
      expect(Buffer.from(measured.idHash(data)).equals(host.idHash(data))).toBe(true);
      expect(Buffer.from(measured.seal(data, 9)).equals(host.seal(data, 9))).toBe(true);
      measured.checkId(host.idHash(data), measured.open(host.seal(data, 1)));
    }
  }
});

test("BLAKE2b ids and MACs are those of an independent implementation", () => {
  const m = material("keyfile-blake2");
  const sealer = new Sealer(m);
  const data = randomBytes(1234);
  const oracle = (key: Uint8Array, d: Uint8Array) =>
    Buffer.from(blake2b(Buffer.concat([key, d]), { dkLen: 32 }));
  expect(oracle(m.idKey, data).equals(sealer.idHash(data))).toBe(true);
  const blob = sealer.seal(data, 4);
  expect(oracle(m.encHmacKey, blob.subarray(33)).equals(blob.subarray(1, 33))).toBe(true);
});
