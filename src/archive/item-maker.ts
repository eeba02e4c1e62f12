// Makes the item of what a walk has found, and says what is still to be done: Borg's process_dir, _link, _fifo, _dev and
// the beginning of _file.
import { fs, type Stat } from "../runtime/index.ts";
import {
  isDevice,
  isDirectory,
  isFifo,
  isHardlinkable,
  isRegular,
  isSpecial,
  isSymlink,
  S_IFBLK,
  S_IFMT,
  S_IFREG,
} from "./constants.ts";
import { type Entry, factsOf, pendingFile, statTarget } from "./create-entry.ts";
import type { Item } from "./item.ts";
import type { CapturedAttrs, MetadataCollector } from "./metadata-capture.ts";
import { archivedPath } from "./paths.ts";
import { type ScanEvent, XATTRS_NONE } from "./pipeline/scan-channel.ts";
import type { WalkEvent } from "./walker.ts";

const NO_NAMES: readonly string[] = [];

type FoundEntry = (WalkEvent | ScanEvent) & { type: "entry" };

export class ItemMaker {
  readonly #collector: MetadataCollector;
  readonly #readSpecial: boolean;
  readonly #unchanged: ((entry: Entry, item: Item, stat: Stat) => boolean) | undefined;
  /** First names of inodes with several. */
  readonly #hardlinks = new Map<string, Entry>();

  /** @param unchanged gives an unchanged file its chunks and status; none where nothing is known of earlier backups */
  constructor(
    collector: MetadataCollector,
    readSpecial: boolean,
    unchanged: ((entry: Entry, item: Item, stat: Stat) => boolean) | undefined,
  ) {
    this.#collector = collector;
    this.#readSpecial = readSpecial;
    this.#unchanged = unchanged;
  }

  /** Fills the entry: its item, its status if that is known, and the file where it has to be read. @throws system errors */
  make(entry: Entry, event: FoundEntry, prefix: string | undefined): void {
    let { stat } = event;
    const path = archivedPath(event.path, prefix);
    if (path === undefined) {
      entry.status = "x";
      return;
    }
    let { mode } = stat;
    let follow = false;
    if (this.#readSpecial && isSymlink(mode)) {
      const target = statTarget(event.path);
      if (target && isSpecial(target.mode)) {
        stat = target;
        mode = target.mode;
        follow = true;
      }
    }
    const special = this.#readSpecial && isSpecial(mode);
    // One object from the start, and the same fields first in every item.
    const item = this.#collector.statSimpleAttrs(stat) as CapturedAttrs & { path: string } & Item;
    item.path = path;
    if (isDirectory(mode)) {
      this.#extended(item, event, stat);
      entry.item = item;
      return; // its status follows when the walk leaves it
    }
    if (isSymlink(mode)) {
      item.source = fs.readlink(event.path);
      entry.status = "s";
    } else if (!isRegular(mode) && !special) {
      if (!isFifo(mode) && !isDevice(mode)) return; // sockets, doors: not archived
      entry.status = isFifo(mode) ? "f" : (mode & S_IFMT) === S_IFBLK ? "b" : "c";
      if (isDevice(mode)) item.rdev = stat.rdev;
    }
    const linked = stat.nlink > 1 && isHardlinkable(mode);
    if (linked) {
      const key = `${stat.dev}:${stat.ino}`;
      const master = this.#hardlinks.get(key);
      if (master && !master.failed) {
        item.source = master.item!.path;
        entry.master = master;
        entry.status = "h";
      } else {
        this.#hardlinks.set(key, entry);
      }
    }
    this.#extended(item, event, stat);
    entry.item = item;
    if (isSymlink(mode)) return;
    if (!entry.master) item.hardlink_master = linked;
    if (!isRegular(mode) && !special) return;
    if (special) item.mode = S_IFREG | (mode & 0o7777);
    if (!entry.master) {
      if (!special && this.#unchanged) {
        if (this.#unchanged(entry, item, stat)) return;
      } else entry.status = "A"; // nothing knows about it
    }
    entry.facts = factsOf(stat);
    if (entry.master) return;
    entry.file = pendingFile(event.path, stat, special || follow);
  }

  #extended(item: Item, event: FoundEntry, stat: Stat): void {
    // The scanner lists attribute names for less than a call that looks for each.
    let names: readonly string[] | undefined;
    if ("xattrs" in event) names = event.xattrs === XATTRS_NONE ? NO_NAMES : undefined;
    else if (event.directory && event.name !== "") names = event.directory.xattrNames(event.name);
    Object.assign(item, this.#collector.statExtAttrs(stat, event.path, undefined, names));
  }
}
