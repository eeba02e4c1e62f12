// recreate that is interrupted, and what it leaves: temporary archives and checkpoints, which real borg understands, and
// the original, which is whole until the new archive has taken its place. And files that lost chunks, cut anew.
import { mkdirSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Archive } from "../../src/archive/archive.ts";
import { ChunkStore } from "../../src/archive/chunk-store.ts";
import type { Item } from "../../src/archive/item.ts";
import { Recreator } from "../../src/archive/recreate.ts";
import { cacheManifest, openCache, openManifest } from "../../src/archive/session.ts";
import { Statistics } from "../../src/archive/stats.ts";
import { ArchiveWriter } from "../../src/archive/writer.ts";
import { localEnvironment } from "../../src/cache/dirs.ts";
import { parseCompression } from "../../src/compress/index.ts";
import { LocalRepository } from "../../src/repository/local.ts";
import { BorgProcess } from "../support/borg-process.ts";
import { alcoveInProcess } from "../support/in-process.ts";
import { type Result, Sandbox } from "../support/programs.ts";
import { randomBytes } from "../support/tree.ts";
import { check, contents, edit } from "./check-support.ts";

const box = new Sandbox();
// The recreate of borg before 1.2.6 leaves archives whose authentication does not verify any more.
box.env["BORG_WORKAROUNDS"] = "ignore_invalid_archive_tam";
const process = new BorgProcess(box.env);
afterAll(() => {
  process.end();
  box.remove();
});

const repo = box.path("repo");
const FILES = 12;
let whole: Record<string, string>;

const borg = (...argv: string[]): Promise<Result> => process.run(argv, { cwd: box.dir });
const alcove = (...argv: string[]): Promise<Result> => alcoveInProcess(argv, { cwd: box.dir, env: box.env });
async function good(run: Promise<Result>): Promise<string> {
  return box.ok(await run).stdout;
}
const names = async (): Promise<string[]> =>
  (await good(borg("list", "--short", "--consider-checkpoints", repo))).split("\n").filter(Boolean).sort();

let outs = 0;
async function extracted(name: string): Promise<Record<string, string>> {
  const dir = box.path(`out${outs++}`);
  mkdirSync(dir);
  box.ok(await process.run(["extract", `${repo}::${name}`], { cwd: dir }));
  return contents(dir);
}

beforeAll(async () => {
  mkdirSync(box.path("src"));
  for (let n = 0; n < FILES; n++) writeFileSync(box.path("src", `f${n}`), randomBytes(3000 + 500 * n, n));
  await good(borg("init", "-e", "repokey", repo));
  await good(alcove("create", "-C", "none", `${repo}::one`, "src"));
  whole = await extracted("one");
});

/** What `recreate -C zlib --recompress=always` does, with a checkpoint behind each file; stopped behind some of them. */
async function interrupted(stopBehind: number): Promise<void> {
  const environment = localEnvironment(box.env);
  const repository = await LocalRepository.open(repo, { exclusive: true });
  try {
    const manifest = await openManifest(repository, environment, { operations: ["write"] });
    const cache = await openCache(manifest, environment);
    try {
      cache.beginTxn();
      const store = new ChunkStore(manifest.objects, cache.chunks.index, new Statistics());
      const abort = new AbortController();
      let files = 0;
      const recreator = new Recreator(store, {
        recompress: "always",
        compression: parseCompression("zlib,6"),
        checkpointInterval: 1e-9,
        signal: abort.signal,
        onStatus: (status) => {
          if (status === "A" && files++ === stopBehind) abort.abort(new Error("stopped"));
        },
      });
      const source = await Archive.open(manifest, "one");
      const writer = new ArchiveWriter({
        manifest,
        store,
        name: "one.recreate",
        identity: { cmdline: ["test"], cwd: "/", hostname: "host", username: "user" },
        chunkerParams: recreator.targetParams(source),
        commitCache: async () => {
          cache.commit(cacheManifest(manifest));
          cache.beginTxn();
        },
      });
      await expect(recreator.copy(source, writer, store.stats)).rejects.toThrow("stopped");
    } finally {
      cache.close();
    }
  } finally {
    await repository.close();
  }
}

describe("an interrupted recreate", () => {
  it("leaves the original, and a checkpoint that borg can use", async () => {
    await interrupted(7);
    expect(await names()).toEqual(["one", "one.recreate.checkpoint"]);
    await good(borg("check", "--verify-data", repo));
    expect((await check(box, repo, { verifyData: true })).code).toBe(0);
    expect(await extracted("one")).toEqual(whole);
    const part = await extracted("one.recreate.checkpoint");
    expect(Object.keys(part)).toHaveLength(7);
    for (const [path, hash] of Object.entries(part)) expect(hash).toBe(whole[path]);
  });

  it("is simply done again, and its checkpoint deleted by either", async () => {
    await good(alcove("recreate", "-C", "zlib,6", "--recompress", "always", `${repo}::one`));
    expect(await names()).toEqual(["one", "one.recreate.checkpoint"]);
    expect(await extracted("one")).toEqual(whole);
    await good(borg("delete", `${repo}::one.recreate.checkpoint`));
    await good(borg("check", "--verify-data", repo));
    await interrupted(3);
    await good(borg("recreate", "-C", "lz4", "--recompress", "always", `${repo}::one`));
    await good(alcove("delete", `${repo}::one.recreate.checkpoint`));
    expect(await names()).toEqual(["one"]);
    expect(await extracted("one")).toEqual(whole);
    expect((await check(box, repo, { verifyData: true })).code).toBe(0);
  });
});

describe("the archive of a recreate that was killed between saving and renaming", () => {
  it("is in the way by its name, and worked on by nobody, to both programs", async () => {
    await good(alcove("create", "--comment", "left", `${repo}::one.recreate`, "src"));
    for (const run of [alcove, borg]) {
      const direct = await run("recreate", "--comment", "new", `${repo}::one.recreate`);
      expect(direct.code).toBe(2);
      expect(direct.stderr).toContain(
        "Refusing to work on temporary archive of prior recreate: one.recreate",
      );
      const again = await run("recreate", "--comment", "new", `${repo}::one`);
      expect(again.code).toBe(2);
      expect(again.stderr).toMatch(/one\.recreate.* already exists/);
      expect(await names()).toEqual(["one", "one.recreate"]);
    }
    await good(borg("delete", `${repo}::one.recreate`));
    expect(await good(alcove("recreate", "--comment", "new", repo))).toBe("Processing one\n");
    await good(borg("check", "--verify-data", repo));
  });
});

describe("a file that lost a chunk", () => {
  const items = async (): Promise<Map<string, Item>> => {
    const repository = await LocalRepository.open(repo);
    try {
      const manifest = await openManifest(repository, localEnvironment(box.env), { operations: ["read"] });
      const found = new Map<string, Item>();
      for await (const item of (await Archive.open(manifest, "one")).items()) found.set(item.path, item);
      return found;
    } finally {
      await repository.close();
    }
  };

  it("keeps what it has to get back, unless it is cut anew", async () => {
    const lost = (await items()).get("src/f11")!.chunks![0]!.id;
    await edit(repo, (r) => r.delete(lost));
    expect((await check(box, repo, { repair: true })).code).toBe(0);
    await good(alcove("recreate", "--comment", "once more", `${repo}::one`));
    expect((await items()).get("src/f11")!.chunks_healthy).toHaveLength(1);
    await good(alcove("recreate", "--chunker-params", "10,13,11,63", `${repo}::one`));
    const now = (await items()).get("src/f11")!;
    expect(now.chunks_healthy).toBeUndefined();
    expect(now.size).toBe(3000 + 500 * 11);
    await good(borg("check", "--verify-data", repo));
    expect((await check(box, repo)).log.join("\n")).not.toMatch(/healthy|heal/);
  });
});
