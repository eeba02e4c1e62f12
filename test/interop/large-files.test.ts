// Large files are shared by workers: read in pieces that end where the chunker would cut anyway. With small chunks a piece
// is 1 MiB, so that files of a few megabytes have many. Cut points, checkpoints and counts must be as without.
import { spawn } from "node:child_process";
import {
  appendFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { alcoveCommand, type RuntimeLabel, Sandbox } from "../support/programs.ts";
import { randomBytes } from "../support/tree.ts";

const PARAMS = ["--chunker-params", "10,16,12,4095"];

let box: Sandbox;
beforeEach(() => {
  box = new Sandbox();
  mkdirSync(box.path("tree"));
});
afterEach(() => box.remove());

/** Words that compress: zstd,19 takes a second for 12 MB of them. */
function words(length: number, seed: number): Buffer {
  const vocabulary = randomBytes(60_000, seed)
    .toString("base64")
    .match(/.{3,9}/gs)!;
  const order = randomBytes(length, seed + 1);
  const out: string[] = [];
  for (let i = 0, n = 0; n < length; i += 2) {
    const word = vocabulary[((order[i % length]! << 8) | order[(i + 1) % length]!) % vocabulary.length]!;
    out.push(word);
    n += word.length;
  }
  return Buffer.from(out.join("")).subarray(0, length);
}

const contents: Record<string, () => Buffer> = {
  noise: () => randomBytes(20_000_000, 1),
  // Nothing in 8 MB is a cut but by its length: no piece ends there, and one is longer.
  hole: () => Buffer.concat([randomBytes(5_000_000, 2), Buffer.alloc(8_000_000), randomBytes(5_000_000, 3)]),
  zeros: () => Buffer.alloc(12_000_000),
  words: () => words(9_000_000, 4),
  // Below and above the size from which on files are divided.
  whole: () => randomBytes(1_572_863, 5),
  halves: () => randomBytes(1_572_864, 6),
  repeated: () => Buffer.concat(Array.from({ length: 5 }, () => randomBytes(1_500_000, 7))),
};

/** Chunk ids of each file of an archive, in order. */
function chunksOf(archive: string): Record<string, string[]> {
  box.ok(box.alcove(["debug", "dump-archive", archive, "dump"]));
  const dump = JSON.parse(readFileSync(box.path("dump"), "latin1")) as {
    _items: { path: string; chunks?: [string, number, number][] }[];
  };
  return Object.fromEntries(dump._items.map((i) => [i.path, (i.chunks ?? []).map(([id]) => id)]));
}

/** References as our cache counts them, and as borg counts them anew. */
function expectSameCounts(repo: string): void {
  const count = (env: Record<string, string>) => {
    const { stats } = JSON.parse(box.ok(box.borg(["info", "--json", repo], { env })).stdout).cache;
    const { total_chunks, total_unique_chunks, total_size, unique_size } = stats;
    return { total_chunks, total_unique_chunks, total_size, unique_size };
  };
  const fresh = { BORG_BASE_DIR: box.path("fresh"), BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes" };
  expect(count({})).toEqual(count(fresh));
}

/** Part files one after the other. */
function partsOf(archive: string, path: string): Buffer {
  const listed = box.ok(
    box.borg(["list", "--consider-part-files", "--format", "{path}{NL}", archive]),
  ).stdout;
  const names = listed.split("\n").filter((n) => n.startsWith(`${path}.borg_part_`));
  names.sort((a, b) => Number(a.split("_").at(-1)) - Number(b.split("_").at(-1)));
  const read = (name: string): Buffer => {
    box.ok(box.borg(["extract", "--consider-part-files", archive, name]));
    return readFileSync(box.path(name));
  };
  mkdirSync(box.path("parts"));
  return Buffer.concat(names.map(read));
}

describe("cut points", () => {
  it.each(["node20", "node26", "deno", "bun"] as const)("are borg's, %s", { timeout: 120_000 }, (on) => {
    for (const [name, make] of Object.entries(contents)) writeFileSync(box.path("tree", name), make());
    const run = (args: string[], label: RuntimeLabel) => {
      const [program, ...rest] = [...alcoveCommand(label), ...args];
      return box.ok(box.run([program!, ...rest]));
    };
    run(["init", "-e", "repokey", "repo"], on);
    run(["create", "--workers", "2", ...PARAMS, "repo::two", "tree"], on);
    run(["create", "--workers", "3", "--files-cache", "disabled", ...PARAMS, "repo::three", "tree"], on);
    box.ok(box.borg(["create", "--files-cache", "disabled", ...PARAMS, "repo::borg", "tree"]));
    const expected = chunksOf("repo::borg");
    for (const name of Object.keys(contents))
      expect(expected[`tree/${name}`]!.length, name).toBeGreaterThan(100);
    expect(chunksOf("repo::two")).toEqual(expected);
    expect(chunksOf("repo::three")).toEqual(expected);
    box.ok(box.borg(["check", "--verify-data", "repo"]));
    expectSameCounts("repo");
  });

  it("of more than one file under way, among small ones", { timeout: 120_000 }, () => {
    for (let i = 0; i < 12; i++) {
      writeFileSync(box.path("tree", `large${i}`), randomBytes(1_600_000 + i * 300_000, i));
      for (let k = 0; k < 40; k++) writeFileSync(box.path("tree", `small${i}-${k}`), randomBytes(k * 900, k));
    }
    box.ok(box.alcove(["init", "-e", "repokey-blake2", "repo"]));
    box.ok(box.alcove(["create", "--workers", "4", ...PARAMS, "repo::a", "tree"]));
    box.ok(box.borg(["create", "--files-cache", "disabled", ...PARAMS, "repo::borg", "tree"]));
    expect(chunksOf("repo::a")).toEqual(chunksOf("repo::borg"));
    expectSameCounts("repo");
  });
});

describe("a file that is", () => {
  const during = async (change: () => void): Promise<string> => {
    const [program, ...args] = [...alcoveCommand(), "create", "--list", "--workers", "2", "-C", "zstd,19"];
    const child = spawn(program!, [...args, ...PARAMS, "repo::a", "tree"], {
      cwd: box.dir,
      env: box.env as NodeJS.ProcessEnv,
    });
    let said = "";
    child.stderr.on("data", (d) => {
      said += d;
    });
    const timer = setInterval(change, 50);
    const code = await new Promise((resolve) => child.on("close", resolve));
    clearInterval(timer);
    expect(code, said).toBe(1);
    expect(said).toContain("file changed while we backed it up");
    expect(said).toMatch(/^C .*tree\/file$/m);
    box.ok(box.borg(["check", "--verify-data", "repo"]));
    expectSameCounts("repo");
    mkdirSync(box.path("out"));
    box.ok(box.alcove(["extract", "../repo::a"], { cwd: box.path("out") }));
    return box.path("out", "tree", "file");
  };

  it("appended to while it is read, is stored without a gap", { timeout: 60_000 }, async () => {
    box.ok(box.alcove(["init", "-e", "none", "repo"]));
    const file = box.path("tree", "file");
    writeFileSync(file, words(20_000_000, 8));
    const stored = readFileSync(await during(() => appendFileSync(file, randomBytes(100_000, 9))));
    expect(stored.length).toBeGreaterThanOrEqual(20_000_000);
    expect(stored.equals(readFileSync(file).subarray(0, stored.length))).toBe(true);
  });

  it("written to in place, is stored with what was there or comes there", { timeout: 60_000 }, async () => {
    box.ok(box.alcove(["init", "-e", "none", "repo"]));
    const file = box.path("tree", "file");
    const before = words(20_000_000, 8);
    writeFileSync(file, before);
    const fd = openSync(file, "r+");
    let n = 0;
    const stored = readFileSync(await during(() => writeSync(fd, "####", (n++ * 777_777) % 19_000_000)));
    expect(stored.length).toBe(before.length);
    for (let i = 0; i < stored.length; i++)
      if (stored[i] !== before[i] && stored[i] !== 0x23) throw new Error(`byte ${i} is neither`);
  });

  it("cut short, is stored as short", { timeout: 60_000 }, async () => {
    box.ok(box.alcove(["init", "-e", "none", "repo"]));
    const file = box.path("tree", "file");
    const before = words(20_000_000, 8);
    writeFileSync(file, before);
    let length = before.length;
    const change = () => {
      length = Math.max(9_000_000, length - 2_000_000);
      truncateSync(file, length);
    };
    const stored = readFileSync(await during(change));
    expect(stored.length).toBeLessThan(before.length);
    expect(stored.equals(before.subarray(0, stored.length))).toBe(true);
  });
});

describe("checkpoints within a file in pieces", () => {
  it("hold a prefix of it, and count what they hold", { timeout: 60_000 }, () => {
    const data = words(60_000_000, 10);
    writeFileSync(box.path("tree", "file"), data);
    box.ok(box.alcove(["init", "-e", "none", "repo"]));
    box.ok(
      box.alcove(["create", "-c", "1", "--workers", "2", "-C", "zstd,19", ...PARAMS, "repo::a", "tree"]),
    );
    const parts = partsOf("repo::a", "tree/file");
    // The last part is what came behind the last checkpoint.
    expect(parts.equals(data)).toBe(true);
    expectSameCounts("repo");
    box.ok(box.borg(["check", "--verify-data", "repo"]));
  });

  it("are kept when a backup is interrupted", { timeout: 60_000 }, async () => {
    const data = words(60_000_000, 11);
    writeFileSync(box.path("tree", "file"), data);
    box.ok(box.alcove(["init", "-e", "none", "repo"]));
    const [program, ...args] = [
      ...alcoveCommand(),
      "create",
      "--progress",
      "--workers",
      "2",
      "-C",
      "zstd,19",
    ];
    const child = spawn(program!, [...args, ...PARAMS, "repo::a", "tree"], {
      cwd: box.dir,
      env: box.env as NodeJS.ProcessEnv,
    });
    child.stderr.once("data", () => setTimeout(() => child.kill("SIGINT"), 700));
    child.stderr.resume();
    expect(await new Promise((resolve) => child.on("close", resolve))).toBe(130);
    const parts = partsOf("repo::a.checkpoint", "tree/file");
    expect(parts.length).toBeGreaterThan(0);
    expect(parts.length).toBeLessThan(data.length);
    expect(parts.equals(data.subarray(0, parts.length))).toBe(true);
    expectSameCounts("repo");
    box.ok(box.borg(["check", "--verify-data", "repo"]));
    // What is there is not stored again.
    box.ok(box.alcove(["create", "--workers", "2", "-C", "zstd,19", ...PARAMS, "repo::a", "tree"]));
    expectSameCounts("repo");
  });
});
