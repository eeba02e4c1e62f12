// The cache as a whole, without a repository: transactions that end at every possible point, wiping, features.
import { randomBytes } from "node:crypto";
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Cache, type CacheOptions } from "../../../src/cache/cache.ts";
import { localEnvironment } from "../../../src/cache/dirs.ts";
import { parseFilesCacheMode } from "../../../src/cache/files-mode.ts";
import { silentPrompter } from "../../../src/crypto/environment.ts";
import { keyMode } from "../../../src/crypto/modes.ts";
import { CacheInitAborted } from "../../../src/errors.ts";
import { PosixStorage } from "../../../src/storage/posix.ts";
import type { Storage } from "../../../src/storage/types.ts";
import { temporaryDir } from "../crypto/support.ts";

const repository = { idHex: "ab".repeat(32), canonicalPath: "/backup/repo" };
const key = { info: keyMode("repokey"), logicallyEncrypted: true };
const manifest = (n: number) => ({
  id: new Uint8Array(32).fill(n),
  timestamp: `2026-01-0${n}T00:00:00.000000`,
});
const filesMode = parseFilesCacheMode("ctime,size,inode");
const st = { size: 1, ino: 1, mtimeSec: 1, mtimeNsec: 0, ctimeSec: 1, ctimeNsec: 0 };

class Killed extends Error {}

/** A storage that dies before the nth change. */
function mortal(root: string, state: { left: number }): Storage {
  const changes = ["writeAtomic", "openWrite", "mkdir", "rmdir", "rename", "unlink"];
  return new Proxy(new PosixStorage(root), {
    get(target, name, receiver) {
      const value = Reflect.get(target, name, receiver) as unknown;
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        if (changes.includes(String(name)) && state.left-- <= 0) throw new Killed();
        return Reflect.apply(value, target, args);
      };
    },
  });
}

function environment(dir: string, state = { left: Number.POSITIVE_INFINITY }) {
  const warnings: string[] = [];
  const env = { BORG_BASE_DIR: dir };
  const e = localEnvironment(env, {
    prompter: silentPrompter(env),
    storage: (root) => mortal(root, state),
    log: (level, message) => void (level === "warning" && warnings.push(message)),
  });
  return { ...e, warnings };
}

const open = (e: ReturnType<typeof environment>, n: number, options: CacheOptions = {}) =>
  Cache.open(e, repository, key, manifest(n), { filesMode, ...options });

const ids = [randomBytes(32), randomBytes(32)] as const;

/** A cache in step with manifest 1, one chunk in it. */
async function prepared(): Promise<string> {
  const dir = temporaryDir();
  const cache = await open(environment(dir), 1);
  cache.beginTxn();
  cache.chunks.add(ids[0], 0, 1, 10, 5);
  cache.files!.memorize(ids[0], 0, st, ids[0], 1);
  cache.files!.memorize(ids[1], 0, { ...st, ctimeSec: 5 }, ids[0], 1);
  cache.commit(manifest(1));
  cache.close();
  return dir;
}

test("a commit that dies at any point leaves the old state or the new one, never a mixture", async () => {
  const template = await prepared();
  const outcomes = new Set<string>();
  for (let n = 0; ; n++) {
    const dir = temporaryDir();
    cpSync(template, dir, { recursive: true });
    const state = { left: Number.POSITIVE_INFINITY };
    const dying = await open(environment(dir, state), 2);
    dying.beginTxn();
    dying.chunks.add(ids[1], 0, 1, 20, 6);
    state.left = n;
    let survived = false;
    try {
      dying.commit(manifest(2));
      survived = true;
    } catch (error) {
      expect(error).toBeInstanceOf(Killed);
    }
    // The lock of this process stays, as a killed one's would.
    state.left = Number.POSITIVE_INFINITY;
    dying.close();
    const after = environment(dir);
    const cache = await open(after, 2);
    expect(after.warnings).toEqual([]);
    expect(cache.chunks.seen(ids[0])).toBe(1);
    expect(cache.files!.size).toBe(1);
    const found = `${cache.config.manifestId.slice(0, 2)} ${cache.chunks.seen(ids[1])}`;
    expect(["01 0", "02 1"]).toContain(found);
    outcomes.add(found);
    for (const left of ["txn.tmp", "txn.active"]) expect(existsSync(join(cache.path, left))).toBe(false);
    cache.close();
    if (survived) break;
    expect(n).toBeLessThan(100);
  }
  expect(outcomes.size).toBe(2);
});

test("nothing is written without a transaction", async () => {
  const dir = await prepared();
  const e = environment(dir);
  const cache = await open(e, 1);
  const before = readFileSync(join(cache.path, "config"), "utf8");
  cache.chunks.add(ids[1], 0, 1, 1, 1);
  cache.commit(manifest(3));
  cache.close();
  expect(readFileSync(join(cache.path, "config"), "utf8")).toBe(before);
});

test("damaged or not understood: emptied with a warning, and filled by a sync", async () => {
  for (const damage of ["chunks", "features"]) {
    const dir = await prepared();
    const path = join(dir, ".cache/borg", repository.idHex);
    if (damage === "chunks") writeFileSync(join(path, "chunks"), "nothing of the kind");
    else {
      const config = readFileSync(join(path, "config"), "utf8");
      writeFileSync(
        join(path, "config"),
        config.replace(/mandatory_features = *\n/, "mandatory_features = future\n"),
      );
    }
    const e = environment(dir);
    let synced = 0;
    const source = () => {
      synced++;
      return {
        archives: [],
        objectCount: 0,
        async *plain() {},
        async *storedSizes() {},
        unpackArchive: () => ({ metadata: new Map(), verified: true }),
      };
    };
    const cache = await open(e, 1, { source });
    expect([damage, e.warnings.length, synced, cache.chunks.size]).toEqual([damage, 1, 1, 0]);
    cache.close();
    (await open(e, 1, { source })).close();
    expect(synced).toBe(1);
  }
});

test("an unencrypted repository that nobody knows gets no cache unasked", async () => {
  const dir = temporaryDir();
  const plain = { info: keyMode("none"), logicallyEncrypted: false };
  await expect(Cache.open(environment(dir), repository, plain, manifest(1))).rejects.toThrow(
    CacheInitAborted,
  );
  expect(existsSync(join(dir, ".cache/borg", repository.idHex))).toBe(false);
  (await Cache.open(environment(dir), repository, plain, manifest(1), { warnIfUnencrypted: false })).close();
  (await Cache.open(environment(dir), repository, plain, manifest(1))).close();
  Cache.destroy(environment(dir), repository.idHex);
  expect(existsSync(join(dir, ".cache/borg", repository.idHex))).toBe(false);
});
