// Two messages at once by OpenSSL's function give what node:crypto gives for each.
import { createHash, createHmac, randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NativeSha256, nativeSha256, runtime } from "../../../src/runtime/index.ts";
import { PLAIN_START } from "../../../src/runtime/native-sha256.ts";

it("is there at most where OpenSSL has the function", () => {
  if (nativeSha256()) expect([runtime.name, runtime.arch]).toEqual(["node", "x64"]);
});

describe.runIf(nativeSha256())("SHA-256 of several messages", () => {
  const sha = nativeSha256()!;
  const memory = randomBytes(300_000);

  it("is right for any lengths, with and without a key", () => {
    const length = fc.oneof(fc.nat(130), fc.nat(5000), fc.nat(100_000));
    const message = fc.tuple(fc.nat(200_000), length);
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 40 }),
        fc.option(fc.uint8Array({ maxLength: 200 }), { nil: undefined }),
        fc.nat(9),
        (messages, key, skip) => {
          const part = memory.subarray(skip);
          const start = key ? sha.hmacStart(key) : PLAIN_START;
          const offsets = Uint32Array.from(messages, ([at]) => at);
          const lengths = Uint32Array.from(messages, ([, n]) => Math.min(n, 90_000));
          sha.many(part, offsets, lengths, messages.length, start);
          for (let i = 0; i < messages.length; i++) {
            const hash = key ? createHmac("sha256", key) : createHash("sha256");
            const expected = hash.update(part.subarray(offsets[i]!, offsets[i]! + lengths[i]!)).digest();
            expect(expected.equals(sha.digests.subarray(32 * i, 32 * i + 32))).toBe(true);
          }
        },
      ),
    );
  });

  it("counts the bits of messages above 512 MiB", () => {
    const large = new Uint8Array(0x2000_0040);
    large[5] = 1;
    sha.many(large, Uint32Array.of(0, 3), Uint32Array.of(large.length, 100), 2, PLAIN_START);
    expect(Buffer.from(sha.digests.subarray(0, 32))).toEqual(createHash("sha256").update(large).digest());
    expect(Buffer.from(sha.digests.subarray(32, 64))).toEqual(
      createHash("sha256").update(large.subarray(3, 103)).digest(),
    );
  });

  it("refuses what is not within the memory", () => {
    const small = new Uint8Array(100);
    const many = (at: number, n: number) =>
      sha.many(small, Uint32Array.of(at), Uint32Array.of(n), 1, PLAIN_START);
    expect(() => many(0, 101)).toThrow(RangeError);
    expect(() => many(101, 0)).toThrow(RangeError);
    expect(() => many(0xffffffff, 1)).toThrow(RangeError);
    const none = new Uint32Array(NativeSha256.MOST + 1);
    expect(() => sha.many(small, none, none, none.length, PLAIN_START)).toThrow(RangeError);
  });
});
