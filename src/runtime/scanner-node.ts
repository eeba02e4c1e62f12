// Directories without FFI. On Linux they are held open all the same, and what is in them is reached through
// /proc/self/fd/N/NAME: as safe from symlinks put into the path meanwhile as the C library's *at functions are. Borg
// visits names in the order of their inode numbers, which node:fs tells only by lstat; it is asked here once more than
// a backup needs (about 3 µs a name), so that the same tree gives the same item stream whether there is an FFI or not.
// Mount points are left alone: an excluded network mount may hang, and their number in the directory is not the one
// that lstat finds.
import nodeFs from "node:fs";
import { DT_UNKNOWN, O_NOATIME, O_PATH } from "./constants.ts";
import type { FsEntry } from "./entry.ts";
import { EACCES, ENOTDIR, isSystemError, systemError } from "./errno.ts";
import { fsDecode, nodePath } from "./pathbytes.ts";
import { isLinux, runtime } from "./platform.ts";

let holds: boolean | undefined;

/** Whether a directory can be held open. Deno's file functions open none. */
function canHold(): boolean {
  holds ??= isLinux && runtime.name !== "deno" && nodeFs.existsSync("/proc/self/fd");
  return holds;
}

/** A name of a directory that is held open as `fd`; else its path. */
export function heldPath(fd: number, name: string, path: string): string {
  return fd >= 0 ? `/proc/self/fd/${fd}/${name}` : path;
}

/**
 * A descriptor of a directory, -1 where there is none to be had and it was only looked at. @throws ENOTDIR, ELOOP
 * @param parent descriptor of the directory that `name` is in; without one `path` is opened
 * @param flags with O_DIRECTORY, and O_NOFOLLOW unless a symlink at the end may lead to it
 */
export function openDirectoryNode(parent: number, name: string, path: string, flags: number): number {
  if (!canHold()) {
    if (!nodeFs.lstatSync(nodePath(path)).isDirectory()) throw systemError("open", ENOTDIR, path);
    return -1;
  }
  const where = nodePath(heldPath(parent, name, path));
  for (const more of [O_NOATIME, 0, O_PATH]) {
    try {
      return nodeFs.openSync(where, flags | more);
    } catch (error) {
      // EPERM: O_NOATIME is the owner's privilege. EACCES: not readable, but good enough to make something in it.
      const next = more === O_NOATIME ? ["EPERM", "EACCES"] : more === 0 ? ["EACCES"] : [];
      if (!isSystemError(error, ...next) || next.length === 0) throw error;
    }
  }
  throw systemError("open", EACCES, path);
}

/** Every entry but "." and "..". Inode number 0 for mount points and what may not be looked at. */
export function readEntriesNode(path: string): FsEntry[] {
  // Types are not asked for: Bun gives no names as bytes together with them, and every entry is looked at anyway.
  const names = nodeFs.readdirSync(nodePath(path), { encoding: "buffer" }).map((name) => fsDecode(name));
  const prefix = path.endsWith("/") ? path : `${path}/`;
  const mounted = mountsIn(path);
  const entries = names.map((name) => {
    return { name, ino: mounted?.has(name) ? 0 : inodeOf(prefix + name), dtype: DT_UNKNOWN };
  });
  // By name where numbers are equal, so that two runs give the same order.
  return entries.sort((a, b) => (a.ino === b.ino ? (a.name < b.name ? -1 : 1) : a.ino < b.ino ? -1 : 1));
}

function inodeOf(path: string): number | bigint {
  try {
    const ino = BigInt.asUintN(64, nodeFs.lstatSync(nodePath(path), { bigint: true }).ino);
    return ino > 9007199254740992n ? ino : Number(ino);
  } catch {
    return 0; // whoever asks for its status is told why
  }
}

let mounts: Map<string, Set<string>> | undefined;

/** Names of the mount points directly in a directory, as they were when this program first asked. */
function mountsIn(path: string): ReadonlySet<string> | undefined {
  mounts ??= readMounts();
  if (mounts.size === 0) return undefined;
  try {
    return mounts.get(fsDecode(nodeFs.realpathSync(nodePath(path), { encoding: "buffer" })));
  } catch {
    return undefined;
  }
}

/** /proc/self/mountinfo: the fifth field is the mount point, with odd bytes in octal. */
function readMounts(): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  let text: string;
  try {
    text = fsDecode(nodeFs.readFileSync("/proc/self/mountinfo"));
  } catch {
    return found; // not Linux, or nothing mounted at /proc
  }
  for (const line of text.split("\n")) {
    const where = line.split(" ")[4]?.replace(/\\([0-7]{3})/g, (_, o: string) => unescaped(o));
    if (where === undefined || where === "/") continue;
    const slash = where.lastIndexOf("/");
    const parent = slash === 0 ? "/" : where.slice(0, slash);
    const names = found.get(parent) ?? new Set();
    found.set(parent, names.add(where.slice(slash + 1)));
  }
  return found;
}

/** The kernel escapes only space, tab, newline and backslash. */
function unescaped(octal: string): string {
  return String.fromCharCode(Number.parseInt(octal, 8));
}
