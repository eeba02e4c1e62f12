// A damaged object ends an extraction, whatever else is under way in threads: what was written till then is what it was,
// each file under its own name, and the error is the same with threads and without.
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Sandbox } from "../support/programs.ts";
import { randomBytes } from "../support/tree.ts";

const FILES = 1200;

/** A position in the data of the n-th entry of a segment; the first ones are the contents, in the order of the files. */
function middleOfObject(bytes: Buffer, n: number): number {
  let at = 8;
  for (; n > 0; n--) at += bytes.readUInt32LE(at + 4);
  return at + Math.floor((41 + bytes.readUInt32LE(at + 4)) / 2);
}

describe.each(["repokey", "none"])("encryption %s", (mode) => {
  const box = new Sandbox();
  afterAll(() => box.remove());
  const content = (i: number): Buffer => randomBytes(300 + (i % 50), i + 1);
  const segment = (): string => {
    const found = readdirSync(box.path("repo/data/0")).map(Number);
    return box.path("repo/data/0", String(Math.max(...found.filter((n) => n < 3))));
  };
  const flip = (at: number): void => {
    const fd = openSync(segment(), "r+");
    const byte = Buffer.alloc(1);
    readSync(fd, byte, 0, 1, at);
    byte[0]! ^= 0x10;
    writeSync(fd, byte, 0, 1, at);
    closeSync(fd);
  };

  it("is extracted as it was, with stripped paths too", () => {
    mkdirSync(box.path("tree/deep"), { recursive: true });
    for (let i = 0; i < FILES; i++) writeFileSync(box.path(`tree/deep/f${i}`), content(i));
    box.ok(box.alcove(["init", "-e", mode, "repo"]));
    box.ok(box.alcove(["create", "--workers", "0", "-C", "none", "repo::one", "tree"]));
    for (const [workers, strip] of [
      ["2", "2"],
      ["1", "0"],
    ] as const) {
      const out = box.path(`out-${workers}`);
      mkdirSync(out);
      box.ok(
        box.alcove(["extract", "--workers", workers, "--strip-components", strip, "../repo::one"], {
          cwd: out,
        }),
      );
      const dir = strip === "2" ? out : join(out, "tree/deep");
      expect(readdirSync(dir)).toHaveLength(FILES);
      for (let i = 0; i < FILES; i++) expect(readFileSync(join(dir, `f${i}`)).equals(content(i))).toBe(true);
    }
  });

  it.each([0.2, 0.8])("damaged at %d: no file is another's, and the error is the same", (where) => {
    // In the middle of an object: what is damaged in an entry's header is told in other words.
    const at = middleOfObject(readFileSync(segment()), Math.floor(where * FILES));
    flip(at);
    try {
      const errors = ["0", "1", "2"].map((workers) => {
        const out = box.path(`damaged-${where}-${workers}`);
        mkdirSync(out);
        const done = box.alcove(["extract", "--workers", workers, "../repo::one"], { cwd: out });
        expect(done.code).toBe(2);
        const dir = join(out, "tree/deep");
        const names = readdirSync(dir);
        expect(names.length).toBeLessThan(FILES);
        for (const name of names)
          expect(readFileSync(join(dir, name)).equals(content(Number(name.slice(1))))).toBe(true);
        return done.stderr.replaceAll(/^.*Object [0-9a-f]{64} in .* at \d+: /gm, "");
      });
      expect(errors[0]).toMatch(/integrity|checksum|damaged/i);
      expect(errors[2]).toBe(errors[1]);
    } finally {
      flip(at);
    }
  });
});
