// The file system facade in this process: numbers against Python's os.lstat, errors, names that are bytes, holes.
import { execFileSync } from "node:child_process";
import { closeSync, ftruncateSync, mkdtempSync, readSync, writeSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  constants,
  devMajor,
  devMinor,
  type FsEntry,
  fs,
  fsEncode,
  groupName,
  holes,
  joinNs,
  libc,
  Stat,
  splitNs,
  userId,
  userName,
  xattr,
} from "../../../src/runtime/index.ts";
import { narrowTimes } from "../../../src/runtime/libc.ts";
import { readEntriesNode } from "../../../src/runtime/scanner-node.ts";
import { makedev } from "../../../src/runtime/stat.ts";
import { cleanTree, isRoot, makeTree } from "../../runtime/tree.ts";

const work = mkdtempSync(path.join(os.tmpdir(), "alcove-fs-"));
afterAll(() => cleanTree(work));
const python = (code: string, ...args: string[]) =>
  execFileSync("/usr/bin/python3", ["-c", code, ...args], { encoding: "utf8", maxBuffer: 1 << 28 });
const code = (action: () => unknown): string | undefined => {
  try {
    action();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
  return undefined;
};

describe("status", () => {
  it("has the numbers of Python's os.lstat, for every kind of file", () => {
    const tree = path.join(work, "tree");
    makeTree(tree, { root: isRoot });
    const expected = JSON.parse(
      python(
        `import os,sys,json
out={}
for e in os.scandir(os.fsencode(sys.argv[1])):
    s=e.stat(follow_symlinks=False)
    out[e.name.hex()]=[str(x) for x in (s.st_mode,s.st_uid,s.st_gid,s.st_nlink,s.st_size,s.st_ino,s.st_dev,s.st_rdev,s.st_blocks,s.st_mtime_ns,s.st_atime_ns,s.st_ctime_ns)]
print(json.dumps(out))`,
        tree,
      ),
    ) as Record<string, string[]>;
    const directory = fs.openDirectory(tree);
    const stat = new Stat();
    const entries = directory.entries();
    expect(entries.length).toBe(Object.keys(expected).length);
    const inodes = entries.map((e) => Number(e.ino));
    expect(inodes).toEqual([...inodes].sort((a, b) => a - b));
    for (const { name } of entries) {
      for (const s of [directory.lstat(name, stat), fs.lstat(path.posix.join(tree, "/") + name)]) {
        const numbers = [
          s.mode,
          s.uid,
          s.gid,
          s.nlink,
          s.size,
          s.ino,
          s.dev,
          s.rdev,
          s.blocks,
          s.mtimeNs,
          s.atimeNs,
          s.ctimeNs,
        ];
        expect(numbers.map(String)).toEqual(expected[Buffer.from(fsEncode(name)).toString("hex")]);
      }
    }
    directory.close();
  });

  it("encodes device numbers as glibc does", () => {
    for (const [major, minor] of [
      [0, 0],
      [8, 17],
      [4095, 1048575],
      [259, 70000],
    ] as const) {
      const expected = python(
        "import os,sys;print(os.makedev(int(sys.argv[1]),int(sys.argv[2])))",
        `${major}`,
        `${minor}`,
      );
      expect(makedev(major, minor)).toBe(Number(expected));
      expect([devMajor(makedev(major, minor)), devMinor(makedev(major, minor))]).toEqual([major, minor]);
    }
  });

  it("splits and joins times on either side of 1970", () => {
    for (const ns of [0n, 1n, -1n, -999999999n, -1000000000n, 1234567890123456789n, -1234567890123456789n]) {
      const [sec, nsec] = splitNs(ns);
      expect(nsec).toBeGreaterThanOrEqual(0);
      expect(nsec).toBeLessThan(1e9);
      expect(joinNs(sec, nsec)).toBe(ns);
    }
  });
});

describe("errors", () => {
  it("are those of node:fs", () => {
    const none = path.join(work, "none");
    expect(code(() => fs.lstat(none))).toBe("ENOENT");
    expect(code(() => fs.openRead(none))).toBe("ENOENT");
    expect(code(() => fs.scanDir(none))).toBe("ENOENT");
    expect(code(() => fs.readlink(work))).toBe("EINVAL");
    expect(code(() => fs.rmdir("/proc"))).toMatch(/EBUSY|EPERM|EACCES/);
    expect(code(() => fs.mkdir(work))).toBe("EEXIST");
    expect(code(() => fs.lstat(path.join(work, "x".repeat(256))))).toBe("ENAMETOOLONG");
    expect(code(() => fs.lstat(`${work}/${"y/".repeat(9000)}`))).toBe("ENAMETOOLONG");
    expect(code(() => fs.lstat("a\0b"))).toMatch(/EINVAL|ERR_INVALID_ARG_VALUE/);
    expect(fs.exists(none)).toBe(false);
    expect(fs.exists(path.join(work, "none/below"))).toBe(false);
  });

  it("do not come from a symlink at the end of a path, which is never followed", () => {
    const link = path.join(work, "link");
    fs.symlink("/etc/passwd", link);
    expect(code(() => fs.openRead(link))).toBe("ELOOP");
    expect(code(() => fs.openDirectory(link))).toBe("ENOTDIR");
    expect(code(() => fs.createExclusive(link))).toBe("EEXIST");
    closeSync(fs.openRead(link, { follow: true }));
    expect(fs.readlink(link)).toBe("/etc/passwd");
  });
});

describe("names are bytes", () => {
  it("in every call", () => {
    const directory = path.join(work, "n\udcff\ndir");
    fs.mkdir(directory);
    const file = `${directory}/\udcfe${"z".repeat(200)}`;
    const fd = fs.createExclusive(file, 0o640);
    writeSync(fd, Buffer.from("abc"));
    closeSync(fd);
    expect(fs.scanDir(directory).map((e) => e.name)).toEqual([`\udcfe${"z".repeat(200)}`]);
    fs.rename(file, `${directory}/\udc80`);
    fs.link(`${directory}/\udc80`, `${directory}/\udc81`);
    expect(fs.lstat(`${directory}/\udc81`).nlink).toBe(2);
    fs.unlink(`${directory}/\udc80`);
    fs.chmod(`${directory}/\udc81`, 0o604);
    expect(fs.lstat(`${directory}/\udc81`).mode & 0o7777).toBe(0o604);
  });
});

describe.runIf(libc())("through FFI", () => {
  it("works relative to an open directory whose path leads elsewhere meanwhile", () => {
    const [real, moved] = [path.join(work, "real"), path.join(work, "moved")];
    fs.mkdir(real);
    const directory = fs.openDirectory(real);
    fs.rename(real, moved);
    fs.symlink("/etc", real);
    closeSync(fs.createExclusive("made", 0o600, directory));
    fs.mkdir("sub", 0o700, directory);
    fs.symlink("t", "s", directory);
    fs.mknod("fifo", 0o010600, 0, directory);
    fs.utimens("made", 1n, 2n, directory);
    expect(
      fs
        .scanDir(moved)
        .map((e) => e.name)
        .sort(),
    ).toEqual(["fifo", "made", "s", "sub"]);
    expect(fs.lstat(`${moved}/made`).mtimeNs).toBe(2n);
    directory.close();
  });

  it("visits names in the same order as without FFI", () => {
    const tree = path.join(work, "order");
    // Hard links, which have one number, are in the order of the directory here and of their names there.
    makeTree(tree);
    fs.unlink(`${tree}/hard-b`);
    for (const dir of [tree, "/usr/bin", "/"]) {
      const numbered = (entries: FsEntry[]) => {
        const mounts = new Set(readEntriesNode(dir).flatMap((e) => (e.ino === 0 ? [e.name] : [])));
        const seen = new Map<number | bigint, number>();
        for (const e of entries) seen.set(e.ino, (seen.get(e.ino) ?? 0) + 1);
        return entries
          .filter((e) => !mounts.has(e.name) && seen.get(e.ino) === 1)
          .map((e) => [e.name, e.ino]);
      };
      const expected = numbered(fs.scanDir(dir));
      expect(expected.length).toBeGreaterThan(5);
      expect(numbered(readEntriesNode(dir))).toEqual(expected);
    }
  });

  it("opens directories beneath another one, past no symlink", () => {
    const root = path.join(work, "beneath");
    fs.mkdirp(`${root}/a/b\udcff/c`);
    fs.mkdirp(`${root}/a/b\udcff/c`);
    fs.symlink("a", `${root}/link`);
    fs.symlink("c", `${root}/a/b\udcff/last`);
    const top = fs.openDirectory(root);
    const found = fs.openDirectoryBeneath(top, "a//./b\udcff/c/");
    fs.mkdir("made", 0o700, found);
    expect(fs.exists(`${root}/a/b\udcff/c/made`)).toBe(true);
    found.close();
    for (const bad of ["link/b\udcff", "a/b\udcff/last"]) {
      expect(code(() => fs.openDirectoryBeneath(top, bad))).toMatch(/ELOOP|ENOTDIR/);
    }
    for (const bad of ["/etc", "a/../..", ".."])
      expect(code(() => fs.openDirectoryBeneath(top, bad))).toBe("EXDEV");
    expect(code(() => fs.openDirectoryBeneath(top, "none/x"))).toBe("ENOENT");
    const itself = fs.openDirectoryBeneath(top, ".");
    expect(itself.entries().length).toBe(2);
    itself.close();
    top.close();
  });

  it("finds data and holes", () => {
    const fd = fs.createExclusive(path.join(work, "sparse"));
    ftruncateSync(fd, 1 << 20);
    writeSync(fd, Buffer.from("data"), 0, 4, 1 << 19);
    expect(holes.seekData(fd, 0)).toBe(1 << 19);
    expect(holes.seekHole(fd, 0)).toBe(0);
    const hole = holes.seekHole(fd, 1 << 19)!;
    expect(hole).toBeGreaterThan(1 << 19);
    expect(holes.seekData(fd, hole)).toBeUndefined();
    holes.seekTo(fd, 1 << 19);
    const buffer = new Uint8Array(4);
    readSync(fd, buffer);
    expect(Buffer.from(buffer).toString()).toBe("data");
    holes.fadvise(fd, 0, 0);
    expect(holes.syncFileRange(fd, 0, 1 << 20, true)).toBe(true);
    closeSync(fd);
  });

  it("reads and writes attributes and flags", () => {
    const file = path.join(work, "attributes");
    const fd = fs.createExclusive(file);
    xattr.setXattr(fd, "user.a", new Uint8Array(0));
    xattr.setXattr(file, "user.\udcff", Uint8Array.of(0, 255));
    expect(xattr.listXattrs(file).sort()).toEqual(["user.a", "user.\udcff"]);
    expect(xattr.getXattr(fd, "user.\udcff")).toEqual(Uint8Array.of(0, 255));
    xattr.removeXattr(fd, "user.a");
    xattr.removeXattr(fd, "user.a");
    expect(xattr.getXattr(file, "user.a")).toBeUndefined();
    expect(code(() => xattr.setXattr(file, "user.b", new Uint8Array(70000)))).toBe("E2BIG");
    expect(code(() => xattr.setXattr(file, "nonsense", new Uint8Array(1)))).toBe("ENOTSUP");
    const flags = xattr.getInodeFlags(fd);
    xattr.setInodeFlags(fd, flags | constants.FS_NODUMP_FL);
    expect(fs.lstat(file).attributes & constants.FS_NODUMP_FL).toBe(constants.FS_NODUMP_FL);
    closeSync(fd);
  });
});

describe("times of 32-bit kernels before 5.1", () => {
  it("are the same seconds, as far as they go", () => {
    const narrowed = (...seconds: bigint[]) => {
      const view = new DataView(new ArrayBuffer(40));
      seconds.forEach((sec, i) => {
        view.setBigInt64(4 + i * 16, sec, true);
        view.setBigInt64(12 + i * 16, 999999999n - BigInt(i), true);
      });
      narrowTimes(new Int32Array(view.buffer), 1);
      return [4, 8, 12, 16].map((at) => view.getInt32(at, true));
    };
    expect(narrowed(1700000000n, -1n)).toEqual([1700000000, 999999999, -1, 999999998]);
    expect(narrowed(0n, -(2n ** 31n))).toEqual([0, 999999999, -(2 ** 31), 999999998]);
    expect(narrowed(2n ** 31n - 1n, 2n ** 31n)).toEqual([2 ** 31 - 1, 999999999, 2 ** 31 - 1, 999999998]);
    expect(narrowed(2n ** 40n, -(2n ** 40n))).toEqual([2 ** 31 - 1, 999999999, -(2 ** 31), 999999998]);
  });
});

describe("users and groups", () => {
  it("are named as Python names them", () => {
    const ids = [0, 1, 4, 33, 65534, 1000, 987654];
    const expected = JSON.parse(
      python(`import pwd,grp,json
def n(f,*a):
    try: return f(*a)[0]
    except KeyError: return None
print(json.dumps([[n(pwd.getpwuid,i),n(grp.getgrgid,i)] for i in ${JSON.stringify(ids)}]))`),
    );
    expect(ids.map((id) => [userName(id), groupName(id)])).toEqual(expected);
    expect(userId("root")).toBe(0);
    expect(userId("no-such-user")).toBeNull();
    expect(userId("0")).toBeNull();
    expect(userId("")).toBeNull();
  });
});
