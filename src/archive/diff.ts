// What differs between two archives, item by item: Borg's Archive.compare_archives_iter and ItemDiff (item.pyx). Both
// item streams are read side by side; items without a partner wait until the other stream has passed.

import { toHex } from "../format/bytes.ts";
import { formatFileSize } from "../format/sizes.ts";
import { OutputTime } from "../format/time.ts";
import type { Archive } from "./archive.ts";
import { isDirectory, isFifo, isHardlinkable, isSymlink, S_IFBLK, S_IFCHR, S_IFMT } from "./constants.ts";
import { fileMode } from "./file-mode.ts";
import type { Item } from "./item.ts";
import { itemSize } from "./item-size.ts";

/** An item, or the absence of one. */
export interface Side extends Partial<Item> {
  path: string;
  mode: number;
  deleted?: true;
}

/** One change, as JSON has it, and as text. */
export interface Change {
  json: { type: string; [key: string]: string | number | null };
  text: string;
}

export interface ItemDifference {
  path: string;
  changes: Change[];
  before: Side;
  after: Side;
}

export interface DiffOptions {
  matches?: (path: string) => boolean;
  /** Both archives were chunked alike: equal content has equal chunks. Otherwise contents are read and compared. */
  comparableChunks: boolean;
  contentOnly?: boolean;
  numericIds?: boolean;
  parts?: boolean;
  onWarning?: (message: string) => void;
  signal?: AbortSignal;
}

const wanted = new Set([
  "mode",
  "source",
  "chunks",
  "size",
  "user",
  "group",
  "uid",
  "gid",
  "ctime",
  "mtime",
  "hardlink_master",
]);

/** Items that differ, in the order in which both sides are known. */
export async function* diffArchives(
  archive1: Archive,
  archive2: Archive,
  options: DiffOptions,
): AsyncGenerator<ItemDifference> {
  const comparison = new Comparison(archive1, archive2, options);
  const left = filtered(archive1, options);
  const right = filtered(archive2, options);
  // Items that had no partner by then; what is left at the end was removed or added.
  const only1 = new Map<string, Side>();
  const only2 = new Map<string, Side>();
  const deferred: [Side, Side][] = [];
  async function* pair(a: Side, b: Side): AsyncGenerator<ItemDifference> {
    if (comparison.mustWait(a, b)) deferred.push([a, b]);
    else yield* comparison.compare(a.path, a, b);
  }
  for (;;) {
    options.signal?.throwIfAborted();
    const [a, b] = [await next(left), await next(right)];
    if (!a && !b) break;
    if (a && b && a.path === b.path) {
      yield* pair(a, b);
      continue;
    }
    if (a) {
      const partner = only2.get(a.path);
      if (partner) {
        only2.delete(a.path);
        yield* pair(a, partner);
      } else only1.set(a.path, a);
    }
    if (b) {
      const partner = only1.get(b.path);
      if (partner) {
        only1.delete(b.path);
        yield* pair(partner, b);
      } else only2.set(b.path, b);
    }
  }
  for (const added of only2.values()) {
    const nothing = absent(added.path);
    comparison.noteMaster(nothing, added);
    yield* comparison.compare(added.path, nothing, added);
  }
  for (const removed of only1.values()) {
    const nothing = absent(removed.path);
    comparison.noteMaster(removed, nothing);
    yield* comparison.compare(removed.path, removed, nothing);
  }
  for (const [a, b] of deferred) {
    const missing = [a, b].filter((side) => !comparison.masterSeen(side));
    for (const side of missing) {
      options.onWarning?.(`cannot find hardlink source for ${side.path} (${side.source}), skipping compare.`);
    }
    if (!missing.length) yield* comparison.compare(a.path, a, b);
  }
}

async function* filtered(archive: Archive, options: DiffOptions): AsyncGenerator<Side> {
  for await (const batch of archive.itemBatches({ wanted, parts: options.parts ?? false })) {
    for (const item of batch) if (options.matches?.(item.path) ?? true) yield item;
  }
}

async function next(items: AsyncGenerator<Side>): Promise<Side | undefined> {
  const { value, done } = await items.next();
  return done ? undefined : value;
}

function absent(path: string): Side {
  return { path, mode: 0, chunks: [], deleted: true };
}

class Comparison {
  private readonly archives: readonly [Archive, Archive];
  private readonly options: DiffOptions;
  private readonly masters = new Map<string, readonly [Side, Side]>();

  constructor(archive1: Archive, archive2: Archive, options: DiffOptions) {
    this.archives = [archive1, archive2];
    this.options = options;
  }

  noteMaster(a: Side, b: Side): void {
    if (isMaster(a) || isMaster(b)) this.masters.set(a.path, [a, b]);
  }

  masterSeen(side: Side): boolean {
    return side.source === undefined || !isHardlinkable(side.mode) || this.masters.has(side.source);
  }

  /** Whether a hard link's contents are not known yet. */
  mustWait(a: Side, b: Side): boolean {
    this.noteMaster(a, b);
    return !this.masterSeen(a) || !this.masterSeen(b);
  }

  async *compare(path: string, a: Side, b: Side): AsyncGenerator<ItemDifference> {
    const before = this.resolve(a, 0);
    const after = this.resolve(b, 1);
    if (await this.equal(before, after)) return;
    yield { path, changes: this.changes(before, after), before, after };
  }

  /** A hard link stands for its master. */
  private resolve(side: Side, which: 0 | 1): Side {
    if (!isHardlinkable(side.mode) || side.source === undefined) return side;
    return this.masters.get(side.source)?.[which] ?? side;
  }

  private async equal(a: Side, b: Side): Promise<boolean> {
    if (a.deleted && b.deleted) return true;
    if (a.deleted !== b.deleted || a.source !== b.source) return false;
    if (!this.options.contentOnly) {
      if (a.mode !== b.mode || a.ctime !== b.ctime || a.mtime !== b.mtime) return false;
      const [u1, g1] = this.owner(a);
      const [u2, g2] = this.owner(b);
      if (u1 !== u2 || g1 !== g2) return false;
    }
    if (!a.chunks || !b.chunks) return true;
    if (this.options.comparableChunks) return sameChunks(a, b);
    return itemSize(a as Item) === itemSize(b as Item) && (await this.sameContents(a, b));
  }

  private owner(side: Side): [string | number | null | undefined, string | number | null | undefined] {
    return this.options.numericIds ? [side.uid, side.gid] : [side.user, side.group];
  }

  private async sameContents(a: Side, b: Side): Promise<boolean> {
    const [left, right] = [a, b].map((side, i) =>
      this.archives[i]!.objects.getMany(side.chunks!.map((c) => c.id)),
    ) as [AsyncGenerator<Uint8Array>, AsyncGenerator<Uint8Array>];
    let [x, y] = [new Uint8Array(0), new Uint8Array(0)] as [Uint8Array, Uint8Array];
    try {
      for (;;) {
        if (x.length === 0) {
          const more = await left.next();
          if (!more.done) x = more.value;
        }
        if (y.length === 0) {
          const more = await right.next();
          if (!more.done) y = more.value;
        }
        if (x.length === 0 || y.length === 0) return x.length === y.length;
        const n = Math.min(x.length, y.length);
        if (Buffer.compare(x.subarray(0, n), y.subarray(0, n)) !== 0) return false;
        x = x.subarray(n);
        y = y.subarray(n);
      }
    } finally {
      await Promise.all([left.return(undefined), right.return(undefined)]);
    }
  }

  private changes(a: Side, b: Side): Change[] {
    const out: (Change | undefined)[] = [];
    if (isSymlink(a.mode) || isSymlink(b.mode)) out.push(presence("link", a, b) ?? linkTarget(a, b));
    if (a.chunks && b.chunks) out.push(this.content(a, b));
    const kinds: [string, (mode: number) => boolean][] = [
      ["directory", isDirectory],
      ["blkdev", (m) => (m & S_IFMT) === S_IFBLK],
      ["chrdev", (m) => (m & S_IFMT) === S_IFCHR],
      ["fifo", isFifo],
    ];
    for (const [kind, is] of kinds) if (is(a.mode) || is(b.mode)) out.push(presence(kind, a, b));
    if (!a.deleted && !b.deleted && !this.options.contentOnly) {
      out.push(
        this.ownerChange(a, b),
        modeChange(a, b),
        timeChange("ctime", a, b),
        timeChange("mtime", a, b),
      );
    }
    return out.filter((c) => c !== undefined);
  }

  private content(a: Side, b: Side): Change {
    if (a.deleted) {
      const size = itemSize(b as Item);
      return { json: { type: "added", size }, text: `added ${formatFileSize(size).padStart(13)}` };
    }
    if (b.deleted) {
      const size = itemSize(a as Item);
      return { json: { type: "removed", size }, text: `removed ${formatFileSize(size).padStart(11)}` };
    }
    if (!this.options.comparableChunks) return { json: { type: "modified" }, text: "modified" };
    const added = sizeWithout(b, a);
    const removed = sizeWithout(a, b);
    const short = (n: number) => formatFileSize(n, { precision: 1, sign: true }).padStart(9);
    return { json: { type: "modified", added, removed }, text: `${short(added)} ${short(-removed)}` };
  }

  private ownerChange(a: Side, b: Side): Change | undefined {
    const [u1 = null, g1 = null] = this.owner(a);
    const [u2 = null, g2 = null] = this.owner(b);
    if (u1 === u2 && g1 === g2) return undefined;
    const show = (v: string | number | null) => (v === null ? "None" : String(v));
    return {
      json: { type: "owner", old_user: u1, old_group: g1, new_user: u2, new_group: g2 },
      text: `[${show(u1)}:${show(g1)} -> ${show(u2)}:${show(g2)}]`,
    };
  }
}

function isMaster(side: Side): boolean {
  return (side.hardlink_master ?? true) && side.source === undefined && isHardlinkable(side.mode);
}

function presence(kind: string, a: Side, b: Side): Change | undefined {
  if (a.deleted === b.deleted) return undefined;
  const text = `${a.deleted ? "added" : "removed"} ${kind}`;
  return { json: { type: text }, text };
}

function linkTarget(a: Side, b: Side): Change | undefined {
  if (a.source === undefined || b.source === undefined || a.source === b.source) return undefined;
  return { json: { type: "changed link" }, text: "changed link" };
}

function modeChange(a: Side, b: Side): Change | undefined {
  if (a.mode === b.mode) return undefined;
  const [old, now] = [fileMode(a.mode), fileMode(b.mode)];
  return { json: { type: "mode", old_mode: old, new_mode: now }, text: `[${old} -> ${now}]` };
}

function timeChange(name: "ctime" | "mtime", a: Side, b: Side): Change | undefined {
  const [x, y] = [a[name], b[name]];
  if (x === undefined || y === undefined || x === y) return undefined;
  const [old, now] = [OutputTime.ofFileTime(x), OutputTime.ofFileTime(y)];
  return {
    json: { type: name, [`old_${name}`]: old.isoformat(), [`new_${name}`]: now.isoformat() },
    text: `[${name}: ${old} -> ${now}]`,
  };
}

/** Borg compares sizes and stored sizes too: a recompressed chunk is a difference, with nothing to show for it. */
function sameChunks(a: Side, b: Side): boolean {
  const [x, y] = [a.chunks!, b.chunks!];
  if (x.length !== y.length) return false;
  return x.every((c, i) => {
    const d = y[i]!;
    return c.size === d.size && c.csize === d.csize && Buffer.compare(c.id, d.id) === 0;
  });
}

/** Bytes of a's chunks that b does not have. */
function sizeWithout(a: Side, b: Side): number {
  const known = new Set(b.chunks!.map((c) => toHex(c.id)));
  let n = 0;
  for (const c of a.chunks!) if (!known.has(toHex(c.id))) n += c.size;
  return n;
}
