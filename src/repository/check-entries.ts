// The entries of one segment while it is checked, and who may read them: check.ts itself, one segment after the other,
// or a reader of the layer above, which has several under way and verifies what the entries hold in the same pass.
import type { HashIndex } from "../core/hashindex.ts";
import { PUT_HEADER_SIZE } from "./entry.ts";
import type { SegmentReplay } from "./replay.ts";

const NUMBERS = 3;

/** Entries in plain arrays, as threads can pass them on. */
export interface EntryArrays {
  /** Tag, offset in the segment, and size of each entry. */
  numbers: Uint32Array;
  /** The first 41 bytes of each entry; of a COMMIT, which is shorter, nothing that counts. */
  headers: Uint8Array;
}

/** The entries of a segment or of a piece of it, kept until it is certain that all of it is intact. 53 bytes each. */
export class EntryList {
  #count = 0;
  #numbers = new Uint32Array(NUMBERS * 256);
  #headers = new Uint8Array(PUT_HEADER_SIZE * 256);

  /** The entry that begins at `at` in the buffer and at `offset` in the segment. */
  add(tag: number, offset: number, size: number, buffer: Uint8Array, at: number): void {
    if (NUMBERS * this.#count === this.#numbers.length) this.#grow();
    const n = NUMBERS * this.#count;
    this.#numbers[n] = tag;
    this.#numbers[n + 1] = offset;
    this.#numbers[n + 2] = size;
    if (size >= PUT_HEADER_SIZE) {
      const to = PUT_HEADER_SIZE * this.#count;
      for (let i = 0; i < PUT_HEADER_SIZE; i++) this.#headers[to + i] = buffer[at + i]!;
    }
    this.#count++;
  }

  /** Copies, which may be given away. */
  arrays(): EntryArrays {
    return {
      numbers: this.#numbers.slice(0, NUMBERS * this.#count),
      headers: this.#headers.slice(0, PUT_HEADER_SIZE * this.#count),
    };
  }

  #grow(): void {
    const [numbers, headers] = [this.#numbers, this.#headers];
    this.#numbers = new Uint32Array(2 * numbers.length);
    this.#numbers.set(numbers);
    this.#headers = new Uint8Array(2 * headers.length);
    this.#headers.set(headers);
  }
}

/** Takes all entries of a segment, given in pieces, into the index and hints that are being rebuilt. */
export function replayEntries(into: SegmentReplay, segment: number, pieces: readonly EntryArrays[]): void {
  into.begin(segment);
  for (const { numbers, headers: buffer } of pieces) {
    for (let i = 0; NUMBERS * i < numbers.length; i++) {
      const n = NUMBERS * i;
      const [tag, offset, size] = [numbers[n]!, numbers[n + 1]!, numbers[n + 2]!];
      into.entry({ tag, segment, offset, size, buffer, at: PUT_HEADER_SIZE * i });
    }
  }
  into.end(segment);
}

/**
 * Reads segments in check's stead. It decides nothing: where it finds anything wrong, check reads the segment again and
 * says what it is.
 */
export interface SegmentReader {
  /** Told once which segments will be asked for, in their order, by the committed index. */
  start(index: HashIndex, segments: readonly number[]): Promise<void>;
  /** The entries of the next segment, every one of them with a CRC that fits; undefined if that cannot be said. */
  next(segment: number): Promise<EntryArrays[] | undefined>;
  /** No more will be asked for. */
  close(): Promise<void>;
}
