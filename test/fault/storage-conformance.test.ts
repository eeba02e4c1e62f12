// The same random operations on a real directory and on the simulated disk: the same results, the same error codes, the
// same files in the end. What the simulators find would mean little if their file system were another one.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { PosixStorage } from "../../src/storage/posix.ts";
import type { Storage } from "../../src/storage/types.ts";
import { emptyDisk } from "./life.ts";
import { MemoryStorage } from "./memory-storage.ts";
import { SubStorage } from "./sub-storage.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "alcove-conform-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const name = fc.constantFrom("a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "f", "f/a");
const bytes = fc.uint8Array({ maxLength: 40 });
type Step = (s: Storage) => unknown;
const steps: fc.Arbitrary<[string, Step]>[] = [
  fc.tuple(name, bytes, fc.boolean()).map(([n, b, append]) => [
    `write ${n} ${append}`,
    (s) => {
      const h = s.openWrite(n, { append });
      try {
        const before = h.position();
        h.write(b);
        h.write(b);
        h.sync();
        return [before, h.position()];
      } finally {
        h.close();
      }
    },
  ]),
  fc.tuple(name, bytes).map(([n, b]) => [`writeAtomic ${n}`, (s) => s.writeAtomic(n, [b, b])]),
  name.map((n) => [`read ${n}`, (s) => [...s.read(n)]]),
  fc.tuple(name, fc.nat(50), fc.nat(20)).map(([n, at, length]) => [
    `read ${n} at ${at}`,
    (s) => {
      const h = s.openRead(n);
      try {
        const into = new Uint8Array(length);
        return [h.read(into, at), ...into];
      } finally {
        h.close();
      }
    },
  ]),
  name.map((n) => [`exists ${n}`, (s) => s.exists(n)]),
  name.map((n) => [
    `stat ${n}`,
    (s) => {
      const { kind, size, links } = s.stat(n);
      return kind === "dir" ? kind : [kind, size, links];
    },
  ]),
  fc.constantFrom("", "d", "d/e", "a").map((n) => [`list ${n}`, (s) => s.list(n).sort()]),
  name.map((n) => [`mkdir ${n}`, (s) => s.mkdir(n)]),
  name.map((n) => [`rmdir ${n}`, (s) => s.rmdir(n)]),
  name.map((n) => [`unlink ${n}`, (s) => s.unlink(n)]),
  name.map((n) => [`erase ${n}`, (s) => s.erase(n)]),
  fc.tuple(name, name).map(([a, b]) => [`rename ${a} ${b}`, (s) => s.rename(a, b)]),
  fc.tuple(name, name).map(([a, b]) => [`link ${a} ${b}`, (s) => s.link(a, b)]),
  fc.tuple(name, fc.nat(60)).map(([n, size]) => [`truncate ${n} ${size}`, (s) => s.truncate(n, size)]),
];

function outcome(step: Step, storage: Storage): unknown {
  try {
    return step(storage);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return code;
  }
}

function tree(s: Storage, at = ""): unknown[] {
  return s
    .list(at)
    .sort()
    .map((n) => {
      const path = at === "" ? n : `${at}/${n}`;
      return s.stat(path).kind === "dir"
        ? [path, tree(s, path)]
        : [path, [...s.read(path)], s.stat(path).links];
    });
}

it("a disk in memory behaves like a real one, snapshots included", { timeout: 120_000 }, () => {
  let run = 0;
  fc.assert(
    fc.property(fc.array(fc.oneof(...steps), { maxLength: 40 }), fc.nat(40), (script, snapshotAt) => {
      const root = join(dir, String(run++));
      const real = new PosixStorage(root);
      real.makeRoot();
      const disk = emptyDisk();
      const whole = new MemoryStorage(disk, "/simulated");
      // Through a part of it, as the simulators use it.
      const memory = new SubStorage(whole, "repo");
      memory.makeRoot();
      let snapshot: { storage: Storage; tree: unknown } | undefined;
      for (const [i, [what, step]] of script.entries()) {
        if (i === snapshotAt) {
          const storage = new MemoryStorage(disk.clone(), "/simulated/repo");
          snapshot = { storage, tree: tree(storage) };
        }
        expect(outcome(step, memory), `${i}: ${what}`).toEqual(outcome(step, real));
      }
      expect(tree(memory)).toEqual(tree(real));
      if (snapshot) expect(tree(snapshot.storage)).toEqual(snapshot.tree);
      rmSync(root, { recursive: true });
    }),
    { numRuns: process.env["ALCOVE_LONG"] === "1" ? 5000 : 150, seed: 7 },
  );
});
