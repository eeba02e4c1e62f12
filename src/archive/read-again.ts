// Files that were replaced between the walk and the reading, as programs replace their own while they run, are tried once
// more: what is read here waits longer for its turn than in Borg, which looks at a file and opens it at once.
import { BackupRaceCondition, FileChangedWarning } from "../errors.ts";
import { Stat } from "../runtime/index.ts";
import { isRegular } from "./constants.ts";
import { type Entry, newEntry, statIfThere } from "./create-entry.ts";
import type { Item } from "./item.ts";
import type { ItemMaker } from "./item-maker.ts";
import type { FileRun } from "./pipeline/file-run.ts";
import { CHANGED, RACE } from "./pipeline/messages.ts";
import { type PendingFile, problemOf } from "./pipeline/pending-file.ts";

/** Whether there is something to be read again. Not a name of an inode that has more: those would get other contents. */
export function wasRaced({ run, file, item, again }: Entry): boolean {
  if (run) return run.raced.length > 0;
  if (!file || again) return false;
  return file.error?.code === RACE && item?.hardlink_master === false && !file.request.special;
}

export class ReadAgain {
  readonly #maker: ItemMaker;
  readonly #read: (entry: Entry) => Promise<void>;
  readonly #complete: (entry: Entry, item: Item, file: PendingFile) => void;

  /** @param read reads an entry's file
   *  @param complete gives an item its contents */
  constructor(
    maker: ItemMaker,
    read: (entry: Entry) => Promise<void>,
    complete: (entry: Entry, item: Item, file: PendingFile) => void,
  ) {
    this.#maker = maker;
    this.#read = read;
    this.#complete = complete;
  }

  /** For an entry of which wasRaced() is true; afterwards it is not. */
  async entry(entry: Entry): Promise<void> {
    if (entry.run) return this.#run(entry.run);
    const { item, facts, pathHash, file, status } = await this.#anew(entry.path);
    // Under the path it has in the archive, which may not be the whole one.
    if (item)
      Object.assign(entry, { item: { ...item, path: entry.item!.path }, facts, pathHash, file, status });
    entry.again = true;
  }

  async #run(run: FileRun): Promise<void> {
    // From the last one on: places in the items stay what they are.
    for (let raced = run.raced.pop(); raced; raced = run.raced.pop()) {
      const { path, at } = raced;
      const entry = await this.#anew(path);
      const { item, file } = entry;
      if (!item) run.told.push({ path, warning: new BackupRaceCondition(path) });
      else if (file?.error) run.told.push({ path, warning: problemOf(path, file.error) });
      else {
        if (file) this.#complete(entry, item, file);
        if (file && file.flags & CHANGED) run.told.push({ path, warning: new FileChangedWarning(path) });
        run.insert(at, item);
      }
    }
  }

  /** An entry of what a path is now, read; without an item where that is no regular file any more. */
  async #anew(path: string): Promise<Entry> {
    const entry = newEntry(path);
    const stat = statIfThere(path, new Stat());
    if (!stat || !isRegular(stat.mode)) return entry;
    try {
      this.#maker.make(entry, { type: "entry", path, stat, directory: undefined, name: path }, undefined);
    } catch (e) {
      if (!(e as NodeJS.ErrnoException).code) throw e;
      return newEntry(path);
    }
    if (entry.file) await this.#read(entry);
    return entry;
  }
}
