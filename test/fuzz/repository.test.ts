// Hostile files of a repository, in memory: segments, index, hints, integrity, config and nonce, each changed from a seed
// and then used in every way (open, list, get, scan, check, put, commit with compaction, repair). What is read is what was
// stored under that id, or an AlcoveError; after a repair the repository is whole. The decoders alone take many more.
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AlcoveError } from "../../src/errors.ts";
import { readIndex } from "../../src/repository/auxiliary.ts";
import { RepositoryConfig } from "../../src/repository/config.ts";
import { decodeHints } from "../../src/repository/hints.ts";
import { parseDigests } from "../../src/repository/integrity.ts";
import { LocalRepository } from "../../src/repository/local.ts";
import { readNonce } from "../../src/repository/nonce.ts";
import { entryData, entryId, segmentEntries } from "../../src/repository/reader.ts";
import { Segments } from "../../src/repository/segments.ts";
import { BASE, emptyDisk, removeLocks } from "../fault/life.ts";
import { type Disk, fileNode, MemoryStorage } from "../fault/memory-storage.ts";
import { counted, fuzz, RUNS } from "./mutate.ts";

const REPO = `${BASE}/repo`;
const key = (n: number) => new Uint8Array(createHash("sha256").update(String(n)).digest());
const value = (n: number) => new Uint8Array(50 + n).fill(n);
const COUNT = 30;

let disk: Disk;
let names: string[];
beforeAll(async () => {
  disk = emptyDisk();
  const open = (create: boolean) =>
    LocalRepository.open(REPO, { create, exclusive: true, storage: new MemoryStorage(disk, REPO) });
  const made = await open(true);
  made.config.ini.set("repository", "max_segment_size", 1500);
  made.saveConfig();
  await made.close();
  const r = await open(false);
  for (let n = 0; n < COUNT; n++) await r.put(key(n), value(n));
  await r.commit();
  for (let n = 0; n < 10; n++) await r.delete(key(n));
  await r.commitNonceReservation(5000, undefined);
  await r.commit();
  await r.close();
  names = [...disk.entries].filter(([, e]) => e !== "dir").map(([p]) => p.slice(REPO.length + 1));
});
afterAll(() => console.info(`${counted.cases} cases, ${counted.accepted} accepted`));

const bytesOf = (name: string): Uint8Array => new MemoryStorage(disk, REPO).read(name);

function changed(name: string, bytes: Uint8Array): Disk {
  const other = disk.clone();
  other.entries.set(`${REPO}/${name}`, fileNode(bytes.slice()));
  return other;
}

async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof AlcoveError)) throw error;
    return undefined;
  }
}

/** Uses a repository in every way; AlcoveErrors are fine, other data than was stored is not. */
async function useAll(disk: Disk): Promise<void> {
  const open = () =>
    LocalRepository.open(REPO, { exclusive: true, lockWait: 0, storage: new MemoryStorage(disk, REPO) });
  const readAll = async (r: LocalRepository) => {
    for (let n = 0; n < COUNT; n++) {
      const data = await attempt(() => r.get(key(n)));
      if (data) expect(data).toEqual(value(n));
    }
  };
  await attempt(async () => {
    const r = await open();
    try {
      await attempt(() => r.list());
      await attempt(() => r.scan());
      await readAll(r);
      await attempt(() => r.getFreeNonce());
      await attempt(() => r.check());
      await attempt(() => r.put(key(100), value(100)));
      await attempt(() => r.commit({ compact: true, threshold: 0 }));
      await attempt(() => r.check({ repair: true }));
      await readAll(r);
      expect(await attempt(() => r.check()), "check after repair").not.toBe(false);
    } finally {
      await r.close();
    }
  });
}

describe("used in every way", () => {
  it.each([
    ["segments", /^data\//],
    ["index", /^index\./],
    ["hints", /^hints\./],
    ["integrity", /^integrity\./],
    ["config", /^config$/],
    ["nonce", /^nonce$/],
  ])("%s", async (kind, pattern) => {
    const of = names.filter((n) => pattern.test(n));
    expect(of.length).toBeGreaterThan(0);
    const samples = of.map(bytesOf);
    await fuzz(
      kind,
      samples,
      async (bytes, random) => {
        const other = changed(random.pick(of), bytes);
        removeLocks(other);
        await useAll(other);
      },
      Math.ceil(RUNS / 10),
    );
  });
});

describe("decoded", () => {
  it("segments", async () => {
    const of = names.filter((n) => n.startsWith("data/"));
    const known = new Map(
      Array.from({ length: COUNT }, (_, n) => [Buffer.from(key(n)).toString("hex"), value(n)]),
    );
    await fuzz("segment", of.map(bytesOf), (bytes) => {
      const other = emptyDisk();
      other.mkdirs(`${REPO}/data/0`);
      other.entries.set(`${REPO}/data/0/7`, fileNode(bytes));
      let entries = 0;
      for (const entry of segmentEntries(new Segments(new MemoryStorage(other, REPO), 1000), 7)) {
        // A CRC is no proof, but no accident passes it here.
        if (entry.tag === 0)
          expect(entryData(entry)).toEqual(known.get(Buffer.from(entryId(entry)).toString("hex")));
        expect(++entries).toBeLessThan(10_000);
      }
    });
  });

  it("hints, index, integrity, config, nonce", async () => {
    const of = (prefix: string) => names.find((n) => n.startsWith(prefix))!;
    await fuzz("hints", [bytesOf(of("hints."))], (bytes) => decodeHints(bytes));
    const index = of("index.");
    const transaction = Number(index.slice(6));
    const log = () => {};
    await fuzz("index", [bytesOf(index)], (bytes, random) => {
      const other = changed(index, bytes);
      // Without its digest, which would catch nearly all.
      if (random.below(4) > 0) other.entries.delete(`${REPO}/${of("integrity.")}`);
      try {
        const read = readIndex(new MemoryStorage(other, REPO), transaction, log);
        for (let n = 0; n < COUNT; n++) read.find(key(n));
        let entries = 0;
        for (let slot = read.next(-1); slot >= 0; slot = read.next(slot)) expect(++entries).toBeLessThan(1e6);
      } catch (e) {
        if ((e as Error).constructor.name !== "AuxiliaryDamaged") throw e;
      }
    });
    await fuzz(
      "integrity",
      [Buffer.from('{"algorithm": "XXH64", "digests": {"final": "0123456789abcdef"}}')],
      (b) => parseDigests("integrity.1", Buffer.from(b).toString("latin1")),
    );
    await fuzz("config", [bytesOf("config")], (bytes) =>
      RepositoryConfig.load(new MemoryStorage(changed("config", bytes), REPO)),
    );
    await fuzz("nonce", [bytesOf("nonce")], (bytes) => {
      const nonce = readNonce(new MemoryStorage(changed("nonce", bytes), REPO));
      expect(nonce === undefined || Number.isSafeInteger(nonce)).toBe(true);
    });
  });
});
