// Items of an archive whose stream is damaged: pieces of it are missing, or hold what no item looks like. After
// damage the reader looks for the next place where an item begins and goes on from there, so that only what was
// touched is lost. Borg's RobustUnpacker, and its rules for which maps are items (ArchiveChecker.rebuild_refcounts).
import { IntegrityError } from "../errors.ts";
import { concatBytes, fsEncode } from "../format/bytes.ts";
import { MAX_DATA_SIZE } from "./constants.ts";
import type { Item } from "./item.ts";
import { ItemDecoder } from "./item-decoder.ts";

/** Bytes that a key of an item may take with its map's header: kept where a piece of the stream ends. */
const LONGEST_START = 64;
/** What looks like the start of a huge item, but has not ended after so many bytes, is none. */
const MOST_HELD = 64 << 20;

export class RobustItems {
  readonly #known: ReadonlySet<string>;
  readonly #starts: Uint8Array[];
  readonly #report: (what: string) => void;
  /** What follows the last item: part of the next one, or where to look for one. */
  #rest: Uint8Array = new Uint8Array(0);
  #lost = false;

  /**
   * @param known keys an item may have, by the manifest
   * @param report is told what was skipped
   */
  constructor(known: ReadonlySet<string>, report: (what: string) => void) {
    this.#known = known;
    this.#report = report;
    this.#starts = [...known].map((key) => fsEncode(key)).filter((key) => key.length < 32);
  }

  /** A piece of the stream is missing here. An item that began before it is lost. */
  gap(): void {
    this.#rest = new Uint8Array(0);
    this.#lost = true;
  }

  /** Bytes behind the last item, of one that is cut off by the stream's end. */
  get pending(): number {
    return this.#lost ? 0 : this.#rest.length;
  }

  /** The items that the next piece of the stream completes. */
  *feed(data: Uint8Array): Generator<Item> {
    const buffer = this.#rest.length ? concatBytes(this.#rest, data) : data;
    let start = this.#lost ? this.#resync(buffer, 0) : 0;
    while (start >= 0) {
      const decoder = new ItemDecoder();
      decoder.feed(buffer.subarray(start));
      try {
        for (let item = decoder.next(); item; item = decoder.next()) {
          start = buffer.length - decoder.pending;
          const wrong = this.#wrong(item);
          if (wrong) this.#report(wrong);
          else yield item;
        }
        this.#rest = buffer.slice(start);
        return;
      } catch (e) {
        if (!(e instanceof IntegrityError)) throw e;
        this.#report(`Item metadata is damaged (${e.message}): looking for the next item.`);
        start = this.#resync(buffer, start + 1);
      }
    }
  }

  /** Where the next item begins; -1 if there is none in the buffer yet, of which the end is then kept. */
  #resync(buffer: Uint8Array, from: number): number {
    this.#lost = true;
    let incomplete = -1;
    for (let at = from; at < buffer.length; at++) {
      if (!this.#looksLikeItem(buffer, at)) continue;
      const decoder = new ItemDecoder();
      decoder.feed(buffer.subarray(at));
      try {
        const item = decoder.next();
        if (item && !this.#wrong(item)) {
          this.#lost = false;
          return at;
        }
        if (!item && incomplete < 0 && buffer.length - at < MOST_HELD) incomplete = at;
      } catch (e) {
        if (!(e instanceof IntegrityError)) throw e;
      }
    }
    this.#rest = buffer.slice(
      incomplete >= 0 ? incomplete : Math.max(Math.min(from, buffer.length), buffer.length - LONGEST_START),
    );
    return -1;
  }

  /** A map whose first key is one of an item's. */
  #looksLikeItem(buffer: Uint8Array, at: number): boolean {
    const tag = buffer[at]!;
    let key = at + 1;
    if (tag === 0xde) key = at + 3;
    else if ((tag & 0xf0) !== 0x80) return false;
    let length = buffer[key];
    if (length === undefined) return false;
    if ((length & 0xe0) === 0xa0) length &= 0x1f;
    else if (length === 0xd9) length = buffer[++key];
    else return false;
    const from = key + 1;
    return this.#starts.some((s) => s.length === length && s.every((byte, i) => buffer[from + i] === byte));
  }

  #wrong(item: Item): string | undefined {
    if (item.mtime === undefined) return "An item without a modification time is skipped.";
    for (const chunks of [item.chunks, item.chunks_healthy]) {
      if (chunks?.some((c) => c.size > MAX_DATA_SIZE))
        return "An item with impossibly large chunks is skipped.";
    }
    if (!item.unknown) return undefined;
    const strange = [...item.unknown.keys()].filter((key) => !this.#known.has(key));
    return strange.length
      ? `An item with keys that no item has is skipped: ${strange.join(", ")}`
      : undefined;
  }
}
