// The tree and the file system over it, with archives in memory whose item streams are cut at awkward places.
import { expect, test } from "vitest";
import { errno, S_IFDIR, S_IFLNK, S_IFREG } from "../../../src/mount/constants.ts";
import { FileSystem, type FileSystemOptions, FsError } from "../../../src/mount/filesystem.ts";
import { type Fields, SyntheticSource } from "./synthetic.ts";

const text = (s: string) => new TextEncoder().encode(s);
const base = { mode: S_IFREG | 0o644, user: null, group: null, uid: 1, gid: 2, mtime: 1_000_000_001n };

async function open(source: SyntheticSource, options: Partial<FileSystemOptions> = {}) {
  const warnings: string[] = [];
  const fs = new FileSystem(source, {
    defaultUid: 0,
    defaultGid: 0,
    now: 5n,
    log: (level, message) => level === "warning" && warnings.push(message),
    ...options,
  });
  await fs.start();
  const find = async (path: string): Promise<number> => {
    let node = 1;
    for (const part of path.split("/")) {
      node = await fs.lookup(node, text(part));
      if (!node) return 0;
    }
    return node;
  };
  const names = async (directory: number): Promise<string[]> => {
    await fs.ready(directory);
    const list: string[] = [];
    for (let n = fs.tree.firstChild(directory); n; n = fs.tree.nextSibling(n))
      list.push(Buffer.from(fs.tree.name(n)).toString());
    return list;
  };
  const read = async (path: string, offset = 0, size = 1 << 20) =>
    Buffer.concat(await fs.read(await find(path), offset, size)).toString();
  return { fs, find, names, read, warnings };
}

const single = (source: SyntheticSource, items: Fields[], options: Partial<FileSystemOptions> = {}) =>
  open(source, { archive: source.addArchive("a", items), ...options });

for (const cut of [1, 7, 64, 100_000]) {
  test(`items cut every ${cut} bytes come together again`, async () => {
    const source = new SyntheticSource(cut);
    const items = Array.from({ length: 50 }, (_, i) => ({
      ...base,
      path: `d${i % 5}/file${i}`,
      chunks: source.contents(text(`contents of ${i}`), 4),
    }));
    const { names, read } = await single(source, items);
    expect(await names(1)).toEqual(["d0", "d1", "d2", "d3", "d4"]);
    for (let i = 0; i < 50; i++) expect(await read(`d${i % 5}/file${i}`)).toBe(`contents of ${i}`);
  });
}

test("archives are loaded when looked at, once, also by two at the same time", async () => {
  const source = new SyntheticSource();
  source.slow = true;
  source.addArchive("one", [{ ...base, path: "x" }], 77n);
  source.addArchive("two", [{ ...base, path: "y" }]);
  const { fs, names } = await open(source);
  expect(await names(1)).toEqual(["one", "two"]);
  expect(source.asked.length).toBe(0);
  const one = await fs.lookup(1, text("one"));
  expect(await fs.attributes(one)).toMatchObject({ mtime: 77n, nlink: 1, mode: S_IFDIR | 0o755 });
  const [a, b] = await Promise.all([fs.lookup(one, text("x")), fs.lookup(one, text("x"))]);
  expect(a).toBe(b);
  expect(a).toBeGreaterThan(0);
  expect(await names(one)).toEqual(["x"]);
  expect(await fs.lookup(one, text("nothing"))).toBe(0);
});

test("attributes: names to ids, forced ids, umask, sizes, times", async () => {
  const source = new SyntheticSource();
  const items = [
    {
      ...base,
      path: "f",
      user: "me",
      group: "us",
      atime: 3n,
      size: 9,
      chunks: source.contents(text("123456789")),
    },
    { ...base, path: "l", mode: S_IFLNK | 0o777, source: "some/where" },
    { ...base, path: "old", uid: -1, mtime: -1_500_000_000n },
  ];
  const resolve = { uid: (n: string) => (n === "me" ? 500 : undefined), gid: () => undefined };
  const a = await single(source, items, { resolve, defaultUid: 42 });
  expect(await a.fs.attributes(await a.find("f"))).toMatchObject({
    uid: 500,
    gid: 2,
    size: 9,
    atime: 3n,
    nlink: 1,
  });
  expect(await a.fs.attributes(await a.find("f"))).toMatchObject({
    mtime: 1_000_000_001n,
    ctime: 1_000_000_001n,
  });
  expect(await a.fs.attributes(await a.find("l"))).toMatchObject({ size: 10 });
  expect(Buffer.from(await a.fs.readlink(await a.find("l"))).toString()).toBe("some/where");
  expect(await a.fs.attributes(await a.find("old"))).toMatchObject({ uid: 42, mtime: -1_500_000_000n });
  const b = await open(source, { archive: source.archives()[0]!, resolve, numericIds: true });
  expect(await b.fs.attributes(await b.find("f"))).toMatchObject({ uid: 1, gid: 2 });
  const c = await open(source, { archive: source.archives()[0]!, uid: 7, gid: 8, umask: 0o077 });
  expect(await c.fs.attributes(await c.find("f"))).toMatchObject({ uid: 7, gid: 8, mode: S_IFREG | 0o600 });
});

test("hard links share an inode; a left-out first name gives its chunks to the next", async () => {
  const source = new SyntheticSource();
  const items = [
    { ...base, path: "a/one", hardlink_master: true, chunks: source.contents(text("linked")) },
    { ...base, path: "b/two", source: "a/one" },
    { ...base, path: "b/three", source: "a/one" },
    { ...base, path: "b/broken", source: "no/where" },
  ];
  const all = await single(source, items);
  const node = await all.find("a/one");
  expect(await all.find("b/two")).toBe(node);
  expect((await all.fs.attributes(node)).nlink).toBe(3);
  expect(await all.find("b/broken")).toBe(0);
  expect(all.warnings.length).toBe(1);
  const some = await open(source, { archive: source.archives()[0]!, filter: (p) => p.startsWith("b/") });
  expect(await some.names(1)).toEqual(["b"]);
  expect(await some.read("b/two")).toBe("linked");
  expect(await some.find("b/three")).toBe(await some.find("b/two"));
  expect(await some.fs.attributes(await some.find("b/two"))).toMatchObject({ size: 6, nlink: 2 });
});

test("strip components, later duplicates, directories after their contents, impossible names", async () => {
  const source = new SyntheticSource();
  const items = [
    { ...base, path: "p/q/file", chunks: source.contents(text("old")) },
    { ...base, path: "p/q/file", chunks: source.contents(text("new")) },
    { ...base, path: "p/q", mode: S_IFDIR | 0o700 },
    { ...base, path: "p/../up" },
    { ...base, path: `p/${"n".repeat(1025)}` },
    { ...base, path: "p/nul\0" },
    { ...base, path: "p/part", part: 1 },
  ];
  const { fs, names, read, find, warnings } = await single(source, items, { stripComponents: 1 });
  expect(await names(1)).toEqual(["q"]);
  expect(await names(await find("q"))).toEqual(["file"]);
  expect(await read("q/file")).toBe("new");
  expect((await fs.attributes(await find("q"))).mode).toBe(S_IFDIR | 0o700);
  expect(warnings.length).toBe(3);
});

test("directories with many entries are found by table, beyond every page boundary", async () => {
  const source = new SyntheticSource(5000);
  const items = Array.from({ length: 20_000 }, (_, i) => ({
    ...base,
    path: `dir/${"x".repeat(i % 40)}${i}`,
  }));
  const { find, names } = await single(source, items);
  const listed = await names(await find("dir"));
  expect(listed.length).toBe(20_000);
  for (const i of [0, 1, 39, 8191, 8192, 19_999]) expect(await find(`dir/${listed[i]}`)).toBeGreaterThan(0);
  expect(await find("dir/nobody")).toBe(0);
});

test("versions: a directory for each file, one entry for each different content", async () => {
  const source = new SyntheticSource();
  const one = { ...base, path: "d/a.txt", chunks: source.contents(text("first")) };
  source.addArchive("1", [one, { ...base, path: "d/.rc", chunks: source.contents(text("r")) }]);
  source.addArchive("2", [one]);
  source.addArchive("3", [{ ...base, path: "d/a.txt", chunks: source.contents(text("second")) }]);
  const { names, find, read } = await open(source, { versions: true });
  expect(await names(await find("d/a.txt"))).toEqual(["a.00001.txt", "a.00002.txt"]);
  expect(await read("d/a.txt/a.00002.txt")).toBe("second");
  expect(await names(await find("d/.rc"))).toEqual([".rc.00001"]);
});

test("missing and damaged chunks give EIO unless they are allowed", async () => {
  const source = new SyntheticSource();
  const items = [
    { ...base, path: "gone", chunks: source.contents(text("0123456789"), 5) },
    {
      ...base,
      path: "zeroed",
      chunks: source.contents(text("abc")),
      chunks_healthy: source.contents(text("xyz")),
    },
  ];
  source.chunks.delete(source.put(text("56789")).length ? [...source.chunks.keys()][1]! : "");
  const strict = await single(source, items);
  await expect((async () => strict.read("gone"))()).rejects.toMatchObject({ errno: errno.EIO });
  await expect((async () => strict.read("zeroed"))()).rejects.toBeInstanceOf(FsError);
  expect(await strict.read("gone", 0, 5)).toBe("01234");
  const loose = await open(source, { archive: source.archives()[0]!, allowDamagedFiles: true });
  expect(await loose.read("gone")).toBe("01234\0\0\0\0\0");
  expect(await loose.read("zeroed")).toBe("abc");
});

test("reads at every offset and size give the same bytes", async () => {
  const source = new SyntheticSource();
  source.slow = true;
  const data = "The quick brown fox jumps over the lazy dog";
  const { read } = await single(source, [{ ...base, path: "f", chunks: source.contents(text(data), 7) }]);
  for (let at = 0; at <= data.length + 1; at += 3)
    for (const size of [1, 6, 7, 8, 100]) expect(await read("f", at, size)).toBe(data.slice(at, at + size));
});

test("extended attributes and ACLs", async () => {
  const source = new SyntheticSource();
  const items = [
    {
      ...base,
      path: "f",
      xattrs: new Map<string, unknown>([
        ["user.a", text("1")],
        ["user.empty", null],
      ]),
      acl_access: text("user::rw-\nuser:bob:r--:1001\ngroup::r--\nmask::r--\nother::---\n"),
    },
  ];
  const { fs, find } = await single(source, items);
  const all = await fs.xattrs(await find("f"));
  expect(all.map(([n]) => Buffer.from(n).toString())).toEqual([
    "user.a",
    "user.empty",
    "system.posix_acl_access",
  ]);
  const acl = Buffer.from(all[2]![1]);
  expect(acl.readUInt32LE(0)).toBe(2);
  expect([acl.readUInt16LE(12), acl.readUInt16LE(14), acl.readUInt32LE(16)]).toEqual([2, 4, 1001]);
});

test("an item stream that is no item stream is an error, not a hang", async () => {
  const source = new SyntheticSource();
  for (const bytes of [[0xc1], [0x81, 0xa1, 0x61], [0xdf, 0xff, 0xff, 0xff, 0xff], Array(200).fill(0x81)]) {
    const name = `bad${bytes.length}`;
    source.addArchive(name, []);
    const archive = source.archives().at(-1)!;
    source.itemChunks = async () => [source.put(Uint8Array.from(bytes))];
    await expect(open(source, { archive })).rejects.toThrow();
  }
});
