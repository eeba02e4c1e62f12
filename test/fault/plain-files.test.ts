// Files that go through a backup without an object for each: replaced before they are read, hit by a checkpoint while
// some of a job's files are done and others are not, and told of or not.
import { linkSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
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
