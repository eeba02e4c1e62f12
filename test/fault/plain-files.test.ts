// Files that go through a backup without an object for each: replaced before they are read, hit by a checkpoint while
// some of a job's files are done and others are not, and told of or not.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { Sandbox } from "../support/programs.ts";
import { randomBytes } from "../support/tree.ts";
import { digestOfTree, World } from "./world.ts";

const box = new Sandbox();
afterAll(() => box.remove());

let number = 0;
let world: World;
let dir: string;
beforeEach(async () => {
  number++;
  mkdirSync(box.path(`world${number}`));
  world = new World(box.path(`world${number}`), "secret");
  await world.make(1 << 20, 100);
  await world.init("repokey");
  dir = `tree${number}`;
  mkdirSync(box.path(dir));
});

async function restored(archive: string): Promise<string> {
  const out = box.path(`out${number}`);
  mkdirSync(out);
  await world.extract(archive, out, (w) => {
    throw w;
  });
  return out;
}

/** Files of one and of many chunks, directories, symlinks and hard links. */
function fill(root: string, directories: number, files: number): void {
  for (let d = 0; d < directories; d++) {
    mkdirSync(join(root, `d${d}`));
    for (let i = 0; i < files; i++)
      writeFileSync(join(root, `d${d}`, `f${i}`), randomBytes(10 + i * 700, d * 100 + i));
    symlinkSync(`f${d}`, join(root, `d${d}`, "link"));
    writeFileSync(join(root, `d${d}`, "much"), randomBytes(90_000 + files * 10_000, d));
    writeFileSync(join(root, `d${d}`, "more"), randomBytes(1_060_000, 50 + d));
    linkSync(join(root, `d${d}`, "f3"), join(root, `d${d}`, "f3-again"));
  }
}

describe("a file that is replaced between the walk and its reading", () => {
  it("is read again, in its place", async () => {
    for (const name of ["a", "b", "c", "large"])
      writeFileSync(box.path(dir, name), randomBytes(name === "large" ? 1_300_000 : 50_000, name.length));
    const replace = (name: string): void => {
      writeFileSync(box.path("new"), `new contents of ${name}`);
      renameSync(box.path("new"), box.path(dir, name));
    };
    await world.create("a", [box.path(dir)], {
      beforeRead: () => {
        for (const name of ["b", "c", "large"]) replace(name);
      },
    });
    expect(await world.cacheErrors()).toEqual([]);
    const out = await restored("a");
    for (const name of ["a", "b", "c", "large"])
      expect(readFileSync(join(out, box.path(dir, name)))).toEqual(readFileSync(box.path(dir, name)));
    // It is known now: nothing is read a second time.
    let commits = 0;
    await world.create("again", [box.path(dir)], { onCommit: () => commits++ });
    expect(commits).toBe(1);
    expect(await world.cacheErrors()).toEqual([]);
  });

  it("is told as borg tells it where other names had the old contents", async () => {
    writeFileSync(box.path(dir, "one"), "linked");
    linkSync(box.path(dir, "one"), box.path(dir, "two"));
    const warnings: string[] = [];
    await world.create("a", [box.path(dir)], {
      onWarning: (w) => warnings.push(w.msgid),
      beforeRead: () => {
        for (const name of ["one", "two"]) {
          writeFileSync(box.path("new"), name);
          renameSync(box.path("new"), box.path(dir, name));
        }
      },
    });
    expect(warnings.length).toBeGreaterThan(0);
    expect(new Set(warnings)).toEqual(new Set(["BackupRaceConditionError"]));
    expect(await world.cacheErrors()).toEqual([]);
  });
});

describe("checkpoints while files are under way", () => {
  it("count every reference of the archive that is committed, whenever the backup ends", async () => {
    fill(box.path(dir), 5, 15);
    const commits: number[] = [];
    await world.create("whole", [box.path(dir)], {
      checkpoints: true,
      onCommit: (n) => void commits.push(n),
    });
    expect(commits.length).toBeGreaterThan(10);
    expect(await world.cacheErrors()).toEqual([]);
    expect(digestOfTree(await restored("whole"), `.${box.path(dir)}`)).toBe(
      digestOfTree("/", `.${box.path(dir)}`),
    );
    await world.delete("whole");

    for (const stop of [1, 2, 5, 8]) {
      // Ended by what the commit throws: a signal is looked at now and then only.
      const backup = world.create("cut", [box.path(dir)], {
        checkpoints: true,
        onCommit: (n) => {
          if (n === stop) throw new Error("enough");
        },
      });
      await expect(backup).rejects.toThrow("enough");
      const { archives, errors } = await world.inspect();
      expect([...archives.keys()]).toEqual(["cut.checkpoint"]);
      expect(errors).toEqual([]);
      await world.delete("cut.checkpoint");
    }
    // What is referenced by nothing would stay for ever.
    expect((await world.inspect()).errors).toEqual([]);
  }, 60_000);
});

it("gives the same item stream whether single files are told of or not", () => {
  fill(box.path(dir), 12, 60);
  box.ok(box.alcove(["init", "-e", "none", "repo"]));
  const streams = [[], ["--list"], ["--list", "--filter", "AM"], ["--workers", "0"]].map((options, i) => {
    // An empty cache each time: every file is read.
    const env = { BORG_BASE_DIR: box.path(`base${i}`) };
    box.ok(box.alcove(["create", ...options, `repo::a${i}`, dir], { env }));
    const r = box.alcove(
      ["list", "--json-lines", "--format", "{type}{path}{size}{mtime}{sha256}", `repo::a${i}`],
      {
        env,
      },
    );
    const dump = box.alcove(["debug", "dump-archive", `repo::a${i}`, "-"], { env });
    return [box.ok(r).stdout, JSON.stringify(JSON.parse(box.ok(dump).stdout)._items)];
  });
  expect(streams[0]![0]!.split("\n").length).toBeGreaterThan(700);
  for (const other of streams.slice(1)) expect(other).toEqual(streams[0]);
});

describe("unchanged files, which are taken many at a time, give the item stream that they give one by one", () => {
  const variants: [string, string[]][] = [
    ["as they are", []],
    ["with times of access, without those of change", ["--atime", "--noctime"]],
    ["by number, without attributes", ["--numeric-ids", "--noxattrs", "--noacls", "--noflags"]],
    ["by time of modification and size", ["--files-cache", "mtime,size"]],
    ["by size", ["--files-cache", "size"]],
    ["without threads", ["--workers", "0"]],
  ];

  /** Files that differ in whatever an item may have. */
  function variety(root: string): void {
    fill(root, 6, 40);
    for (let i = 0; i < 40; i++) chmodSync(join(root, "d0", `f${i}`), [0o600, 0o644, 0o4755][i % 3]!);
    for (let i = 0; i < 10; i++)
      utimesSync(join(root, "d1", `f${i}`), 1, [-86400 * 4000, 0, 1e9, 5e9][i % 4]!);
    mkdirSync(join(root, "names"));
    for (const name of ["ä", "日本語", "n".repeat(250), "sp ace", "'\"\\", "..x", ".y"])
      writeFileSync(join(root, "names", name), name);
    writeFileSync(Buffer.concat([Buffer.from(join(root, "names/")), Buffer.from([0xff, 0xfe])]), "no UTF-8");
    writeFileSync(join(root, "names", "empty"), "");
    writeFileSync(join(root, "names", "chunks"), randomBytes(1_040_000, 7));
    for (const name of ["d2/f1", "d2/f2", "names/empty"])
      spawnSync("setfattr", ["-n", "user.test", "-v", "value", join(root, name)]);
  }

  /** Some come, some go, some change in one way or another. */
  function change(root: string, round: number): void {
    const at = (name: string): string => join(root, name);
    writeFileSync(at(`d1/new${round}`), `new in ${round}`);
    writeFileSync(at(`d3/f${round}`), `changed in ${round}`);
    rmSync(at(`d3/f${round + 5}`));
    chmodSync(at(`d4/f${round}`), 0o640);
    renameSync(at(`d4/f${round + 5}`), at(`d5/moved${round}`));
    writeFileSync(at("names/empty"), "x".repeat(round));
    spawnSync("setfattr", ["-n", "user.other", "-v", `${round}`, at(`d5/f${round}`)]);
  }

  it.each(variants)("%s", { timeout: 120_000 }, (_, options) => {
    const root = box.path(dir);
    variety(root);
    const repo = `repo${number}`;
    const chunker = ["--chunker-params", "buzhash,10,16,12,4095"];
    const ways = [[], ["--list"]];
    const items = (round: number, way: number, given: string): string => {
      const env = { BORG_BASE_DIR: box.path(`base${number}-${way}`) };
      const archive = `${repo}::${round}-${way}`;
      box.ok(box.alcove(["create", ...chunker, ...options, ...ways[way]!, archive, given], { env }));
      const dump = box.alcove(["debug", "dump-archive", archive, "-"], { env });
      return JSON.stringify(JSON.parse(box.ok(dump).stdout)._items, undefined, 1);
    };
    box.ok(box.alcove(["init", "-e", "none", repo]));
    for (let round = 0; round < 5; round++) {
      if (round % 2 === 1) change(root, round);
      const given = round < 4 ? dir : root;
      const [many, single] = ways.map((_, way) => items(round, way, given));
      // What is read gets another time of access.
      if ((round === 0 || round % 2 === 1) && options.includes("--atime")) continue;
      expect(many!.length).toBeGreaterThan(50_000);
      expect(many).toBe(single);
    }
    box.ok(box.borg(["check", "--verify-data", repo]));
    expect(box.ok(box.alcove(["extract", "--dry-run", `${repo}::4-0`])).stdout).toBe("");
  });
});

it("leaves nothing behind when checkpoints come while workers read", { timeout: 60_000 }, () => {
  fill(box.path(dir), 12, 60);
  const at = { cwd: box.path(dir) };
  box.ok(box.alcove(["init", "-e", "none", "../slow"], at));
  const create = ["create", "--workers", "2", "--checkpoint-interval", "1", "-C", "lzma,9"];
  box.ok(box.alcove([...create, "../slow::a", "."], at));
  const listed = box.ok(box.borg(["list", "--consider-part-files", "--short", "../slow::a"], at)).stdout;
  expect(listed).toContain(".borg_part_1");
  box.ok(box.borg(["check", "--verify-data", "../slow"], at));
  box.ok(box.alcove(["delete", "../slow::a"], at));
  const { cache } = JSON.parse(box.ok(box.alcove(["info", "--json", "../slow"], at)).stdout);
  expect(cache.stats.total_chunks).toBe(0);
  expect(cache.stats.total_unique_chunks).toBe(0);
});
