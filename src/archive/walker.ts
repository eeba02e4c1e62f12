// Walks the roots of a backup in Borg's order (directories in inode order, a directory before what is in it) and
// says what to do with each path: archive it, or only report it. The rules are those of Borg's _rec_walk:
// patterns, exclude tags, one file system, nodump, inodes to skip. No file is opened here except tag files.
import { closeSync, readSync } from "node:fs";
import { AlcoveWarning, BackupRaceCondition, backupOSError } from "../errors.ts";
import {
  constants,
  type Directory,
  fs,
  fsEncode,
  isSystemError,
  type NameList,
  RawStat,
  Stat,
} from "../runtime/index.ts";
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

/** Takes what is no directory as the walk finds it, without an event, a string or an object for each. */
export interface NameSink {
  /** Regular files, as their directories call them, are not looked at here: whoever is told of them does. */
  readonly leavesFiles: boolean;
  /** Takes a name that was just looked at, or left; false where there is no room for it.
   *  @param prefix the directory's path with a slash */
  take(
    directory: Directory,
    prefix: Uint8Array,
    names: NameList,
    i: number,
    stat: RawStat | undefined,
  ): boolean;
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

/** Paths of more characters than the system takes in one piece are no case for the sink. */
const LONG = 4096;

/** Whether a path is to be opened as a directory: not at all, or as one that is archived or only passed through. */
const NO = 0;
const INCLUDED = 1;
const EXCLUDED = 2;

interface Names {
  readonly count: number;
  name(i: number): string;
}

/** Said in place of a name for which the sink had no room: it is next again. */
export const NO_ROOM = "no room";

/** An open directory of the walk. */
interface Level {
  path: string;
  directory: Directory;
  prefix: string;
  names: Names;
  /** The same, where they may go to the sink. */
  list: NameList | undefined;
  /** The prefix's bytes, once they are needed. */
  prefixBytes: Uint8Array | undefined;
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
  readonly #raw: ReturnType<typeof RawStat.make>;
  readonly #sink: NameSink | undefined;
  /** One for each level of the tree, used again for directory after directory. */
  readonly #lists: NameList[] = [];

  /** @param sink takes what it can instead of events, and NO_ROOM is said where it is full */
  constructor(options: WalkOptions, sink?: NameSink) {
    this.#options = options;
    this.#sink = sink;
    if (options.excludeNodump) this.#flags = new MetadataCollector({ xattrs: false, acls: false });
    // Flags need a path of their own for each file.
    else if (sink) this.#raw = RawStat.make();
  }

  /** Everything under a root, a normalised path, without a sink. */
  walk(root: string): Generator<WalkEvent, void> {
    return this.walkInto(root) as Generator<WalkEvent, void>;
  }

  /** Everything under a root, a normalised path, that the sink does not take. */
  *walkInto(root: string): Generator<WalkEvent | typeof NO_ROOM, void> {
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
  *#tree(root: string, device: number | undefined): Generator<WalkEvent | typeof NO_ROOM, void> {
    const stack: Level[] = [];
    try {
      const first = this.#look(root, undefined, root);
      const enter = this.#enter;
      if (first) yield first;
      if (enter !== NO) yield* this.#open(stack, root, undefined, root, device, enter === EXCLUDED);
      while (stack.length > 0) {
        const level = stack[stack.length - 1]!;
        if (level.list && !this.#give(level, level.list)) {
          yield NO_ROOM;
          continue;
        }
        if (level.at === level.names.count) {
          stack.pop();
          level.directory.close();
          if (level.ending !== undefined) yield { type: "status", path: level.path, status: level.ending };
          continue;
        }
        const name = level.names.name(level.at++);
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

  /** Gives the sink what comes next in a directory, up to a name that needs a closer look: a directory, one that is
   *  excluded, or that the system refuses. False where the sink has no room. */
  #give(level: Level, list: NameList): boolean {
    const { matcher } = this.#options;
    const { stat } = this.#raw!;
    const { directory } = level;
    level.prefixBytes ??= fsEncode(level.prefix);
    const { prefixBytes } = level;
    const sink = this.#sink!;
    for (; level.at < list.count; level.at++) {
      const i = level.at;
      if (!matcher.match(matcher.isEmpty ? "" : level.prefix + list.name(i))) return true;
      if (sink.leavesFiles && list.type(i) === constants.DT_REG && !this.#mayBeSkipped(list.inode(i))) {
        if (!sink.take(directory, prefixBytes, list, i, undefined)) return false;
        continue;
      }
      if (!stat.look(directory, list, i) || isDirectory(stat.mode) || this.#mayBeSkipped(stat.inode))
        return true;
      if (!sink.take(directory, prefixBytes, list, i, stat)) return false;
    }
    return true;
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
        const names = keep ? tags : [];
        stack.push(levelOf({ path, directory, prefix: `${path}/`, names: namesOf(names), ending: "x" }));
      } else {
        if (!excluded) yield { type: "entry", path, stat, directory, name: "" };
        const prefix = path === "/" ? "/" : path === "." ? "" : `${path}/`;
        const list = recurse && prefix.length <= LONG ? this.#list(directory, stack.length) : undefined;
        const names = list ?? namesOf(recurse ? directory.entries().map((entry) => entry.name) : []);
        const ending = excluded ? undefined : this.#options.dryRun ? "-" : "d";
        stack.push(levelOf({ path, directory, prefix, names, list, ending }));
      }
      directory = undefined; // the stack closes it
    } catch (e) {
      yield { type: "problem", path, problem: problemOf(path, e) };
    } finally {
      directory?.close();
    }
  }

  #list(directory: Directory, depth: number): NameList | undefined {
    if (!this.#raw) return undefined;
    this.#lists[depth] ??= this.#raw.newList();
    const list = this.#lists[depth];
    directory.list(list);
    return list;
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

function levelOf(
  level: Pick<Level, "path" | "directory" | "prefix" | "names" | "ending"> & Partial<Level>,
): Level {
  return { list: undefined, prefixBytes: undefined, at: 0, ...level };
}

function namesOf(names: readonly string[]): Names {
  return { count: names.length, name: (i) => names[i]! };
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

/** What an error of one path is told as. @throws what is no error of the system */
export function problemOf(path: string, e: unknown): AlcoveWarning {
  if (e instanceof AlcoveWarning) return e;
  if ((e as NodeJS.ErrnoException)?.code) return backupOSError(path, e as NodeJS.ErrnoException);
  throw e;
}
