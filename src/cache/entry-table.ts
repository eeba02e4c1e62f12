// Places and ages of a files cache's entries, 5 bytes for each, and how an entry is found by the hash of its path. Backups ask
// in the order in which the one before has written: so the next entry is looked at first, and then those behind the one at
// which that order was left: files that were not kept the last time have their entries behind all others. A filter of 16 bits
// an entry knows most hashes that none has; then all are looked at, one after the other, and a table of their hashes (8 bytes
// an entry) is made when that was necessary too often.

import { ADDED, type EntryStore, wordOf } from "./entry-store.ts";

/** Age of an entry whose place another one has taken. */
export const DEAD = 255;
/** Entries from the expected one on that are looked at first: some may be of files that are gone. */
const NEAR = 8;
/** How often all entries are looked at before a table of them is made. */
const MOST_SEARCHES = 16;

export class EntryTable {
  /** Entries, dead ones included. */
  count = 0;
  /** The entry that the next lookup is likely to ask for. */
  expected = 0;
  /** Those that the one before has written: nobody asks for what was added after them in an order. */
  #loaded = 0;
  /** The one that was expected when another was found elsewhere. */
  #departed = 0;
  readonly #store: EntryStore;
  #places = new Uint32Array(1024);
  #ages = new Uint8Array(1024);
  #dead = 0;
  /** Entry number + 1 by hash; 0 is free. Without length where there is none yet. */
  #table = new Int32Array(0);
  #searches = 0;
  /** Bits of hashes' first words: an entry has none of which the bit is not set. Used while there is no table. */
  #filter = new Uint32Array(0);
  /** Entries of files that have changed, in the order in which they were asked for and will be memorized, and how many of
   *  them have been. */
  readonly #changed: number[] = [];
  #memorized = 0;

  /** @param estimate entries that will be appended before anything is looked for; 0 makes the table at once */
  constructor(store: EntryStore, estimate: number) {
    this.#store = store;
    if (estimate === 0) {
      this.#index();
      return;
    }
    this.#reserve(estimate);
    let words = 1024;
    while (words < estimate / 2) words *= 2;
    this.#filter = new Uint32Array(words);
  }

  /** Entries that count. */
  get size(): number {
    return this.count - this.#dead;
  }

  place(entry: number): number {
    return this.#places[entry]!;
  }
  move(entry: number, place: number): void {
    this.#places[entry] = place;
  }

  age(entry: number): number {
    return this.#ages[entry]!;
  }
  setAge(entry: number, age: number): void {
    this.#ages[entry] = age;
  }

  /** @param isNew whether no entry has its hash */
  append(place: number, age: number, isNew = false): void {
    this.#reserve(this.count + 1);
    const entry = this.count++;
    if (place < ADDED) this.#loaded = this.count;
    this.#places[entry] = place;
    this.#ages[entry] = age;
    if (this.#table.length > 0) this.#add(entry, isNew);
    else {
      const bit = this.#store.word(place);
      this.#filter[(bit >>> 5) & (this.#filter.length - 1)]! |= 1 << bit;
    }
  }

  /** The entry of a hash, which is likely to be behind the one that was asked for before; −1 if there is none. */
  findNext(hash: Uint8Array, offset: number): number {
    let entry = this.#near(this.expected, hash, offset);
    if (entry < 0) {
      entry = this.#near(this.#departed, hash, offset);
      if (entry < 0) entry = this.#find(hash, offset);
      if (entry >= 0) this.#departed = this.expected;
    }
    if (entry >= 0) this.expected = entry + 1;
    return entry;
  }

  /** An entry that was found, and its file changed. */
  noteChanged(entry: number): void {
    this.#changed.push(entry);
  }

  /** The entry of a file that was read, which is likely to be the next one of those that have changed; −1 if there is none. */
  findChanged(hash: Uint8Array, offset: number): number {
    const end = Math.min(this.#memorized + NEAR, this.#changed.length);
    for (let i = this.#memorized; i < end; i++) {
      const entry = this.#changed[i]!;
      if (!this.#is(entry, hash, offset)) continue;
      this.#memorized = i + 1;
      return entry;
    }
    return this.#find(hash, offset);
  }

  #is(entry: number, hash: Uint8Array, offset: number): boolean {
    return this.#ages[entry] !== DEAD && this.#store.hashIs(this.#places[entry]!, hash, offset);
  }

  #near(from: number, hash: Uint8Array, offset: number): number {
    const end = Math.min(from + NEAR, this.#loaded);
    for (let entry = from; entry < end; entry++) if (this.#is(entry, hash, offset)) return entry;
    return -1;
  }

  #find(hash: Uint8Array, offset: number): number {
    const word = wordOf(hash, offset);
    if (this.#table.length === 0) {
      if ((this.#filter[(word >>> 5) & (this.#filter.length - 1)]! & (1 << word)) === 0) return -1;
      if (this.#searches++ < MOST_SEARCHES) return this.#search(hash, offset);
      this.#index();
    }
    const mask = this.#table.length - 1;
    for (let i = word & mask; ; i = (i + 1) & mask) {
      const entry = this.#table[i]! - 1;
      if (entry < 0) return -1;
      if (this.#store.hashIs(this.#places[entry]!, hash, offset)) return entry;
    }
  }

  /** The last entry of a hash, found without the table. */
  #search(hash: Uint8Array, offset: number): number {
    for (let entry = this.count - 1; entry >= 0; entry--) if (this.#is(entry, hash, offset)) return entry;
    return -1;
  }

  /** Room for so many entries. */
  #reserve(entries: number): void {
    if (entries > this.#places.length) {
      const size = Math.max(entries, 2 * this.#places.length);
      const places = new Uint32Array(size);
      places.set(this.#places);
      this.#places = places;
      const ages = new Uint8Array(size);
      ages.set(this.#ages);
      this.#ages = ages;
    }
    if (this.#table.length > 0 && entries * 2 > this.#table.length) this.#index();
  }

  /** Makes the table of all entries, with room for half as many more. */
  #index(): void {
    let size = 2048;
    while (size < this.count * 3) size *= 2;
    this.#table = new Int32Array(size);
    this.#filter = new Uint32Array(0);
    for (let entry = 0; entry < this.count; entry++) if (this.#ages[entry] !== DEAD) this.#add(entry);
  }

  /** Adds an entry to the table. @param isNew whether there is none with its hash: then no other need be looked at */
  #add(entry: number, isNew = false): void {
    const store = this.#store;
    const place = this.#places[entry]!;
    const { bytes } = store.reader(place);
    const hash = store.hashOffset(place);
    const mask = this.#table.length - 1;
    for (let i = wordOf(bytes, hash) & mask; ; i = (i + 1) & mask) {
      const other = this.#table[i]! - 1;
      if (other >= 0 && (isNew || !store.hashIs(this.#places[other]!, bytes, hash))) continue;
      this.#table[i] = entry + 1;
      if (other < 0) return;
      // Borg's dict keeps the last of two.
      this.#ages[other] = DEAD;
      this.#dead++;
      return;
    }
  }
}
