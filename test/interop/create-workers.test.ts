// The archive does not depend on the number of workers: the same tree gives the same item stream, chunk ids and
// stored sizes with none, one, two and three (of which the last is started where a core would be left without one, or where
// there is more to do than the main thread can do beside the others). Borg reads it and agrees about the chunks.
import { cpSync, linkSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { reused, sealedInRepository } from "../fault/nonces.ts";
import { alcoveCommand, Sandbox } from "../support/programs.ts";
import { makeTree, randomBytes } from "../support/tree.ts";

describe.each(["none", "repokey-blake2"])("workers, encryption %s", (mode) => {
  const box = new Sandbox();
  const counts = ["0", "1", "2", "3"];
  // Each count has a copy of one repository, so that keys and chunker seed are the same, and a cache of its own.
  const envOf = (n: string) => ({ env: { BORG_BASE_DIR: box.path(`base${n}`) } });

  beforeAll(() => {
    makeTree(box.path("tree"), 3);
    // Several chunks (the smallest is 512 KiB), alike at both ends and shifted in between.
    const long = randomBytes(9_000_000, 77);
    writeFileSync(box.path("tree", "long"), long);
    writeFileSync(box.path("tree", "sub", "shifted"), Buffer.concat([Buffer.from("shift"), long]));
    writeFileSync(
      box.path("tree", "holes"),
      Buffer.concat([Buffer.alloc(20_000_000), long.subarray(0, 100)]),
    );
    linkSync(box.path("tree", "long"), box.path("tree", "sub", "long-link"));
    // More files than a batch takes, with the same contents here and there: two workers meet the same chunk.
    mkdirSync(box.path("tree", "many"));
    for (let i = 0; i < 900; i++) {
      const data = i % 3 ? randomBytes(200 + i * 7, i) : Buffer.from(`the same ${i % 30}\n`.repeat(500));
      writeFileSync(box.path("tree", "many", `f${i}`), data);
    }
    box.ok(box.alcove(["init", "-e", mode, "repo"]));
    for (const n of counts) {
      cpSync(box.path("repo"), box.path(`repo${n}`), { recursive: true });
      box.ok(box.alcove(["create", "--workers", n, `repo${n}::a`, "tree"], envOf(n)));
    }
  }, 120_000);
  afterAll(() => box.remove());

  const stream = (n: string): { names: string[]; bytes: string } => {
    const dir = box.path(`dump${n}`);
    mkdirSync(dir);
    box.ok(box.alcove(["debug", "dump-archive-items", `../repo${n}::a`], { cwd: dir, ...envOf(n) }));
    const names = readdirSync(dir).sort();
    return { names, bytes: Buffer.concat(names.map((f) => readFileSync(`${dir}/${f}`))).toString("latin1") };
  };

  it("gives the same item stream whatever their number", { timeout: 60_000 }, () => {
    const [none, ...some] = counts.map(stream);
    expect(none!.names.length).toBeGreaterThan(0);
    for (const { names, bytes } of some) {
      expect(names).toEqual(none!.names);
      expect(bytes === none!.bytes).toBe(true);
    }
  });

  it("leaves the same files cache, in the walk's order: the next backup asks in it", () => {
    const cache = (n: string): string => {
      const dir = box.path(`base${n}`, ".cache", "borg");
      const [id] = readdirSync(dir).filter((name) => /^[0-9a-f]{64}$/.test(name));
      const [files] = readdirSync(`${dir}/${id}`).filter((name) => /^files/.test(name));
      return readFileSync(`${dir}/${id}/${files}`).toString("latin1");
    };
    const [none, ...some] = counts.map(cache);
    expect(none!.length).toBeGreaterThan(50_000);
    for (const other of some) expect(other === none).toBe(true);
  });

  it.runIf(mode !== "none")("uses no counter twice, whoever has sealed", () => {
    for (const n of counts) {
      const sealed = sealedInRepository(box.path(`repo${n}`));
      expect(sealed.length).toBeGreaterThan(600);
      expect(reused(sealed)).toBeUndefined();
    }
  });

  it("stores every chunk once, and borg finds nothing missing", { timeout: 60_000 }, () => {
    const figures = counts.map((n) => {
      box.ok(box.borg(["check", "--verify-data", `repo${n}`], envOf(n)));
      // Not the compressed sizes: the archive's metadata hold the time, and LZ4 makes more of one than of another.
      const { stats } = JSON.parse(box.ok(box.borg(["info", "--json", `repo${n}`], envOf(n))).stdout).cache;
      const { total_chunks, total_unique_chunks, total_size, unique_size } = stats;
      return { total_chunks, total_unique_chunks, total_size, unique_size };
    });
    for (const other of figures.slice(1)) expect(other).toEqual(figures[0]);
  });
});

describe("checkpoints within one long file", () => {
  const box = new Sandbox();
  afterAll(() => box.remove());
  const parts = (archive: string): number[] =>
    box
      .ok(box.borg(["list", "--consider-part-files", "--format", "{path} {size}{NL}", archive]))
      .stdout.split("\n")
      .filter((line) => line.includes(".borg_part_"))
      .map((line) => Number(line.split(" ")[1]));

  it("a stream, a second apart", { timeout: 60_000 }, () => {
    box.ok(box.alcove(["init", "-e", "none", "repo"]));
    const slow = "for i in 1 2 3; do head -c 12000000 /dev/urandom; sleep 1.2; done";
    box.ok(box.alcove(["create", "-c", "1", "--content-from-command", "repo::s", "--", "sh", "-c", slow]));
    const sizes = parts("repo::s");
    expect(sizes.length).toBeGreaterThanOrEqual(2);
    // The last one holds what came behind the last checkpoint: together they are the file, as in Borg.
    expect(sizes.reduce((a, b) => a + b, 0)).toBe(36_000_000);
    box.ok(box.borg(["check", "--verify-data", "repo"]));
    expect(box.ok(box.borg(["list", "--consider-checkpoints", "--short", "repo"])).stdout).toBe("s\n");
  });
});

// More chunks than the first tables of the chunk index have room for: new ones reach the workers while they work. (On
// Deno they did not, and every first backup of 800 chunks ended there.)
describe("an index that grows under the workers", () => {
  const box = new Sandbox();
  afterAll(() => box.remove());
  beforeAll(() => {
    mkdirSync(box.path("tree"));
    for (let i = 0; i < 4000; i++) writeFileSync(box.path("tree", `f${i}`), randomBytes(3000, i));
    // And what is known by then.
    for (let i = 0; i < 2000; i++) writeFileSync(box.path("tree", `g${i}`), randomBytes(3000, i));
  });

  it.each(["node20", "node24", "node26", "deno", "bun"] as const)("on %s", { timeout: 120_000 }, (label) => {
    const repo = `repo-${label}`;
    const run = (...args: string[]) => {
      const [program, ...words] = [...alcoveCommand(label), ...args];
      return box.ok(box.run([program!, ...words]));
    };
    run("init", "-e", "repokey", repo);
    run("create", "--workers", "2", `${repo}::a`, "tree");
    box.ok(box.borg(["check", "--verify-data", repo]));
    const { cache } = JSON.parse(box.ok(box.borg(["info", "--json", repo])).stdout);
    expect(cache.stats.total_unique_chunks).toBeGreaterThan(4000);
    expect(cache.stats.total_unique_chunks).toBeLessThan(4100);
    expect(cache.stats.total_chunks).toBeGreaterThan(6000);
  });
});
