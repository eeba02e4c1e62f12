// Walks the roots of a backup in Borg's order (directories in inode order, a directory before what is in it) and
// says what to do with each path: archive it, or only report it. The rules are those of Borg's _rec_walk:
// patterns, exclude tags, one file system, nodump, inodes to skip. No file is opened here except tag files.
import { closeSync, readSync } from "node:fs";
import { AlcoveWarning, BackupRaceCondition, backupOSError } from "../errors.ts";
import { type Directory, fs, isSystemError, Stat } from "../runtime/index.ts";
import type { PatternMatcher } from "../select/index.ts";
import { isDirectory, S_IFMT } from "./constants.ts";
import { MetadataCollector } from "./metadata-capture.ts";
import { UF_NODUMP } from "./metadata-flags.ts";

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

/** Whether a path is to be opened as a directory: not at all, or as one that is archived or only passed through. */
const NO = 0;
const INCLUDED = 1;
const EXCLUDED = 2;

/** An open directory of the walk. */
interface Level {
  path: string;
  directory: Directory;
  prefix: string;
  names: readonly { name: string }[];
  at: number;
  /** Status told when the walk leaves it. */
  ending: string | undefined;
}

export class Walker {
  readonly #options: WalkOptions;
  readonly #stat = new Stat();
  readonly #dirStat = new Stat();
  readonly #tagStat = new Stat();
  /** For --exclude-nodump. */
  readonly #flags: MetadataCollector | undefined;
  #enter = NO;
  #skipped = false;
  #skipNumbers = new Map<string, number>();
  #skipFilter = new Set<number>();

  constructor(options: WalkOptions) {
    this.#options = options;
    if (options.excludeNodump) this.#flags = new MetadataCollector({ xattrs: false, acls: false });
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
    yield* this.#tree(root, device);
    // A root that was given twice is walked once.
    this.#options.skipInodes.add(key);
  }

  // One generator with a stack of its own: nested ones hand every event through as many as the tree is deep.
  *#tree(root: string, device: number | undefined): Generator<WalkEvent, void> {
    const stack: Level[] = [];
    try {
      const first = this.#look(root, undefined, root);
      const enter = this.#enter;
      if (first) yield first;
      if (enter !== NO) yield* this.#open(stack, root, undefined, root, device, enter === EXCLUDED);
      while (stack.length > 0) {
        const level = stack[stack.length - 1]!;
        if (level.at === level.names.length) {
          stack.pop();
          level.directory.close();
          if (level.ending !== undefined) yield { type: "status", path: level.path, status: level.ending };
          continue;
        }
        const { name } = level.names[level.at++]!;
        const path = level.prefix + name;
        const event = this.#look(path, level.directory, name);
        const below = this.#enter;
        if (event) yield event;
        if (below !== NO) yield* this.#open(stack, path, level.directory, name, device, below === EXCLUDED);
      }
    } finally {
      for (const level of stack) level.directory.close();
    }
  }

  /** What to tell of a path; #enter says whether it may be a directory to be opened. */
  #look(path: string, parent: Directory | undefined, name: string): WalkEvent | undefined {
    const { matcher } = this.#options;
    this.#enter = NO;
    try {
      if (!matcher.match(path)) {
        // Not even a stat of what is excluded: it may be forbidden, or a hanging mount.
        if (matcher.recurseDir) this.#enter = EXCLUDED;
        return { type: "status", path, status: "x" };
      }
      const event = this.#status(path, parent, name);
      if (event !== undefined) return event;
      const stat = this.#stat;
      if (!this.#skipped && !isDirectory(stat.mode))
        return { type: "entry", path, stat, directory: parent, name };
      if (!this.#skipped) this.#enter = INCLUDED;
      return undefined;
    } catch (e) {
      return { type: "problem", path, problem: problemOf(path, e) };
    }
  }

  /** Fills #stat; #skipped tells of inodes that are never archived. */
  #status(path: string, parent: Directory | undefined, name: string): WalkEvent | undefined {
    const { skipInodes } = this.#options;
    const stat = this.#stat;
    if (parent) parent.lstat(name, stat);
    else fs.lstat(path, stat);
    this.#skipped = this.#mayBeSkipped(stat.ino) && skipInodes.has(inodeKey(stat));
    if (this.#flags && !this.#skipped && this.#flags.flags(stat, path) & UF_NODUMP) {
      return { type: "status", path, status: "x" };
    }
    return undefined;
  }

  /** A look at the inode number alone first: making the key, a string, for every file costs more than its stat. */
  #mayBeSkipped(ino: number | bigint): boolean {
    const { skipInodes } = this.#options;
    if (this.#skipNumbers.size !== skipInodes.size) {
      this.#skipNumbers = new Map(
        [...skipInodes].map((key) => [key, Number(key.slice(key.indexOf(":") + 1))]),
      );
      this.#skipFilter = new Set(this.#skipNumbers.values());
    }
    return this.#skipFilter.has(Number(ino));
  }

  /** Opens a directory and puts it on the stack. */
  *#open(
    stack: Level[],
    path: string,
    parent: Directory | undefined,
    name: string,
    device: number | undefined,
    excluded: boolean,
  ): Generator<WalkEvent, void> {
    let directory: Directory | undefined;
    try {
      if (excluded) {
        const event = this.#statusOfExcluded(path, parent, name);
        if (event) yield event;
        if (!isDirectory(this.#stat.mode) || this.#skipped || event) return;
      }
      const { ino, dev, mode } = this.#stat;
      // A mount point's directory is saved, what is mounted there is not.
      const recurse = device === undefined || dev === device;
      directory = parent ? parent.openDirectory(name) : fs.openDirectory(path);
      const stat = directory.fstat(this.#dirStat);
      if ((stat.mode & S_IFMT) !== (mode & S_IFMT) || stat.ino !== ino) throw new BackupRaceCondition(path);
      const tags = recurse ? this.#tags(path, directory) : [];
      if (tags.length > 0) {
        if (excluded) return;
        const keep = this.#options.keepExcludeTags;
        if (keep) yield { type: "entry", path, stat, directory, name: "" };
        const names = keep ? tags.map((tag) => ({ name: tag })) : [];
        stack.push({ path, directory, prefix: `${path}/`, names, at: 0, ending: "x" });
      } else {
        if (!excluded) yield { type: "entry", path, stat, directory, name: "" };
        const names = recurse ? directory.entries() : [];
        const prefix = path === "/" ? "/" : path === "." ? "" : `${path}/`;
        const ending = excluded ? undefined : this.#options.dryRun ? "-" : "d";
        stack.push({ path, directory, prefix, names, at: 0, ending });
      }
      directory = undefined; // the stack closes it
    } catch (e) {
      yield { type: "problem", path, problem: problemOf(path, e) };
    } finally {
      directory?.close();
    }
  }

  #statusOfExcluded(path: string, parent: Directory | undefined, name: string): WalkEvent | undefined {
    const event = this.#status(path, parent, name);
    return isDirectory(this.#stat.mode) ? event : undefined;
  }

  #tags(path: string, directory: Directory): string[] {
    const { excludeCaches, excludeIfPresent } = this.#options;
    const found: string[] = [];
    if (excludeCaches && isCacheDirectory(path)) found.push(CACHE_TAG);
    for (const tag of excludeIfPresent) if (this.#exists(tag, directory)) found.push(tag);
    return found;
  }

  // As Python's os.path.exists: a symlink to nothing does not count, nor what may not be looked at.
  #exists(name: string, directory: Directory): boolean {
    try {
      fs.stat(name, this.#tagStat, directory);
      return true;
    } catch (e) {
      if (isSystemError(e)) return false;
      throw e;
    }
  }
}

/** Whether a directory carries the signature of the Cache Directory Tagging Specification. */
export function isCacheDirectory(path: string): boolean {
  let fd: number;
  try {
    fd = fs.openRead(`${path}/${CACHE_TAG}`, { follow: true });
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
