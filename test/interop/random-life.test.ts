// A repository's life as a seed decides it: create, delete, prune, compact, recreate and rename by us and by borg in
// turns, from two computers (each with its cache, both programs on each), and the same sequence by borg alone on a twin.
// On the way and at the end borg verifies all data, every archive comes back as its source was, both repositories have
// the same archives, and after a compaction ours takes no more than 1 % more or less of the disk than borg's.
// ALCOVE_LONG=1: more seeds, longer lives, other keys. ALCOVE_SEED=N: that one alone.

import { createHash } from "node:crypto";
import {
  cpSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BorgProcess } from "../support/borg-process.ts";
import { alcoveInProcess } from "../support/in-process.ts";
import { type Result, Sandbox } from "../support/programs.ts";
import { randomBytes } from "../support/tree.ts";

const LONG = process.env["ALCOVE_LONG"] === "1";
const MODES = ["repokey", "none", "repokey-blake2", "authenticated"];
const lives = process.env["ALCOVE_SEED"]
  ? [Number(process.env["ALCOVE_SEED"])]
  : LONG
    ? Array.from({ length: 12 }, (_, i) => 1 + i)
    : [1];
const STEPS = LONG ? 400 : 220;
/** Steps from one verification to the next. */
const EVERY = 55;
const MOST_ARCHIVES = 12;
/** Of an archive of these sources, compressed: no more. */
const ITEMS_BYTES = LONG ? 8192 : 0;

/** The same for all archives: what a files cache knows is not cut anew, and each computer knows other files. */
const CHUNKER = "10,15,12,63";
/** The rename and recreate of borg before 1.2.6 leave archives whose authentication does not verify any more: what
 *  later borgs say of them we say, too, and what they need to work with them, we need. */
const OLD_RENAME = "ignore_invalid_archive_tam";

/** xorshift32: the same life in every run. */
class Dice {
  #x: number;
  constructor(seed: number) {
    this.#x = (seed * 2654435761) >>> 0 || 1;
  }
  below(n: number): number {
    let x = this.#x;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#x = x >>> 0;
    return this.#x % n;
  }
  one<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

/** Path → what has to come back: type, mode, owner, time to the nanosecond, target or contents. */
type Snapshot = Map<string, string>;

function snapshot(root: string): Snapshot {
  const found: Snapshot = new Map();
  const visit = (path: string): void => {
    const s = lstatSync(join(root, path), { bigint: true });
    let what = "";
    if (s.isSymbolicLink()) what = readlinkSync(join(root, path));
    if (s.isFile())
      what = createHash("sha1")
        .update(readFileSync(join(root, path)))
        .digest("hex");
    found.set(path, `${s.mode.toString(8)} ${s.uid}:${s.gid} ${s.mtimeNs} ${what}`);
    if (s.isDirectory()) for (const name of readdirSync(join(root, path))) visit(`${path}/${name}`);
  };
  visit("src");
  return found;
}

function dataBytes(dir: string): number {
  let sum = 0;
  for (const name of readdirSync(join(dir, "data"), { recursive: true }) as string[]) {
    const s = statSync(join(dir, "data", name));
    if (s.isFile()) sum += s.size;
  }
  return sum;
}

type Program = (
  argv: readonly string[],
  options: { cwd: string; env: Record<string, string> },
) => Promise<Result>;

class Life {
  readonly box = new Sandbox();
  readonly #dice: Dice;
  readonly #borg = new BorgProcess(this.box.env);
  readonly #twinBorg = new BorgProcess(this.box.env);
  readonly #programs: Record<string, Program>;
  readonly #archives = new Map<string, Snapshot>();
  readonly #log: string[] = [];
  readonly turns: Record<string, number> = {};
  compared = 0;
  #last = { who: "", base: "" };
  #hours = 0;
  #created = 0;
  #files = 0;

  constructor(seed: number) {
    this.#dice = new Dice(seed);
    const env = { ...this.box.env, BORG_WORKAROUNDS: OLD_RENAME };
    this.#programs = {
      alcove: (argv, o) => alcoveInProcess(argv, { ...o, env: { ...env, ...o.env } }),
      borg: (argv, o) => this.#borg.run(argv, o),
    };
  }

  async run(mode: string, steps: number): Promise<void> {
    await this.#on("borg", ["init", "-e", mode, "REPO"]);
    // A copy, because the key decides where files are cut.
    cpSync(this.box.path("repo"), this.box.path("twin"), { recursive: true });
    mkdirSync(this.box.path("src"));
    for (let i = 0; i < 12; i++) this.#change();
    for (let step = 1; step <= steps; step++) {
      await this.#step();
      if (step % EVERY === 0 || step === steps) await this.#verify(step === steps);
    }
  }

  end(): void {
    this.#borg.end();
    this.#twinBorg.end();
    this.box.remove();
  }

  async #step(): Promise<void> {
    const dice = this.#dice;
    const names = [...this.#archives.keys()];
    const roll = names.length > MOST_ARCHIVES ? 40 + dice.below(15) : dice.below(100);
    if (names.length < 2 || roll < 35) return this.#create();
    const name = dice.one(names);
    if (roll < 47) {
      const some = dice.below(3) === 0 ? [name, dice.one(names)] : [name];
      await this.#both(["delete", `REPO::${some[0]}`, ...new Set(some.slice(1).filter((n) => n !== name))]);
      for (const n of some) this.#archives.delete(n);
    } else if (roll < 57) await this.#prune();
    else if (roll < 71) {
      await this.#both([
        "compact",
        ...dice.one([[], [], ["--threshold", "0"], ["--cleanup-commits"]]),
        "REPO",
      ]);
      await this.#compareSizes();
    } else if (roll < 79) {
      const renamed = `${dice.one(["alpha", "beta", "gamma"])}-r${this.#created++}`;
      await this.#both(["rename", `REPO::${name}`, renamed]);
      this.#archives.set(renamed, this.#archives.get(name)!);
      this.#archives.delete(name);
    } else await this.#recreate(name);
  }

  async #create(): Promise<void> {
    const dice = this.#dice;
    for (let n = dice.below(6); n > 0; n--) this.#change();
    const name = `${dice.one(["alpha", "beta", "gamma"])}-${this.#created++}`;
    this.#hours += 1 + dice.below(40);
    const time = new Date(Date.UTC(2024, 0, 1) + this.#hours * 3600_000).toISOString().slice(0, 19);
    const options = ["--chunker-params", CHUNKER, ...dice.one([[], ["-C", "none"], ["-C", "zlib,6"]])];
    await this.#both(["create", "--timestamp", time, ...options, `REPO::${name}`, "src"]);
    this.#archives.set(name, snapshot(this.box.dir));
    if (this.#last.who === "alcove") await this.#compareDeduplicated(name, this.#last.base);
  }

  /** What create has told info of an archive is what info counts. */
  async #compareDeduplicated(name: string, base: string): Promise<void> {
    const size = async (): Promise<number> => {
      const argv = ["info", "--json", `${this.box.path("repo")}::${name}`];
      const done = await this.#programs["alcove"]!(argv, {
        cwd: this.box.dir,
        env: { BORG_BASE_DIR: base },
      });
      return JSON.parse(this.#ok(done).stdout).archives[0].stats.deduplicated_size;
    };
    const told = await size();
    const caches = join(base, ".cache/borg");
    for (const id of readdirSync(caches).filter((n) => n !== "CACHEDIR.TAG"))
      rmSync(join(caches, id, "alcove-deduplicated"));
    expect(told, this.#log.join("\n")).toBe(await size());
  }

  async #prune(): Promise<void> {
    const dice = this.#dice;
    const rules = dice.one([
      ["--keep-last", `${2 + dice.below(5)}`],
      ["--keep-daily", `${2 + dice.below(4)}`, "--keep-weekly", "2"],
      ["--keep-hourly", "3", "--keep-monthly", "2", "--keep-yearly", "1"],
    ]);
    const glob = dice.one([[], ["--glob-archives", `${dice.one(["alpha", "beta", "gamma"])}-*`]]);
    await this.#both(["prune", ...rules, ...glob, "REPO"]);
    const left = await this.#names();
    for (const name of this.#archives.keys()) if (!left.includes(name)) this.#archives.delete(name);
  }

  async #recreate(name: string): Promise<void> {
    const dice = this.#dice;
    const excluded = `src/d${dice.below(4)}`;
    const options = dice.one([
      ["--comment", `comment ${dice.below(1000)}`],
      ["--exclude", `pp:${excluded}`],
      ["--recompress", "if-different", "-C", "zlib,3"],
      [
        "--chunker-params",
        `10,${14 + dice.below(4)},${11 + (this.#created++ % 2)},${2 * (this.#created % 50) + 65}`,
      ],
    ]);
    await this.#both(["recreate", ...options, `REPO::${name}`]);
    if (options[0] !== "--exclude") return;
    const now = new Map(this.#archives.get(name)!);
    for (const path of now.keys()) if (path === excluded || path.startsWith(`${excluded}/`)) now.delete(path);
    this.#archives.set(name, now);
  }

  /** Adds, changes or removes a file. A changed file is a new one: archives' hard links are of one moment. */
  #change(): void {
    const dice = this.#dice;
    const dir = this.box.path(dice.one(["src", "src/d0", "src/d1", "src/d2", "src/d3"]));
    mkdirSync(dir, { recursive: true });
    const path = join(dir, `f${dice.below(7)}`);
    rmSync(path, { recursive: true, force: true });
    const kind = dice.below(10);
    const content = 1 + dice.below(40);
    if (kind === 0) return;
    if (kind === 1) symlinkSync(`f${dice.below(7)}`, path);
    else if (kind === 2) {
      const other = this.box.path("src/linked");
      rmSync(other, { force: true });
      writeFileSync(path, randomBytes(1 + dice.below(9000), 77 + content));
      linkSync(path, other);
    } else if (kind === 3) writeFileSync(path, Buffer.alloc(dice.below(90_000), `text ${content} `));
    // The same contents come back in other files, and years later.
    else writeFileSync(path, randomBytes(content * 997, content));
    if (kind !== 1) utimesSync(path, 1.6e9, 1.6e9 + this.#files++);
  }

  async #verify(last: boolean): Promise<void> {
    for (const check of [["--verify-data"], ...(last ? [[]] : [])]) {
      await this.#on("borg", ["check", ...check, "REPO"]);
      await this.#on("alcove", ["check", ...check, "REPO"]);
    }
    const names = await this.#names();
    expect(names).toEqual([...this.#archives.keys()].sort());
    expect(await this.#names(true)).toEqual(names);
    for (const [i, name] of names.entries()) {
      for (const who of last ? ["alcove", "borg"] : [i % 2 ? "alcove" : "borg"]) {
        const out = this.box.path("out");
        rmSync(out, { recursive: true, force: true });
        mkdirSync(out);
        await this.#on(who, ["extract", `REPO::${name}`], out);
        const [came, was] = [snapshot(out), this.#archives.get(name)!];
        expect([...came].sort(), `${name} by ${who}\n${this.#log.join("\n")}`).toEqual([...was].sort());
      }
    }
    if (!last) return;
    await this.#both(["compact", "REPO"]);
    await this.#compareSizes();
    await this.#both(["compact", "--threshold", "0", "REPO"]);
    await this.#compareSizes();
    await this.#on("borg", ["check", "--verify-data", "REPO"]);
  }

  /** Where one segment had just more to free than the threshold, and its twin just less, another compaction without a
   *  threshold has to show that this is all. Item streams may differ: after recompression a cache that was made from
   *  another computer's archives knows the compressed sizes of before, and so do the items of the next backup. */
  async #compareSizes(): Promise<void> {
    const difference = (): number => {
      const [ours, borgs] = [dataBytes(this.box.path("repo")), dataBytes(this.box.path("twin"))];
      return Math.max(0, Math.abs(ours - borgs) - this.#archives.size * ITEMS_BYTES) / borgs;
    };
    if (difference() >= 0.01) await this.#both(["compact", "--threshold", "0", "REPO"]);
    expect(difference(), this.#log.join("\n")).toBeLessThan(0.01);
    this.compared++;
  }

  async #names(twin = false): Promise<string[]> {
    const argv = ["list", "--short", "REPO"];
    const { stdout } = twin
      ? await this.#twin(argv)
      : await this.#on(this.#dice.one(["alcove", "borg"]), argv);
    return stdout.split("\n").filter(Boolean).sort();
  }

  /** By one of the programs, and by borg on the twin. */
  async #both(argv: string[]): Promise<void> {
    const who = this.#dice.one(["alcove", "borg"]);
    await Promise.all([this.#on(who, argv), this.#twin(argv)]);
  }

  async #on(who: string, argv: readonly string[], cwd = this.box.dir): Promise<Result> {
    const base = this.box.path(this.#dice.one(["computer-1", "computer-2"]));
    this.#log.push(`${who} on ${base.slice(-1)}: ${argv.join(" ")}`);
    this.#last = { who, base };
    this.turns[who] = (this.turns[who] ?? 0) + 1;
    const repo = this.box.path("repo");
    const full = argv.map((a) => a.replace("REPO", repo));
    return this.#ok(await this.#programs[who]!(full, { cwd, env: { BORG_BASE_DIR: base } }));
  }

  async #twin(argv: readonly string[]): Promise<Result> {
    const full = argv.map((a) => a.replace("REPO", this.box.path("twin")));
    return this.#ok(
      await this.#twinBorg.run(full, { cwd: this.box.dir, env: { BORG_BASE_DIR: this.box.path("base") } }),
    );
  }

  #ok(result: Result): Result {
    if (result.code !== 0)
      throw new Error(`exit code ${result.code}: ${result.stderr}${result.stdout}\n${this.#log.join("\n")}`);
    return result;
  }
}

describe.each(lives)("the life of seed %i", (seed) => {
  const zone = process.env["TZ"];
  let life: Life;
  beforeAll(() => {
    process.env["TZ"] = "UTC";
    life = new Life(seed);
  });
  afterAll(() => {
    life.end();
    if (zone === undefined) delete process.env["TZ"];
    else process.env["TZ"] = zone;
  });

  it(`is one repository to both programs (${MODES[(seed - 1) % MODES.length]})`, {
    timeout: 900_000,
  }, async () => {
    await life.run(MODES[(seed - 1) % MODES.length]!, STEPS);
    expect(life.turns["alcove"]).toBeGreaterThan(STEPS / 4);
    expect(life.turns["borg"]).toBeGreaterThan(STEPS / 4);
    expect(life.compared).toBeGreaterThan(STEPS / 20);
  });
});
