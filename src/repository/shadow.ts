// The shadow index of hints.N: for each id with superseded or deleted PUTs still on disk, the segments that hold them.
// Compaction needs it to know when a DELETE may be dropped. It may have as many entries as objects were deleted, so it
// lives in a hash index: the one segment that nearly all ids have is the value itself, other lists are kept beside it.
import { HashIndex } from "../core/hashindex.ts";

const LIST = 0x80000000;

export class ShadowIndex {
  private index = HashIndex.create(1);
  private lists: number[][] = [];

  get size(): number {
    return this.index.size;
  }

  /** The segments with shadowed PUTs, in the order they were added; undefined if the id is not in the index. */
  get(id: Uint8Array, at = 0): readonly number[] | undefined {
    const slot = this.index.find(id, at);
    return slot < 0 ? undefined : this.value(slot);
  }

  has(id: Uint8Array, at = 0): boolean {
    return this.index.find(id, at) >= 0;
  }

  add(id: Uint8Array, at: number, segment: number): void {
    const slot = this.index.find(id, at);
    if (slot < 0) this.set(id, at, [segment]);
    else this.store(slot, [...this.value(slot), segment]);
  }

  /** Removes one mention of a segment; an id with none left stays in the index, with an empty list. */
  removeSegment(id: Uint8Array, at: number, segment: number): void {
    const slot = this.index.find(id, at);
    if (slot < 0) return;
    const list = [...this.value(slot)];
    const i = list.indexOf(segment);
    if (i < 0) return;
    list.splice(i, 1);
    this.store(slot, list);
  }

  delete(id: Uint8Array, at = 0): void {
    const slot = this.index.find(id, at);
    if (slot >= 0) this.index.remove(slot);
  }

  set(id: Uint8Array, at: number, segments: readonly number[]): void {
    this.index.insert(id, at, this.encode(segments));
  }

  /** Forgets all segments behind a transaction. */
  dropAfter(transaction: number): void {
    for (let slot = this.index.next(-1); slot >= 0; slot = this.index.next(slot)) {
      const list = this.value(slot);
      if (list.some((s) => s > transaction))
        this.store(
          slot,
          list.filter((s) => s <= transaction),
        );
    }
  }

  /** The id is in a buffer that is reused for the next entry. */
  *entries(): Generator<[id: Uint8Array, segments: readonly number[]]> {
    const id = new Uint8Array(32);
    for (let slot = this.index.next(-1); slot >= 0; slot = this.index.next(slot)) {
      this.index.copyKey(slot, id, 0);
      yield [id, this.value(slot)];
    }
  }

  private value(slot: number): readonly number[] {
    const word = this.index.word(slot, 0);
    return word < LIST ? [word] : this.lists[word - LIST]!;
  }

  private store(slot: number, list: number[]): void {
    const word = this.index.word(slot, 0);
    if (word >= LIST) this.lists[word - LIST] = list;
    else this.index.setWord(slot, 0, this.encode(list));
  }

  private encode(list: readonly number[]): number {
    if (list.length === 1 && list[0]! < LIST) return list[0]!;
    this.lists.push([...list]);
    return LIST + this.lists.length - 1;
  }
}
