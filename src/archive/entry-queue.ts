// The entries of a backup in the walk's order, from when they were found until they go into the item stream.
import type { Entry } from "./create-entry.ts";
import type { FileRun } from "./pipeline/file-run.ts";

/** Entries that have left, from which on their places are taken away. */
const MANY_LEFT = 1024;

export class EntryQueue implements Iterable<Entry> {
  readonly #entries: Entry[] = [];
  #head = 0;
  #count = 0;

  /** Entries in it, those of its runs included. */
  get count(): number {
    return this.#count;
  }

  get isEmpty(): boolean {
    return this.#head === this.#entries.length;
  }

  /** Nothing waits before it. */
  get first(): Entry | undefined {
    return this.#entries[this.#head];
  }

  /** The run at the end, where it takes more. */
  get openRun(): FileRun | undefined {
    const run = this.#entries[this.#entries.length - 1]?.run;
    return run?.takesMore ? run : undefined;
  }

  push(entry: Entry): void {
    this.#entries.push(entry);
    this.#count++;
  }

  /** Entries were added to a run that is in the queue. */
  grewBy(count: number): void {
    this.#count += count;
  }

  /** The first entry leaves, and those of its run. */
  shift(): void {
    const { run } = this.#entries[this.#head]!;
    this.#head++;
    this.#count -= 1 + (run?.count ?? 0);
    if (this.isEmpty) {
      this.#entries.length = 0;
      this.#head = 0;
    } else if (this.#head >= MANY_LEFT && this.#head * 2 > this.#entries.length) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
  }

  /** Before all others for as long as the work takes, uncounted. */
  async withFirst(entry: Entry, work: () => Promise<void>): Promise<void> {
    this.#entries.splice(this.#head, 0, entry);
    await work();
    this.#entries.splice(this.#head, 1);
  }

  *[Symbol.iterator](): Iterator<Entry> {
    for (let i = this.#head; i < this.#entries.length; i++) yield this.#entries[i]!;
  }
}
