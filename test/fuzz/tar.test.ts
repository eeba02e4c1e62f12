// Hostile tar streams: read member by member, and imported as an archive. Samples of every dialect are mutated from a seed;
// some get their header's checksum put right again, so that it is not the checksum that refuses them all. Whatever is
// imported is an archive that can be read back, with safe paths.
import { spawnSync } from "node:child_process";
import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Archive } from "../../src/archive/archive.ts";
import { ChunkStore } from "../../src/archive/chunk-store.ts";
import { openCache, openManifest } from "../../src/archive/session.ts";
import { Statistics } from "../../src/archive/stats.ts";
import { importTar } from "../../src/archive/tar-import.ts";
import { ArchiveWriter } from "../../src/archive/writer.ts";
import { parseChunkerParams } from "../../src/chunker/index.ts";
import { TarReader } from "../../src/format/tar.ts";
import { emptyDisk, worldOn } from "../fault/life.ts";
import type { Seeded } from "../fault/seeded.ts";
import { counted, fuzz, RUNS } from "./mutate.ts";

let dir: string;
let samples: Uint8Array[];
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "alcove-fuzz-tar-"));
  mkdirSync(join(dir, "t", "d"), { recursive: true });
  writeFileSync(join(dir, "t", "file"), "contents ".repeat(60));
  writeFileSync(join(dir, "t", "d", `${"long".repeat(30)}-é`), "x");
  symlinkSync("file", join(dir, "t", "link"));
  symlinkSync("../".repeat(40), join(dir, "t", "far"));
  linkSync(join(dir, "t", "file"), join(dir, "t", "hard"));
  chmodSync(join(dir, "t", "file"), 0o4755);
  const make = (format: string) => {
    const args = [`--format=${format}`, "-b", "1", "--sort=name", "-c", "-C", dir, "t"];
    return new Uint8Array(spawnSync("tar", args, { maxBuffer: 1 << 28 }).stdout);
  };
  samples = ["gnu", "pax", "ustar", "v7"].map(make).filter((b) => b.length > 1024);
  expect(samples.length).toBeGreaterThan(2);
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
  console.info(`${counted.cases} cases, ${counted.accepted} accepted`);
});

/** Puts the checksum of every header-like block right, in most cases. */
function checksummed(bytes: Uint8Array, random: Seeded): Uint8Array {
  if (random.below(4) === 0) return bytes;
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    const block = bytes.subarray(at, at + 512);
    // Where a checksum's digits and their end were, there was a header.
    if (block[154] !== 0 || block[148]! < 48 || block[148]! > 55) continue;
    block.fill(32, 148, 156);
    const sum = block.reduce((a, b) => a + b, 0);
    block.set(Buffer.from(`${sum.toString(8).padStart(6, "0")}\0 `, "latin1"), 148);
  }
  return bytes;
}

async function* pieces(bytes: Uint8Array, random: Seeded) {
  const cut = random.below(bytes.length + 1);
  yield bytes.slice(0, cut);
  yield bytes.slice(cut);
}

it("read", async () => {
  let members = 0;
  await fuzz("tar", samples, async (mutated, random) => {
    const bytes = checksummed(mutated, random);
    const reader = new TarReader(pieces(bytes, random), { ignoreZeros: random.below(2) === 1 });
    let entries = 0;
    for (let entry = await reader.next(); entry; entry = await reader.next()) {
      expect(++entries).toBeLessThan(1000);
      members++;
    }
  });
  expect(members).toBeGreaterThan(RUNS / 2);
});

it("imported", { timeout: 3_600_000 }, async () => {
  const world = worldOn(emptyDisk(), "secret");
  await world.make(1_000_000, 1000);
  await world.init("none");
  let items = 0;
  await world.open(async ({ repository, environment }) => {
    const manifest = await openManifest(repository, environment, { operations: ["write"] });
    const cache = await openCache(manifest, environment, { lockWait: 0 });
    try {
      cache.beginTxn();
      const chunker = parseChunkerParams("buzhash,10,16,12,4095");
      let n = 0;
      await fuzz("tar import", samples, async (mutated, random) => {
        const store = new ChunkStore(manifest.objects, cache.chunks.index, new Statistics());
        const name = `tar-${n++}`;
        const writer = new ArchiveWriter({
          manifest,
          store,
          name,
          identity: { cmdline: ["test"], cwd: "/", hostname: "host", username: "user" },
          chunkerParams: ["buzhash", 10, 16, 12, 4095],
          commitCache: async () => {},
        });
        const bytes = checksummed(mutated, random);
        await importTar(writer, pieces(bytes, random), { chunker, ignoreZeros: random.below(2) === 1 });
        // Saving commits, which is most of the time; the items have been through the encoder anyway.
        if (random.below(20) > 0) return;
        await writer.save({ comment: "" });
        for await (const item of (await Archive.open(manifest, name)).items()) {
          items++;
          expect(item.path).not.toMatch(/^\/|(^|\/)\.\.(\/|$)/);
          for await (const data of manifest.objects.getMany((item.chunks ?? []).map((c) => c.id)))
            expect(data.length).toBeGreaterThan(0);
        }
      });
    } finally {
      cache.close();
    }
  });
  expect(items).toBeGreaterThan(20);
});
