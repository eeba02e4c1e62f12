// Repairs of archives: what is lost is cut out or replaced by zeros, the rest is saved, what comes back heals, and
// nothing is given up unasked. Real borg checks and restores what we have repaired.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Archive } from "../../src/archive/archive.ts";
import type { Item } from "../../src/archive/item.ts";
import { MANIFEST_ID } from "../../src/archive/manifest.ts";
import { openManifest } from "../../src/archive/session.ts";
import { localEnvironment } from "../../src/cache/dirs.ts";
import { nonceOf } from "../../src/crypto/material.ts";
import { toHex } from "../../src/format/bytes.ts";
import { pack } from "../../src/format/msgpack.ts";
import { LocalRepository } from "../../src/repository/local.ts";
import { Sandbox } from "../support/programs.ts";
import { randomBytes } from "../support/tree.ts";
import { check, contents, edit } from "./check-support.ts";

const box = new Sandbox();
afterAll(() => box.remove());

/** An archive's metadata and items. */
async function read(repo: string, name: string): Promise<{ archive: Archive; items: Map<string, Item> }> {
  const repository = await LocalRepository.open(repo);
  try {
    const manifest = await openManifest(repository, localEnvironment(box.env), { operations: ["read"] });
    const archive = await Archive.open(manifest, name);
    const items = new Map<string, Item>();
    for await (const item of archive.items()) items.set(item.path, item);
    return { archive, items };
  } finally {
    await repository.close();
  }
}

/** A repository of ours with two archives of the same tree, in which only one file is new. */
function make(repo: string, mode = "repokey"): void {
  const src = box.path("src");
  mkdirSync(src, { recursive: true });
  writeFileSync(`${src}/big`, randomBytes(200_000, 1));
  writeFileSync(`${src}/small`, randomBytes(5_000, 2));
  writeFileSync(`${src}/zeros`, Buffer.alloc(70_000));
  writeFileSync(`${src}/text`, "some text");
  box.ok(box.alcove(["init", "-e", mode, repo]));
  box.ok(box.alcove(["create", `${repo}::one`, "src"]));
  writeFileSync(`${src}/new`, randomBytes(9_000, 3));
  box.ok(box.alcove(["create", `${repo}::two`, "src"]));
}

function extracted(repo: string, name: string, codes = [0]): Record<string, string> {
  const dir = box.path(`out-${Math.random().toString(36).slice(2)}`);
  mkdirSync(dir);
  box.ok(box.borg(["extract", `${repo}::${name}`], { cwd: dir }), codes);
  return contents(dir);
}

describe("a lost file chunk", () => {
  const repo = box.path("chunk");
  let before: Record<string, string>;
  beforeAll(async () => {
    make(repo);
    before = extracted(repo, "one");
    const { items } = await read(repo, "one");
    await edit(repo, (r) => r.delete(items.get("src/big")!.chunks![0]!.id));
  });

  it("is found", async () => {
    const { code, log } = await check(box, repo);
    expect(code).toBe(1);
    expect(log.join("\n")).toMatch(/error: one: src\/big: New missing file chunk detected \(Byte 0-200000/);
    expect(box.borg(["check", repo]).code).toBe(1);
  });

  it("is replaced by zeros, once", async () => {
    expect((await check(box, repo, { repair: true })).code).toBe(0);
    expect((await check(box, repo)).code).toBe(0);
    const { archive, items } = await read(repo, "one");
    expect(archive.tamVerified).toBe(true);
    const big = items.get("src/big")!;
    expect(big.chunks_healthy).toHaveLength(1);
    expect(big.chunks![0]!.size).toBe(200_000);
    box.ok(box.borg(["check", "--verify-data", repo]));
    const now = extracted(repo, "one", [0, 1]);
    expect(now["src/big"]).not.toBe(before["src/big"]);
    expect({ ...now, "src/big": before["src/big"] }).toEqual(before);
    // Nothing more to do.
    const { log } = await check(box, repo, { repair: true });
    expect(log.filter((line) => line.startsWith("error"))).toEqual([]);
  });

  it("heals when it is backed up again", async () => {
    box.ok(box.alcove(["create", "--files-cache=disabled", `${repo}::three`, "src"]));
    const found = await check(box, repo);
    expect(found.code).toBe(0);
    expect(found.log.join("\n")).toMatch(/one: src\/big: .*would heal/);
    const repaired = await check(box, repo, { repair: true });
    expect(repaired.code).toBe(0);
    expect(repaired.log.join("\n")).toMatch(/src\/big: The file is whole again/);
    expect((await read(repo, "one")).items.get("src/big")!.chunks_healthy).toBeUndefined();
    expect(extracted(repo, "one")).toEqual(before);
    const again = await check(box, repo);
    expect(again.log.join("\n")).not.toMatch(/heal|orphan/);
    box.ok(box.borg(["check", "--verify-data", repo]));
  });

  it("of nothing but zeros is simply made anew", async () => {
    const { items } = await read(repo, "two");
    await edit(repo, (r) => r.delete(items.get("src/zeros")!.chunks![0]!.id));
    expect((await check(box, repo)).code).toBe(1);
    expect((await check(box, repo, { repair: true })).code).toBe(0);
    expect((await check(box, repo)).code).toBe(0);
    expect((await read(repo, "two")).items.get("src/zeros")!.chunks_healthy).toBeUndefined();
    expect(extracted(repo, "one")).toEqual(before);
  });
});

describe("a lost manifest", () => {
  it.each(["none", "repokey", "authenticated-blake2"])("is made anew (%s)", async (mode) => {
    const repo = box.path(`manifest-${mode}`);
    make(repo, mode);
    const nonces = async () => {
      const repository = await LocalRepository.open(repo);
      const all = new Map<string, number>();
      for (const id of await repository.list())
        all.set(toHex(id), mode === "repokey" ? nonceOf(await repository.get(id)) : 0);
      await repository.close();
      return all;
    };
    const before = extracted(repo, "two");
    await edit(repo, (r) => r.delete(MANIFEST_ID));
    const used = await nonces();
    expect((await check(box, repo)).code).toBe(1);
    // Without what remembers the counters, they are found in the objects.
    if (mode === "repokey") {
      writeFileSync(`${repo}/nonce`, "0000000000000000");
      writeFileSync(box.path("base/.config/borg/security", await idOf(repo), "nonce"), "0000000000000000");
    }
    expect((await check(box, repo, { repair: true })).code).toBe(0);
    if (mode === "repokey")
      expect((await nonces()).get("0".repeat(64))).toBeGreaterThan(Math.max(...used.values()));
    box.ok(box.borg(["check", "--verify-data", repo]));
    expect(extracted(repo, "two")).toEqual(before);
    expect(box.ok(box.alcove(["list", "--short", repo])).stdout).toBe("one\ntwo\n");
  });

  it("gives equal names numbers", async () => {
    const repo = box.path("names");
    make(repo);
    box.ok(box.alcove(["rename", `${repo}::two`, "other"]));
    // The archive of that name once more, as an interrupted deletion may leave it.
    const { archive } = await read(repo, "one");
    await edit(repo, async (r) => {
      const { key } = archive.manifest;
      const raw = new Map([...archive.metadata.raw, ["comment", "second"] as const]);
      const data = key.packAndAuthenticate(raw, "archive");
      const manifest = await openManifest(r, localEnvironment(box.env), { operations: ["write"] });
      await r.put(key.idHash(data), await manifest.objects.pack(data));
      await r.delete(MANIFEST_ID);
    });
    expect((await check(box, repo, { repair: true })).code).toBe(0);
    expect(
      box
        .ok(box.alcove(["list", "--short", repo]))
        .stdout.split("\n")
        .filter(Boolean)
        .sort(),
    ).toEqual(["one", "one.1", "other"]);
  });
});

async function idOf(repo: string): Promise<string> {
  return /^id = (\w+)$/m.exec(readFileSync(`${repo}/config`, "utf8"))![1]!;
}

describe("an old manifest in the place of the new one", () => {
  it("is noticed, and costs no archive", async () => {
    const repo = box.path("replay");
    make(repo);
    const old = await edit(repo, (r) => r.get(MANIFEST_ID));
    box.ok(box.alcove(["create", `${repo}::three`, "src"]));
    const before = extracted(repo, "three");
    await edit(repo, (r) => r.put(MANIFEST_ID, old));
    expect(box.alcove(["list", repo]).stderr).toMatch(/newer than the repository/);
    // Borg finds orphans, and would delete them.
    expect(box.borg(["check", repo]).code).toBe(1);
    const { code, log } = await check(box, repo);
    expect(code).toBe(1);
    expect(log.join("\n")).toMatch(/warning: The manifest is older .*--repair would make it anew/);
    expect((await check(box, repo, { repair: true })).code).toBe(0);
    expect(box.ok(box.alcove(["list", "--short", repo])).stdout).toBe("one\ntwo\nthree\n");
    expect(extracted(repo, "three")).toEqual(before);
    const again = await check(box, repo);
    expect(again).toMatchObject({ code: 0 });
    expect(again.log.join("\n")).not.toMatch(/older/);
    box.ok(box.borg(["check", "--verify-data", repo]));
  });
});

describe("lost and damaged pieces of an item stream", () => {
  const repo = box.path("items");
  const src = box.path("many");
  // Enough for more than two chunks of the stream whatever the seed: one has at most 512 KiB.
  const FILES = 14_000;
  beforeAll(() => {
    mkdirSync(src);
    for (let n = 0; n < FILES; n++) writeFileSync(`${src}/file${n}`, `content ${n}`);
    box.ok(box.alcove(["init", "-e", "repokey", repo]));
    box.ok(box.alcove(["create", `${repo}::many`, "many"]));
  });

  it("verifies in threads and beside them to the same result", async () => {
    const { items } = await read(repo, "many");
    const hurt = [7, 1234, FILES - 1].map((n) => items.get(`many/file${n}`)!.chunks![0]!.id);
    const kept = new Map<string, Uint8Array>();
    await edit(repo, async (r) => {
      for (const [i, id] of hurt.entries()) {
        const blob = await r.get(id);
        kept.set(toHex(id), blob);
        // A sound entry with unsound contents: only the MAC and the id can tell.
        const bad = i === 0 ? await r.get(items.get("many/file8")!.chunks![0]!.id) : blob.slice();
        if (i > 0) bad[bad.length - 1]! ^= 1;
        await r.put(id, bad);
      }
    });
    const report = (r: { code: number; stderr: string }) => ({
      code: r.code,
      bad: r.stderr.match(/chunk [0-9a-f]{64}, integrity error/g)!.sort(),
    });
    const results = ["0", "1", "3"].map((n) =>
      report(box.alcove(["check", "--archives-only", "--verify-data", "--workers", n, repo])),
    );
    expect(results[0]).toEqual({
      code: 1,
      bad: hurt.map((id) => `chunk ${toHex(id)}, integrity error`).sort(),
    });
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
    // Both parts at one read, in few pieces and in many.
    const joint = ["0", "3"].map((n) => report(box.alcove(["check", "--verify-data", "--workers", n, repo])));
    expect(joint).toEqual([results[0], results[0]]);
    for (const joint of [10_000, 1]) {
      const { code, log } = await check(box, repo, { verifyData: true, joint });
      expect(code).toBe(1);
      const bad = log.map((line) => /chunk [0-9a-f]{64}, integrity error/.exec(line)?.[0]).filter(Boolean);
      expect(bad.sort()).toEqual(results[0]!.bad);
    }
    // Without --verify-data nobody sees it; with it, a repair makes zeros of them, which heal.
    expect((await check(box, repo)).code).toBe(0);
    expect((await check(box, repo, { verifyData: true, repair: true })).code).toBe(0);
    expect((await check(box, repo, { verifyData: true })).code).toBe(0);
    expect((await read(repo, "many")).items.get("many/file7")!.chunks_healthy).toHaveLength(1);
    await edit(repo, async (r) => {
      for (const id of hurt) await r.put(id, kept.get(toHex(id))!);
    });
    expect((await check(box, repo, { repair: true })).code).toBe(0);
    expect((await read(repo, "many")).items.get("many/file7")!.chunks_healthy).toBeUndefined();
    box.ok(box.borg(["check", "--verify-data", repo]));
  });

  it.each(["missing", "damaged"])("%s: the rest of the archive survives", async (how) => {
    const { archive, items } = await read(repo, "many");
    const stream = archive.metadata.items;
    expect(stream.length).toBeGreaterThan(2);
    const victim = stream[1]!;
    await edit(repo, async (r) => {
      if (how === "missing") await r.delete(victim);
      else {
        const blob = (await r.get(victim)).slice();
        blob[blob.length >> 1]! ^= 1;
        await r.put(victim, blob);
      }
    });
    expect((await check(box, repo)).code).toBe(1);
    expect((await check(box, repo, { repair: true })).code).toBe(0);
    expect((await check(box, repo)).code).toBe(0);
    const after = (await read(repo, "many")).items;
    // One piece of the stream and the items that it cuts: not more.
    const share = items.size / stream.length;
    expect(after.size).toBeGreaterThan(items.size - 3 * share);
    expect(after.size).toBeLessThan(items.size);
    for (const [path, item] of after) expect(item).toEqual(items.get(path));
    box.ok(box.borg(["check", "--verify-data", repo]));
  });
});

describe("orphans", () => {
  it("are found and removed", async () => {
    const repo = box.path("orphans");
    make(repo);
    await edit(repo, (r) => r.put(randomBytes(32, 5), randomBytes(100, 6)));
    expect((await check(box, repo)).log).toContain("error: 1 orphaned objects found!");
    expect(box.borg(["check", repo]).code).toBe(1);
    // Those of a part of the archives are not known.
    expect((await check(box, repo, { select: (a) => a.select({ first: 1 }) })).code).toBe(0);
    expect((await check(box, repo, { repair: true })).code).toBe(0);
    expect((await check(box, repo)).code).toBe(0);
    box.ok(box.borg(["check", "--verify-data", repo]));
  });
});

describe("an archive without authentication", () => {
  const repo = box.path("tam");
  /** A copy of an archive as Borg's check --repair left it before 1.2.5, or as an attacker would forge it. */
  const forge = async (name: string) => {
    const { archive } = await read(repo, "one");
    await edit(repo, async (r) => {
      const manifest = await openManifest(r, localEnvironment(box.env), { operations: ["write"] });
      const data = pack(new Map([...archive.metadata.raw, ["name", name] as const]), { sortKeys: true });
      const id = manifest.key.idHash(data);
      await r.put(id, await manifest.objects.pack(data));
      manifest.archives.set(name, id, archive.metadata.time);
      await manifest.write();
    });
  };
  beforeAll(async () => {
    make(repo);
    await forge("plain");
  });

  it("is not believed", async () => {
    const { code, log } = await check(box, repo);
    expect(code).toBe(1);
    expect(log.join("\n")).toMatch(/Archive TAM authentication issue for archive plain/);
  });

  it("is given up only with consent, and nothing else is changed without", async () => {
    const asked: string[][] = [];
    const answer = (yes: boolean) => async (archives: readonly string[]) => {
      asked.push([...archives]);
      return yes;
    };
    expect((await check(box, repo, { repair: true, confirmDeletion: answer(false) })).code).toBe(2);
    expect(asked).toEqual([["plain"]]);
    expect(box.ok(box.alcove(["list", "--short", repo])).stdout).toMatch(/^plain$/m);
    extracted(repo, "plain");
    expect((await check(box, repo, { repair: true, confirmDeletion: answer(true) })).code).toBe(0);
    expect(box.ok(box.alcove(["list", "--short", repo])).stdout).toBe("one\ntwo\n");
    box.ok(box.borg(["check", "--verify-data", repo]));
  });

  it("stays where the user trusts it and authenticates it", async () => {
    await forge("plain2");
    box.ok(box.alcove(["upgrade", "--archives-tam", repo]));
    expect((await check(box, repo)).code).toBe(0);
  });

  it("does not get into a rebuilt manifest", async () => {
    await forge("plain3");
    await edit(repo, (r) => r.delete(MANIFEST_ID));
    expect((await check(box, repo, { repair: true, confirmDeletion: async () => false })).code).toBe(2);
    expect((await check(box, repo, { repair: true })).code).toBe(0);
    expect(box.ok(box.alcove(["list", "--short", repo])).stdout).toBe("one\nplain2\ntwo\n");
  });
});
