// Runs on every runtime, bundled: works in an open directory whose path leads to another one meanwhile, and in a tree
// with symlinks for parents. `driver DIRECTORY`; prints how it went as JSON.
import { closeSync } from "node:fs";
import process from "node:process";
import { createNode, MetadataRestorer } from "../../src/archive/metadata-restore.ts";
import { type Directory, fs, libc, Stat } from "../../src/runtime/index.ts";

const work = process.argv.at(-1)!;
const [real, moved, decoy] = ["real", "moved", "decoy"].map((n) => `${work}/${n}`) as [
  string,
  string,
  string,
];
const code = (action: () => unknown): string => {
  try {
    action();
    return "done";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
};

for (const name of ["inner", "going"]) fs.mkdirp(`${real}/${name}`);
fs.mkdirp(`${decoy}/inner`);
fs.mkdirp(`${decoy}/going`);
const directory = fs.openTarget(real);
// Whoever may write in the parent puts something else there now.
fs.rename(real, moved);
fs.symlink(decoy, real);

const made: Directory = fs.openDirectoryBeneath(directory, "inner");
const uid = process.getuid!();
const gid = process.getgid!();
for (const dir of [directory, made]) {
  const fd = fs.createExclusive("file\udcff", 0o600, dir);
  const item = { path: "x", mode: 0o100604, mtime: 1234567890000000000n, uid, gid };
  const restorer = new MetadataRestorer();
  restorer.restoreAttrs({ path: `${dir.path}/file\udcff`, fd, dir, name: "file\udcff" }, item);
  closeSync(fd);
  fs.symlink("nowhere", "link", dir);
  restorer.restoreAttrs({ path: `${dir.path}/link`, dir, name: "link" }, { ...item, mode: 0o120777 });
  createNode("fifo", { path: "x", mode: 0o010640 }, dir);
  fs.chmod("fifo", 0o640, dir);
  fs.link("file\udcff", "second", dir, dir);
  fs.mkdir("dir", 0o700, dir);
  fs.mkdir("gone", 0o700, dir);
  fs.rmdir("gone", dir);
  fs.rename("second", "renamed", dir, dir);
}
fs.rmdir("going", directory);
const stat = directory.lstat("link", new Stat());
const times = [stat.mtimeNs, fs.lstat("file\udcff", stat, made).mtimeNs].map(String);
const target = fs.readlink("link", made);
fs.symlink("inner", "way", directory);
const refused = ["way", "way/dir", "inner/link"].map((p) =>
  code(() => fs.openDirectoryBeneath(directory, p)),
);
const names = directory
  .entries()
  .map((e) => e.name)
  .sort();
const same = directory.fstat(new Stat()).ino === fs.lstat(moved).ino;
for (const d of [directory, made]) d.close();
const ffi = libc()?.ffi.name ?? "none";
process.stdout.write(JSON.stringify({ ffi, times, target, refused, names, same }));
