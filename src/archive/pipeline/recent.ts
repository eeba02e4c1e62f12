// The ids a worker has sealed lately. They are not in the shared index before the main thread has taken them in, and
// a chunk that comes twice in between would be compressed, encrypted and sent twice. Ids are kept whole, in one
// table of words: a set of strings costs a twentieth of the time of a first backup.

const WORDS = 8;

export class RecentIds {
  readonly #table: Uint32Array;
  readonly #used: Uint8Array;
  readonly #mask: number;
  readonly #limit: number;
  #count = 0;

  /** @param limit ids kept; then all are forgotten at once */
  constructor(limit: number) {
    let slots = 2;
    while (slots < limit * 2) slots *= 2;
    this.#table = new Uint32Array(slots * WORDS);
    this.#used = new Uint8Array(slots);
    this.#mask = slots - 1;
    this.#limit = limit;
  }

  /** Adds the id in words[at…+8]; false if it was there. */
  add(words: Uint32Array, at: number): boolean {
    let slot = words[at]! & this.#mask;
    while (this.#used[slot]) {
      if (this.#is(slot, words, at)) return false;
      slot = (slot + 1) & this.#mask;
    }
    if (this.#count >= this.#limit) {
      this.#used.fill(0);
      this.#count = 0;
      slot = words[at]! & this.#mask;
    }
    for (let i = 0; i < WORDS; i++) this.#table[slot * WORDS + i] = words[at + i]!;
    this.#used[slot] = 1;
    this.#count++;
    return true;
  }

  #is(slot: number, words: Uint32Array, at: number): boolean {
    const from = slot * WORDS;
    for (let i = 0; i < WORDS; i++) if (this.#table[from + i] !== words[at + i]) return false;
    return true;
  }
}
