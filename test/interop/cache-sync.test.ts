// The chunks cache after others have changed the repository: counted anew by threads and without to the same files,
// with progress, also where an archive cannot be read; and not at all by commands that the repository's index serves.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { alcoveInProcess } from "../support/in-process.ts";
import { Sandbox } from "../support/programs.ts";

const box = new Sandbox();
afterAll(() => box.remove());
const repo = box.path("repo");
const ARCHIVES = 11;
// Long paths make many pieces of item streams, enough for threads to start, of few files.
const FILES = 3600;
const DEEP = Array.from({ length: 14 }, (_, i) => `${i}`.padEnd(200, "-")).join("/");

beforeAll(() => {
  const src = box.path("src");
  mkdirSync(join(src, DEEP), { recursive: true });
  for (let n = 0; n < FILES; n++) writeFileSync(join(src, DEEP, `file ${n}`), "");
  for (let n = 0; n < 20; n++) writeFileSync(join(src, `content${n}`), `content ${n}`.repeat(100));
  box.ok(box.alcove(["init", "-e", "repokey", repo]));
  for (let n = 0; n < ARCHIVES; n++) {
    writeFileSync(join(src, "changing"), `state ${n}`);
    const who = n % 2 ? box.borg : box.alcove;
    const env = { BORG_BASE_DIR: box.path("writer") };
    box.ok(who.call(box, ["create", `${repo}::archive${n}`, "src"], { env }));
  }
});

const id = (): string => /^id = (\w+)$/m.exec(readFileSync(join(repo, "config"), "utf8"))![1]!;
const cache = (base: string): string => box.path(base, ".cache/borg", id());

/** What the cache knows, as borg reads it: all references, and those of each archive. */
function references(base: string): Record<string, string[]> {
  const code = `
import sys, os, json
from borg.hashindex import ChunkIndex
found = {}
for name in ['chunks'] + sorted('chunks.archive.d/' + n for n in os.listdir('chunks.archive.d') if n.endswith('.compact')):
    index = ChunkIndex.read(name)
    found[name] = sorted('%s %d %d %d' % (k.hex(), *v) for k, v in index.iteritems())
print(json.dumps(found))`;
  const run = box.ok(box.run(["/usr/bin/python3", "-c", code], { cwd: cache(base) }));
  return JSON.parse(run.stdout);
}

const sync = (base: string, workers: number, path = repo) =>
  box.alcove(["info", "--workers", `${workers}`, "--progress", "--log-json", path], {
    env: { BORG_BASE_DIR: box.path(base) },
  });

describe("a cache without the archives of others", () => {
  it("is brought in step by any number of threads, as by borg", () => {
    for (const workers of [0, 1, 3]) {
      const { stderr } = box.ok(sync(`computer${workers}`, workers));
      const shown = stderr
        .split("\n")
        .filter((line) => line.includes("cache.sync"))
        .map((line) => JSON.parse(line) as { info?: string[]; finished: boolean; total?: number });
      expect(shown.at(-1)!.finished).toBe(true);
      for (let n = 0; n < ARCHIVES; n++)
        expect(
          shown.some((p) => p.info?.join().includes(`archive${n}`)),
          stderr,
        ).toBe(true);
    }
    const env = { BORG_BASE_DIR: box.path("borgs") };
    box.ok(box.borg(["info", repo], { env }));
    const expected = references("borgs");
    expect(Object.keys(expected)).toHaveLength(1 + ARCHIVES);
    for (const workers of [0, 1, 3]) expect(references(`computer${workers}`)).toEqual(expected);
  });

  it("fetches only what is new to it", () => {
    const env = { BORG_BASE_DIR: box.path("writer") };
    box.ok(box.alcove(["rename", `${repo}::archive1`, "renamed"], { env }));
    const { stderr } = box.ok(
      box.alcove(["info", "--info", repo], {
        env: { BORG_BASE_DIR: box.path("computer3") },
      }),
    );
    expect(stderr.match(/building the archive index of \w+/g)).toEqual([
      "building the archive index of renamed",
    ]);
  });

  it("says what is wrong with an archive, threads or not", () => {
    const hurt = box.path("hurt");
    cpSync(repo, hurt, { recursive: true });
    const segments = readdirSync(join(hurt, "data/0"))
      .map(Number)
      .sort((a, b) => a - b);
    // The largest piece of the first archive: its item stream.
    const first = join(hurt, "data/0", `${segments[2]}`);
    const bytes = readFileSync(first);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(first, bytes);
    const results = [0, 3].map((workers) => sync(`hurt${workers}`, workers, hurt));
    for (const { code, stderr } of results) {
      expect(code).toBe(2);
      expect(stderr).toMatch(/checksum mismatch|integrity/i);
      expect(stderr).not.toMatch(/Internal error|\bat .*\.m?js:/);
    }
    const told = results.map(
      ({ stderr }) => stderr.split("\n").filter((l) => l.includes('"log_message"')).length,
    );
    expect(told[0]).toBe(told[1]);
  });
});

describe("a command that the repository's index serves", () => {
  it.each([
    ["list", [repo]],
    ["list", [`${repo}::archive0`]],
    ["extract", ["--dry-run", `${repo}::archive0`]],
    ["diff", [`${repo}::archive0`, "archive2"]],
    ["check", [repo]],
    ["compact", [repo]],
    ["export-tar", [`${repo}::archive0`, "-"]],
    ["key export", [repo, "-"]],
  ])("syncs no cache: %s %s", async (command, args) => {
    const env = { ...box.env, BORG_BASE_DIR: box.path("reader") };
    box.ok(await alcoveInProcess([...command.split(" "), ...args], { cwd: box.dir, env }));
    expect(existsSync(join(cache("reader"), "chunks"))).toBe(false);
  });
});
