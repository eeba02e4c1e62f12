// The hashers of the pipeline: whatever the choice (core, host, any threshold between), the same bytes come out;
// and the measured choice and the processor benchmark are well-formed.
import { createHash, createHmac } from "node:crypto";
import { blake2b } from "@noble/hashes/blake2.js";
import { describe, expect, it } from "vitest";
import { benchmarkCpu } from "../../../src/core/benchmark.ts";
import { type Choice, choose, wasmOnly } from "../../../src/core/choose.ts";
import { createHasher, type HashKind } from "../../../src/core/hasher.ts";
import * as host from "../../../src/core/host.ts";
import { Core, coreModule } from "../../../src/core/index.ts";
import { nativeCrc32 } from "../../../src/runtime/crc32.ts";
import { bytes, generator } from "./data.ts";

const core = new Core(coreModule());
const key = bytes(32, "random", 1);
const longKey = bytes(128, "random", 2);
const hex = (b: Uint8Array) => Buffer.from(b).toString("hex");

const kinds: [HashKind, (data: Uint8Array) => string][] = [
  [{ type: "sha256" }, (data) => createHash("sha256").update(data).digest("hex")],
  [{ type: "hmac-sha256", key }, (data) => createHmac("sha256", key).update(data).digest("hex")],
  [{ type: "hmac-sha256", key: longKey }, (data) => createHmac("sha256", longKey).update(data).digest("hex")],
  [{ type: "blake2b", key: longKey }, (data) => hex(blake2b(Buffer.concat([longKey, data]), { dkLen: 32 }))],
];

const choices: Choice[] = [
  wasmOnly,
  { sha256HostFrom: 0, hmacHostFrom: 0, crc32: "host" },
  { sha256HostFrom: 1000, hmacHostFrom: 2000, crc32: "wasm" },
  choose(),
];

describe("hashers", () => {
  for (const [i, [kind, expected]] of kinds.entries()) {
    it(`${i}, ${kind.type}: every choice gives the same digests`, () => {
      const next = generator(3);
      const messages = Array.from({ length: 300 }, (_, i) => bytes(next() % 3000, "random", i + 1));
      const table = core.alloc(8 * messages.length);
      const out = core.alloc(32 * messages.length);
      messages.forEach((message, i) => {
        const at = core.alloc(message.length, 1);
        core.u8.set(message, at);
        core.u32[table / 4 + 2 * i] = at;
        core.u32[table / 4 + 2 * i + 1] = message.length;
      });
      const digests = messages.map(expected);
      for (const choice of choices) {
        const hasher = createHasher(core, kind, choice);
        for (const n of [0, 1, 2, 5, 64, 65, 300]) {
          core.u8.fill(0, out, out + 32 * messages.length);
          hasher.many(table, n, out);
          for (let i = 0; i < n; i++) expect(hex(core.view(out + 32 * i, 32))).toBe(digests[i]);
          // The host's way borrows the bytes before a message.
          for (let i = 0; i < n; i++)
            expect(hex(core.view(core.u32[table / 4 + 2 * i]!, messages[i]!.length))).toBe(hex(messages[i]!));
        }
        for (let i = 0; i < 20; i++) expect(hex(hasher.one(messages[i]!))).toBe(digests[i]);
      }
    });
  }

  it("keeps two keys apart", () => {
    const [a, b] = [bytes(32, "random", 10), bytes(32, "random", 11)];
    const [first, second] = [a, b].map((k) => createHasher(core, { type: "hmac-sha256", key: k }, wasmOnly));
    const data = bytes(100, "text", 1);
    for (const [hasher, k] of [
      [first!, a],
      [second!, b],
      [first!, a],
    ] as const) {
      expect(hex(hasher.one(data))).toBe(createHmac("sha256", k).update(data).digest("hex"));
    }
  });
});

describe("choice", () => {
  it("is plain data, remembered, and can be handed on", () => {
    const choice = choose();
    expect(structuredClone(choice)).toEqual(choice);
    expect(choose()).toBe(choice);
    for (const from of [choice.sha256HostFrom, choice.hmacHostFrom])
      if (from !== null) expect(from).toBeGreaterThan(0);
  });
});

describe("host primitives", () => {
  it("agree with the core and come back", () => {
    const data = bytes(10_000, "text", 4);
    expect(hex(host.sha256(data))).toBe(hex(core.sha256(data)));
    expect(hex(host.hmacSha256(host.hmacKey(key), data))).toBe(hex(core.hmacSha256(key, data)));
    expect(hex(host.hmacSha256(host.hmacKey(new Uint8Array(0)), data))).toBe(
      hex(core.hmacSha256(new Uint8Array(0), data)),
    );
    const iv = bytes(16, "random", 1);
    expect(hex(host.aes256ctr(key, iv, host.aes256ctr(key, iv, data)))).toBe(hex(data));
    if (nativeCrc32) expect(nativeCrc32(data)).toBe(core.crc32Bytes(data));
    for (const codec of [host.zlibCodec, host.zstdCodec()]) {
      if (!codec) continue;
      const blob = codec.compress(data, 6);
      expect(hex(codec.decompress(blob, data.length))).toBe(hex(data));
      expect(() => codec.decompress(blob, data.length - 1)).toThrow();
      expect(hex(codec.decompress(codec.compress(new Uint8Array(0), 1), 0))).toBe("");
    }
  });
});

describe("processor benchmark", () => {
  it("gives a figure for every implementation and says which is used", () => {
    const results = benchmarkCpu({ seconds: 0.001, choice: wasmOnly });
    expect(results.length).toBeGreaterThan(15);
    for (const result of results) expect(result.mbPerSecond).toBeGreaterThan(0);
    for (const primitive of new Set(results.map((r) => `${r.primitive} ${r.on}`))) {
      expect(results.filter((r) => `${r.primitive} ${r.on}` === primitive && r.used).length, primitive).toBe(
        1,
      );
    }
    const blake = results.filter((r) => r.primitive === "BLAKE2b-256" && r.on === "1 MiB messages");
    expect(blake.map((r) => r.variant).sort()).toEqual(["3 at once", "3c at once", "5 at once"]);
    expect(results.find((r) => r.primitive === "SHA-256" && r.used)?.implementation).toBe("wasm");
  });
});
