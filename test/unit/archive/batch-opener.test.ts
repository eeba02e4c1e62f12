// Objects opened in batches against the same objects opened alone, in every key mode and with every codec; and that
// nothing damaged is ever given out.
import { expect, test } from "vitest";
import { BatchOpener } from "../../../src/archive/batch-opener.ts";
import { createCompressor, parseCompression, prepareCodecs } from "../../../src/compress/index.ts";
import { loadCore } from "../../../src/core/index.ts";
import { blocksOf, type KeyMaterial, Sealer } from "../../../src/crypto/material.ts";
import { type KeyMode, keyMode } from "../../../src/crypto/modes.ts";
import { seeded } from "../../fault/seeded.ts";

const modes: KeyMode[] = ["none", "repokey", "keyfile-blake2", "authenticated", "authenticated-blake2"];

function materialOf(mode: KeyMode): KeyMaterial {
  const r = seeded(7);
  const long = keyMode(mode).idHash === "blake2b" ? 128 : 32;
  return { mode, encKey: r.bytes(32), encHmacKey: r.bytes(long), idKey: r.bytes(long), chunkSeed: 0 };
}

for (const mode of modes) {
  test(`${mode}: the same data as one at a time, and nothing that is damaged`, async () => {
    await prepareCodecs("all");
    const core = await loadCore();
    const r = seeded(11);
    const material = materialOf(mode);
    const sealer = new Sealer(material, core);
    const opener = new BatchOpener(material, core);
    const codecs = ["none", "lz4", "zstd,3", "zlib,1"].map((c) =>
      createCompressor(parseCompression(c), core),
    );
    let nonce = 1000;
    const data: Uint8Array[] = [];
    const ids: Uint8Array[] = [];
    const blobs: Uint8Array[] = [];
    for (let i = 0; i < 300; i++) {
      const word = r.bytes(1 + r.below(40));
      const size = i % 50 === 0 ? r.below(700_000) : r.below(12_000);
      const plain = Uint8Array.from(
        { length: size },
        (_, k) => word[k % word.length]! ^ (r.below(30) ? 0 : 1),
      );
      const codec = r.below(3) ? 1 : r.below(codecs.length);
      const packed = codecs[codec]!.compress(plain);
      data.push(plain);
      ids.push(sealer.idHash(plain));
      blobs.push(sealer.seal(packed, nonce));
      nonce += blocksOf(packed.length) + (r.below(4) ? 0 : 3); // gaps, as from several writers
    }
    let opened = 0;
    opener.open(ids, blobs).forEach((found, i) => {
      if (!found) return;
      opened++;
      expect(Buffer.compare(found, data[i]!)).toBe(0);
    });
    expect(opened).toBeGreaterThan(0.9 * data.length);

    // One bit of each third object, a missing object here and there, ids of others.
    const damaged = blobs.map((blob, i) => {
      if (i % 3 || blob.length < 2) return blob;
      const copy = blob.slice();
      const at = r.below(copy.length);
      copy[at] = copy[at]! ^ (1 << r.below(8));
      return copy;
    });
    const given = damaged.map((blob, i) => (i % 17 === 1 ? undefined : blob));
    const wrong = ids.map((id, i) => (i % 19 === 2 ? ids[i - 1]! : id));
    const found = opener.open(wrong, given);
    for (let i = 0; i < found.length; i++) {
      const one = found[i];
      if (i % 17 === 1) expect(one).toBe(undefined);
      else if (one && i % 19 === 2) expect(Buffer.compare(one, data[i - 1]!)).toBe(0);
      else if (one) expect(Buffer.compare(one, data[i]!)).toBe(0);
    }
  });
}
