// Keeps extraction inside its target directory: no absolute path, no "..", no symlinked parent. Parents are opened
// from the target's own descriptor by the kernel with symlinks refused, and everything is made relative to the open
// parent: nothing can be put into a path between the check and the use. A few parents stay open, as items of one
// directory come together. Borg's Archive._check_safe_parent; CVE-2026-62268.
import { BackupPathTraversal, BackupSymlinkParent, backupOSError } from "../errors.ts";
import { type Directory, fs, isSystemError, Stat } from "../runtime/index.ts";
import { isDirectory } from "./constants.ts";

/** Where an item goes, relative to the target: the parent ("" for the target itself) and the last name. */
export interface Place {
  path: string;
  parent: string;
  name: string;
}

/** Takes an item's path apart; "." as the name stands for the target. @throws BackupPathTraversal */
export function placeOf(itemPath: string): Place {
  let path = itemPath;
  // Only odd paths are taken apart wholly: this runs once a file.
  if (/(?:^|\/)(?:\.{0,2})(?:\/|$)/.test(path)) {
    const parts = path.split("/").filter((p) => p !== "" && p !== ".");
    if (path.startsWith("/") || parts.includes("..")) throw new BackupPathTraversal(itemPath);
    path = parts.join("/");
  }
  const slash = path.lastIndexOf("/");
  return { path, parent: slash < 0 ? "" : path.slice(0, slash), name: path.slice(slash + 1) || "." };
}

/** Directories kept open: items of one directory come together, and every worker keeps its own. */
const OPEN = 16;
/** What two names at once, of a hard link, need. */
const NEEDED = 2;

export class ExtractTree {
  readonly root: string;
  readonly #top: Directory;
  readonly #open = new Map<string, Directory>();
  /** Directories that were seen to be real or made here. */
  readonly #known = new Set<string>();
  readonly #stat = new Stat();
  #room = OPEN;
  #lastPath = "";
  #last: Directory | undefined;

  /** @param root absolute path of the directory extracted into */
  constructor(root: string) {
    this.root = root;
    this.#top = fs.openTarget(root);
  }

  /** Absolute, for messages and for tools. */
  absolute(path: string): string {
    return this.root.endsWith("/") ? this.root + path : `${this.root}/${path}`;
  }

  /** An open directory of the target; it belongs to the tree, which may close it at the next call.
   *  @throws system errors: ELOOP or ENOTDIR for a symlink on the way */
  directory(path: string): Directory {
    if (path === "") return this.#top;
    if (path === this.#lastPath) return this.#last!;
    const directory = this.#open.get(path) ?? this.#openNew(path);
    // Used last, closed last: the two that a link needs are never closed for each other.
    this.#open.delete(path);
    this.#open.set(path, directory);
    this.#lastPath = path;
    this.#last = directory;
    return directory;
  }

  #openNew(path: string): Directory {
    // Those opened long ago go first, half of them at once: a tree in order seldom comes back to them.
    if (this.#open.size >= this.#room) this.#keep(this.#room / 2);
    const directory = this.withDescriptor(() => fs.openDirectoryBeneath(this.#top, path));
    this.#known.add(path);
    return directory;
  }

  #keep(count: number): void {
    for (const [old, directory] of this.#open) {
      if (this.#open.size <= count) break;
      directory.close();
      this.#open.delete(old);
    }
  }

  /** Does what needs a file descriptor. Where there are none left, the directories kept open make room, from then on
   *  fewer are kept, and it is tried once more. */
  withDescriptor<T>(work: () => T): T {
    try {
      return work();
    } catch (e) {
      if (!isSystemError(e, "EMFILE", "ENFILE") || this.#open.size <= NEEDED) throw e;
      this.#room = 2 * NEEDED;
      this.#keep(NEEDED);
      return work();
    }
  }

  /** The open parent of an item, made with its parents where it is missing. @throws BackupSymlinkParent */
  makeDirectory(path: string, itemPath: string): Directory {
    try {
      return this.directory(path);
    } catch (e) {
      if (!isSystemError(e, "ENOENT")) throw parentError(itemPath, e);
    }
    const slash = path.lastIndexOf("/");
    const parent = this.makeDirectory(slash < 0 ? "" : path.slice(0, slash), itemPath);
    try {
      fs.mkdir(path.slice(slash + 1), 0o777, parent);
      return this.directory(path);
    } catch (e) {
      throw parentError(itemPath, e);
    }
  }

  /** Whether this extraction has used the path as a directory. */
  knows(path: string): boolean {
    return this.#known.has(path);
  }

  /** The path has just been made as a directory. */
  remember(path: string): void {
    this.#known.add(path);
  }

  /** The path is about to be replaced, or a descriptor of it proved stale: it is looked at afresh next time. */
  forget(path: string): void {
    if (!this.#known.delete(path)) return;
    this.#lastPath = "";
    const below = `${path}/`;
    for (const p of this.#known) if (p.startsWith(below)) this.#known.delete(p);
    for (const [p, directory] of this.#open) {
      if (p !== path && !p.startsWith(below)) continue;
      directory.close();
      this.#open.delete(p);
    }
  }

  /** Removes what is at a name, be it an empty directory. As in Borg, what cannot be removed shows when the new
   *  thing is made. @returns whether there was something */
  remove({ path, name }: Place, parent: Directory): boolean {
    try {
      const { mode } = fs.lstat(name, this.#stat, parent);
      if (isDirectory(mode)) {
        this.forget(path);
        fs.rmdir(name, parent);
      } else fs.unlink(name, parent);
      return true;
    } catch (e) {
      if (!isSystemError(e)) throw e;
      return e.code !== "ENOENT";
    }
  }

  isDirectory(name: string, parent: Directory): boolean {
    return isDirectory(fs.lstat(name, this.#stat, parent).mode);
  }

  close(): void {
    for (const directory of this.#open.values()) directory.close();
    this.#open.clear();
    this.#top.close();
  }
}

/** The warning for an item whose parent could not be opened. */
export function parentError(itemPath: string, error: unknown): unknown {
  if (isSystemError(error, "ELOOP", "ENOTDIR", "EXDEV")) return new BackupSymlinkParent(itemPath);
  return isSystemError(error) ? backupOSError(itemPath, error) : error;
}
