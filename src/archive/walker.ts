// Walks the roots of a backup in Borg's order (directories in inode order, a directory before what is in it) and
// says what to do with each path: archive it, or only report it. The rules are those of Borg's _rec_walk:
// patterns, exclude tags, one file system, nodump, inodes to skip. No file is opened here except tag files.
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { AlcoveWarning, BackupRaceCondition, backupOSError } from "../errors.ts";
import { type Directory, fs, STATX_ATTR_NODUMP, Stat } from "../runtime/index.ts";
import { nodePath } from "../runtime/pathbytes.ts";
import type { PatternMatcher } from "../select/index.ts";
import { isDirectory, S_IFMT } from "./constants.ts";

export interface WalkOptions {
  matcher: PatternMatcher;
  excludeCaches: boolean;
  excludeIfPresent: readonly string[];
  keepExcludeTags: boolean;
  excludeNodump: boolean;
  oneFileSystem: boolean;
  /** Inodes never entered: the repository, the cache. Keys from inodeKey(). */
  skipInodes: Set<string>;
  /** Only report; directories get the status "-" too. */
  dryRun: boolean;
}

/** What the walk found. The stat is reused: take what is needed before asking for the next event. */
export type WalkEvent =
  | { type: "entry"; path: string; stat: Stat; directory: Directory | undefined; name: string }
  | { type: "status"; path: string; status: string }
  | { type: "problem"; path: string; problem: AlcoveWarning };

export const inodeKey = (stat: { ino: number | bigint; dev: number | bigint }): string =>
  `${stat.dev}:${stat.ino}`;

const CACHE_TAG = "CACHEDIR.TAG";
const CACHE_TAG_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55";

export class Walker {
  readonly #options: WalkOptions;
  readonly #stat = new Stat();
  readonly #dirStat = new Stat();

  constructor(options: WalkOptions) {
    this.#options = options;
  }

  /** Everything under a root, a normalised path. */
  *walk(root: string): Generator<WalkEvent, void> {
    let device: number | undefined;
    let key: string;
    try {
      const stat = fs.lstat(root, this.#stat);
      key = inodeKey(stat);
      if (this.#options.oneFileSystem) device = stat.dev;
    } catch (e) {
      yield { type: "problem", path: root, problem: problemOf(root, e) };
      return;
    }
    yield* this.#visit(root, undefined, root, device);
    // A root that was given twice is walked once.
    this.#options.skipInodes.add(key);
  }

  *#visit(
    path: string,
    parent: Directory | undefined,
    name: string,
    device: number | undefined,
  ): Generator<WalkEvent, void> {
    const { matcher, skipInodes, excludeNodump } = this.#options;
    const stat = this.#stat;
    let excluded = false;
    try {
      if (!matcher.match(path)) {
        yield { type: "status", path, status: "x" };
        // Not even a stat of what is excluded: it may be forbidden, or a hanging mount.
        if (!matcher.recurseDir) return;
        excluded = true;
      }
      if (parent) parent.lstat(name, stat);
      else fs.lstat(path, stat);
      if (excluded && !isDirectory(stat.mode)) return;
      if (skipInodes.size > 0 && skipInodes.has(inodeKey(stat))) return;
      if (excludeNodump && stat.attributes & STATX_ATTR_NODUMP) {
        yield { type: "status", path, status: "x" };
        return;
      }
      if (!isDirectory(stat.mode)) {
        yield { type: "entry", path, stat, directory: parent, name };
        return;
      }
      yield* this.#directory(path, parent, name, device, excluded);
    } catch (e) {
      yield { type: "problem", path, problem: problemOf(path, e) };
    }
  }

  *#directory(
    path: string,
    parent: Directory | undefined,
    name: string,
    device: number | undefined,
    excluded: boolean,
  ): Generator<WalkEvent, void> {
    const { ino, dev, mode } = this.#stat;
    // A mount point's directory is saved, what is mounted there is not.
    const recurse = device === undefined || dev === device;
    const directory = parent ? parent.openDirectory(name) : fs.openDirectory(path);
    try {
      const stat = directory.fstat(this.#dirStat);
      if ((stat.mode & S_IFMT) !== (mode & S_IFMT) || stat.ino !== ino) throw new BackupRaceCondition(path);
      if (recurse) {
        const tags = this.#tags(path);
        if (tags.length > 0) {
          if (!excluded) yield* this.#tagged(path, directory, tags, device);
          return;
        }
      }
      if (!excluded) yield { type: "entry", path, stat, directory, name: "" };
      if (recurse) {
        const prefix = path === "/" ? "/" : path === "." ? "" : `${path}/`;
        for (const entry of directory.entries()) {
          yield* this.#visit(prefix + entry.name, directory, entry.name, device);
        }
      }
      if (!excluded) yield { type: "status", path, status: this.#options.dryRun ? "-" : "d" };
    } finally {
      directory.close();
    }
  }

  *#tagged(
    path: string,
    directory: Directory,
    tags: string[],
    device: number | undefined,
  ): Generator<WalkEvent, void> {
    if (this.#options.keepExcludeTags) {
      yield { type: "entry", path, stat: this.#dirStat, directory, name: "" };
      for (const tag of tags) yield* this.#visit(`${path}/${tag}`, directory, tag, device);
    }
    yield { type: "status", path, status: "x" };
  }

  #tags(path: string): string[] {
    const { excludeCaches, excludeIfPresent } = this.#options;
    const found: string[] = [];
    if (excludeCaches && isCacheDirectory(path)) found.push(CACHE_TAG);
    for (const tag of excludeIfPresent) if (existsSync(nodePath(`${path}/${tag}`))) found.push(tag);
    return found;
  }
}

/** Whether a directory carries the signature of the Cache Directory Tagging Specification. */
export function isCacheDirectory(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(nodePath(`${path}/${CACHE_TAG}`), "r");
  } catch {
    // No tag, or one that cannot be read: not known to be a cache, so it is backed up.
    return false;
  }
  try {
    const head = Buffer.alloc(CACHE_TAG_SIGNATURE.length);
    return readSync(fd, head) === head.length && head.toString("latin1") === CACHE_TAG_SIGNATURE;
  } catch {
    return false;
  } finally {
    closeSync(fd);
  }
}

function problemOf(path: string, e: unknown): AlcoveWarning {
  if (e instanceof AlcoveWarning) return e;
  if ((e as NodeJS.ErrnoException)?.code) return backupOSError(path, e as NodeJS.ErrnoException);
  throw e;
}
