// The cache directory between real borg and us: each goes on with what the other left, without a sync and without
// reading a file again; and our sync counts what borg's counts.
import { randomBytes } from "node:crypto";
import {
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { Cache } from "../../src/cache/cache.ts";
import { ChunkIndex } from "../../src/cache/chunks.ts";
import { type FileStamp, ID_STRIDE, UNCHANGED, UNKNOWN } from "../../src/cache/files.ts";
import { parseFilesCacheMode } from "../../src/cache/files-mode.ts";
import { SecurityManager } from "../../src/cache/security.ts";
import type { SyncSource } from "../../src/cache/sync.ts";
import { type Key, openKey } from "../../src/crypto/keys.ts";
import {
  EncryptionMethodMismatch,
  RepositoryAccessAborted,
  RepositoryIDNotUnique,
  RepositoryReplay,
} from "../../src/errors.ts";
import { fromHex, fsEncode, toHex } from "../../src/format/bytes.ts";
import { PosixStorage } from "../../src/storage/posix.ts";
import { Home, OPEN, type TestRepository } from "./keys-support.ts";

const home = new Home();
afterAll(() => home.destroy());

const MODE = parseFilesCacheMode("ctime,size,inode");

function stamp(path: string): FileStamp {
  const st = lstatSync(path, { bigint: true });
  const split = (ns: bigint) => [Number(ns / 1_000_000_000n), Number(ns % 1_000_000_000n)] as const;
  const [mtimeSec, mtimeNsec] = split(st.mtimeNs);
  const [ctimeSec, ctimeNsec] = split(st.ctimeNs);
  return { size: Number(st.size), ino: st.ino, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec };
}

function tree(name: string, files: number): string {
  const dir = join(home.dir, name);
  mkdirSync(dir);
  for (let i = 0; i < files; i++) writeFileSync(join(dir, `file${i}`), randomBytes(100 + i * 700));
  // Larger than a chunk, so that there are lists of several.
  writeFileSync(join(dir, "big"), randomBytes(9 << 20));
  writeFileSync(join(dir, "same"), readFileSync(join(dir, "file1")));
  return dir;
}

/** A file that is newer, by more than the clock's granularity: borg leaves files as new as the newest out of its cache. */
function newerFile(name: string): string {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  const path = join(home.dir, `${name}-newer`);
  writeFileSync(path, name);
  return path;
}

/** A backup by borg of a tree and of something newer. */
function backup(repository: TestRepository, archive: string, dir: string): void {
  const newest = newerFile(archive);
  home.borg(["create", `${repository.canonicalPath}::${archive}`, dir, newest]);
}

interface State {
  key: Key;
  manifest: { id: Uint8Array; timestamp: string };
  archives: { id: Uint8Array; name: string }[];
  count: number;
}

async function state(repository: TestRepository, mode = "repokey"): Promise<State> {
  const key = await openKey(repository, repository.manifest(), home.environment());
  const script = `${OPEN}
d = key.decrypt(None, mdata); m = msgpack.unpackb(d)
r['id'] = x(key.id_hash(d)); r['ts'] = m[b'timestamp'].decode(); r['count'] = len(repo)
r['archives'] = [[k.decode(), x(v[b'id'])] for k, v in m[b'archives'].items()]`;
  const got = home.python(script, { path: repository.canonicalPath, mode }) as unknown as {
    id: string;
    ts: string;
    count: number;
    archives: [string, string][];
  };
  return {
    key,
    manifest: { id: fromHex(got.id), timestamp: got.ts },
    archives: got.archives.map(([name, id]) => ({ name, id: fromHex(id) })),
    count: got.count,
  };
}

function source(repository: TestRepository, s: State): SyncSource {
  const objects = (ids: readonly Uint8Array[]) =>
    home.python(
      `${OPEN}\nr['o'] = [[len(repo.get(unhexlify(i))), x(key.decrypt(None, repo.get(unhexlify(i))))] for i in a['ids']]`,
      {
        path: repository.canonicalPath,
        ids: ids.map(toHex),
      },
    )["o"] as unknown as [number, string][];
  return {
    archives: s.archives,
    objectCount: s.count,
    async *plain(ids) {
      for (const [csize, data] of objects(ids)) yield { csize, data: fromHex(data) };
    },
    async *storedSizes(ids) {
      for (const [csize] of objects(ids)) yield csize;
    },
    unpackArchive: (data) => s.key.unpackAndVerifyArchive(data, { forceNotRequired: true }),
  };
}

function content(index: ChunkIndex): Map<string, string> {
  const map = new Map<string, string>();
  const words = index.index;
  for (let slot = words.next(-1); slot >= 0; slot = words.next(slot)) {
    map.set(toHex(words.key(slot)), JSON.stringify(index.entry(slot)));
  }
  return map;
}

const listed = (repository: TestRepository, archive: string, dir: string): Record<string, string> => {
  const newest = newerFile(archive);
  const result = home.borgErr([
    "create",
    "--list",
    "--filter=AMUEC",
    `${repository.canonicalPath}::${archive}`,
    dir,
    newest,
  ]);
  const statuses: Record<string, string> = {};
  for (const line of result.split("\n"))
    if (/^[A-Z] /.test(line)) statuses[`/${line.slice(2)}`.replace("//", "/")] = line[0]!;
  return statuses;
};

describe.each(["none", "repokey", "keyfile-blake2"])("%s", (mode) => {
  test("we go on with borg's cache, and borg with ours, without reading a file", async () => {
    const repository = home.init(mode, `cache-${mode}`);
    const dir = tree(`tree-${mode}`, 20);
    backup(repository, "one", dir);
    const s = await state(repository);
    const cache = await Cache.open(home.environment(), repository, s.key, s.manifest, {
      filesMode: MODE,
      source: () => {
        throw new Error("no sync is needed");
      },
    });
    const names = readdirSync(dir).map((name) => join(dir, name));
    for (const path of names) {
      expect([path, cache.files!.lookup(s.key.idHash(fsEncode(path)), 0, stamp(path))]).toEqual([
        path,
        UNCHANGED,
      ]);
      let size = 0;
      for (let i = 0; i < cache.files!.chunkCount; i++) {
        const slot = cache.chunks.incref(cache.files!.buffer, cache.files!.chunkOffset + i * ID_STRIDE);
        size += cache.chunks.entry(slot).size;
        cache.chunks.decref(cache.files!.buffer, cache.files!.chunkOffset + i * ID_STRIDE);
      }
      expect(size).toBe(lstatSync(path).size);
    }
    expect(cache.files!.lookup(s.key.idHash(fsEncode("/no/such/file")), 0, stamp(names[0]!))).toBe(UNKNOWN);
    const info = JSON.parse(
      home.borg(["info", "--json", repository.canonicalPath], {
        env: { BORG_CACHE_DIR: join(home.dir, "other") },
      }),
    );
    const summary = cache.chunks.summarize();
    expect(summary.uniqueCsize).toBe(info.cache.stats.unique_csize);
    expect(summary.totalChunks).toBe(info.cache.stats.total_chunks);
    cache.beginTxn();
    cache.commit(s.manifest);
    cache.close();
    const statuses = listed(repository, "two", dir);
    for (const path of names) expect([path, statuses[path]]).toEqual([path, "U"]);
    rmSync(join(home.dir, "other"), { recursive: true });
  });
});

test("a sync counts what borg's counts, and fills chunks.archive.d as borg does", async () => {
  const repository = home.init("repokey", "sync");
  const dir = tree("sync-tree", 12);
  backup(repository, "a1", dir);
  writeFileSync(join(dir, "more"), randomBytes(50_000));
  backup(repository, "a2", dir);
  const s = await state(repository);
  const cacheDir = join(home.dir, ".cache/borg", repository.idHex);
  const files = new PosixStorage(cacheDir);
  const borgs = content(ChunkIndex.load(files, "chunks", undefined));
  const ours = { BORG_CACHE_DIR: join(home.dir, "our-cache") };
  const open = () =>
    Cache.open(home.environment(ours), repository, s.key, s.manifest, {
      source: () => source(repository, s),
      filesMode: MODE,
    });
  const cache = await open();
  expect(content(cache.chunks)).toEqual(borgs);
  cache.close();
  // borg takes it as it is: in step, whole, and with archive indexes it merges into the same again.
  const info = (env: Record<string, string>) =>
    JSON.parse(home.borg(["info", "--json", repository.canonicalPath], { env })).cache.stats;
  const expected = info({});
  expect(info(ours)).toEqual(expected);
  const oursDir = join(ours.BORG_CACHE_DIR, repository.idHex);
  const kept = readdirSync(join(oursDir, "chunks.archive.d"));
  expect(kept.filter((n) => n.endsWith(".compact")).length).toBe(2);
  expect(kept.length).toBe(4);
  const config = join(oursDir, "config");
  writeFileSync(
    config,
    readFileSync(config, "utf8").replaceAll(/^manifest = .*$/gm, `manifest = ${"0".repeat(64)}`),
  );
  rmSync(join(home.dir, ".cache"), { recursive: true });
  const borgLog = home.borgErr(["info", "-v", repository.canonicalPath], ours);
  expect(borgLog).toContain("w/ cached Idx: 2");
  expect(borgLog).not.toContain("Fetching and building");
  expect(content(ChunkIndex.load(new PosixStorage(oursDir), "chunks", undefined))).toEqual(borgs);
  // and we merge borg's
  writeFileSync(
    config,
    readFileSync(config, "utf8").replaceAll(/^manifest = .*$/gm, `manifest = ${"0".repeat(64)}`),
  );
  const again = await Cache.open(home.environment(ours), repository, s.key, s.manifest, {
    source: () => ({
      ...source(repository, s),
      plain: () => {
        throw new Error("nothing is to be fetched");
      },
    }),
  });
  expect(content(again.chunks)).toEqual(borgs);
  again.close();
});

test("what a crash left behind is rolled back, ours by borg and borg's by us; damage is found and repaired", async () => {
  const repository = home.init("repokey", "crash");
  const dir = tree("crash-tree", 5);
  backup(repository, "a1", dir);
  const s = await state(repository);
  const cacheDir = join(home.dir, ".cache/borg", repository.idHex);
  const snapshot = () => {
    mkdirSync(join(cacheDir, "txn.active"));
    for (const name of ["config", "chunks", "files"])
      copyFileSync(join(cacheDir, name), join(cacheDir, "txn.active", name));
    writeFileSync(join(cacheDir, "chunks"), "half a file");
    writeFileSync(join(cacheDir, "files"), "");
  };
  const options = { filesMode: MODE, source: () => source(repository, s) };
  const before = readFileSync(join(cacheDir, "chunks"));
  snapshot();
  const cache = await Cache.open(home.environment(), repository, s.key, s.manifest, options);
  expect(readFileSync(join(cacheDir, "chunks")).equals(before)).toBe(true);
  expect(cache.files!.size).toBeGreaterThan(5);
  cache.close();
  writeFileSync(join(cacheDir, "chunks"), before.subarray(0, before.length - 1));
  const wiped = await Cache.open(home.environment(), repository, s.key, s.manifest, options);
  const expected = content(ChunkIndex.load(new PosixStorage(cacheDir), "chunks", undefined));
  expect(content(wiped.chunks)).toEqual(expected);
  expect(wiped.chunks.size).toBeGreaterThan(8);
  wiped.close();
  home.borg(["check", repository.canonicalPath]);
  listed(repository, "after", dir);
});

test("security directory: borg and we warn of the same things", async () => {
  const repository = home.init("repokey", "secure");
  const s = await state(repository);
  const e = home.environment();
  const manager = new SecurityManager(repository, e);
  await manager.assertSecure(s.manifest, s.key);
  const older = { ...s.manifest, timestamp: "2001-01-01T00:00:00.000000" };
  await expect(manager.assertSecure(older, s.key)).rejects.toThrow(RepositoryReplay);
  const plain = { info: { ...s.key.info, mode: "none" as const, type: 2 }, logicallyEncrypted: true };
  await expect(manager.assertSecure(s.manifest, plain)).rejects.toThrow(EncryptionMethodMismatch);
  expect(() => manager.assertNoReplay(older, plain)).toThrow(RepositoryIDNotUnique);
  const moved = { idHex: repository.idHex, canonicalPath: "/elsewhere" };
  await expect(new SecurityManager(moved, e).assertSecure(s.manifest, s.key)).rejects.toThrow(
    RepositoryAccessAborted,
  );
  const allowed = home.environment({ BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes" });
  await new SecurityManager(moved, allowed).assertSecure(s.manifest, s.key);
  // borg now finds it moved back
  expect(() => home.borg(["list", repository.canonicalPath])).toThrow(/previously located at \/elsewhere/);
});
