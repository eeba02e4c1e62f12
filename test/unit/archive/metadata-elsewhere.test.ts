// Metadata on an operating system whose C library this program does not know (a pretended macOS): what node:fs can do is
// done, what is lost is said once and not once a file, and nothing fails.
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";

vi.mock("../../../src/runtime/platform.ts", async (original) => {
  const real = await original<typeof import("../../../src/runtime/platform.ts")>();
  return { ...real, isLinux: false, runtime: { ...real.runtime, os: "darwin" } };
});

const { MetadataCollector } = await import("../../../src/archive/metadata-capture.ts");
const { createNode, MetadataRestorer } = await import("../../../src/archive/metadata-restore.ts");
const { ExtractTree } = await import("../../../src/archive/extract-tree.ts");
const { fs, libc } = await import("../../../src/runtime/index.ts");

const work = mkdtempSync(join(tmpdir(), "alcove-elsewhere-"));
afterAll(() => rmSync(work, { recursive: true }));

const everything = {
  mode: 0o100640,
  uid: process.getuid!(),
  gid: process.getgid!(),
  mtime: 1700000000123456000n,
  atime: 1600000000654321000n,
  bsdflags: 1,
  xattrs: new Map([["user.a", Uint8Array.of(1)]]),
  acl_access: new TextEncoder().encode("user::rw-\nuser:root:r--:0\ngroup::r--\nmask::r--\nother::---\n"),
};

describe("on a system that is not Linux", () => {
  it("saves what there is and says what not", () => {
    expect(libc()).toBeUndefined();
    const said: string[] = [];
    const options = { onLimits: (s: string) => said.push(s), onProblem: () => expect.unreachable() };
    const collector = new MetadataCollector({ ...options, atime: true });
    const path = join(work, "saved");
    writeFileSync(path, "x");
    chmodSync(path, 0o4751);
    const stat = fs.lstat(path);
    const attrs = collector.statAttrs(stat, path);
    expect(attrs).toMatchObject({ mode: 0o104751, uid: stat.uid, mtime: stat.mtimeNs, ctime: stat.ctimeNs });
    // Borg has it on the systems whose stat tells it.
    expect(attrs.birthtime).toBe(lstatSync(path, { bigint: true }).birthtimeNs);
    expect(new MetadataCollector({ birthtime: false }).statAttrs(stat, path).birthtime).toBeUndefined();
    expect(attrs).not.toHaveProperty("xattrs");
    expect(said).toEqual([
      "On this operating system (darwin) these cannot be saved: extended attributes, ACLs and file flags.",
    ]);
  });

  it.each([
    [{ xattrs: false, acls: false }, ["file flags"]],
    [{ flags: false }, ["extended attributes and ACLs"]],
    [{ xattrs: false, acls: false, flags: false }, []],
  ])("says nothing of what is not wanted: %o", (wanted, lost) => {
    const said: string[] = [];
    new MetadataCollector({ ...wanted, onLimits: (s) => said.push(s) });
    expect(said).toEqual(lost.map((l) => `On this operating system (darwin) these cannot be saved: ${l}.`));
  });

  it("restores what there is and says what not, once", () => {
    const said: string[] = [];
    const restorer = new MetadataRestorer({
      onLimits: (s) => said.push(s),
      onProblem: (p) => expect.unreachable(`${p.what}: ${p.error.message}`),
    });
    const root = join(work, "target");
    mkdirSync(root);
    const tree = new ExtractTree(root);
    const inner = tree.makeDirectory("sub/dir", "sub/dir/x");
    for (const name of ["one", "two"]) {
      const fd = fs.createExclusive(name, 0o600, inner);
      restorer.restoreAttrs(
        { path: tree.absolute(`sub/dir/${name}`), fd, dir: inner, name },
        { path: name, ...everything },
      );
      fs.symlink("nowhere", `${name}-link`, inner);
      restorer.restoreAttrs(
        { path: `${inner.path}/${name}-link`, dir: inner, name: `${name}-link` },
        {
          ...everything,
          path: name,
          mode: 0o120777,
        },
      );
      createNode(`${name}-fifo`, { path: name, mode: 0o010640 }, inner);
      restorer.restoreAttrs(
        { path: `${inner.path}/${name}-fifo`, dir: inner, name: `${name}-fifo` },
        {
          ...everything,
          path: name,
          mode: 0o010640,
        },
      );
      for (const made of [name, `${name}-link`, `${name}-fifo`]) {
        const st = lstatSync(join(root, "sub/dir", made), { bigint: true });
        expect([made, st.mtimeNs / 1000n]).toEqual([made, everything.mtime / 1000n]);
      }
      expect(lstatSync(join(root, "sub/dir", name)).mode).toBe(0o100640);
      expect(lstatSync(join(root, "sub/dir", `${name}-fifo`)).mode).toBe(0o010640);
    }
    restorer.flush();
    tree.close();
    expect(said).toEqual([
      "On this operating system (darwin) these cannot be restored: extended attributes, ACLs, file flags and nanoseconds of times.",
    ]);
  });

  it("walks and refuses symlinks as elsewhere", () => {
    const root = join(work, "walk");
    mkdirSync(join(root, "a"), { recursive: true });
    fs.symlink("a", join(root, "link"));
    utimesSync(root, 1, 1);
    expect(
      fs
        .scanDir(root)
        .map((e) => e.name)
        .sort(),
    ).toEqual(["a", "link"]);
    const tree = new ExtractTree(root);
    expect(() => tree.directory("link")).toThrow(/ENOTDIR|ELOOP/);
    tree.close();
  });
});
