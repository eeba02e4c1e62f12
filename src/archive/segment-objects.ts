// Reads repository objects straight from segment files in a worker. Objects of one archive lie mostly one behind
// the other, so a window of the file is kept and one read serves many small objects.
import { closeSync, openSync, readSync } from "node:fs";
import { IntegrityError } from "../errors.ts";
import { equalBytes, toHex } from "../format/bytes.ts";
import { crc32 } from "../runtime/crc32.ts";

/** Where an object's PUT entry lies. */
export interface ObjectLocation {
  id: Uint8Array;
  /** Absolute path of the segment. */
  file: string;
  /** Of the entry's header in the segment. */
  offset: number;
  /** Bytes of plaintext expected. */
  size: number;
}

const HEADER = 41;
/** Largest entry a repository holds. */
const MAX_ENTRY = 20 << 20;
const WINDOW = 1 << 20;
const MAX_OPEN = 16;

export class SegmentObjects {
  readonly #open = new Map<string, number>();
  #window = new Uint8Array(WINDOW);
  #view = new DataView(this.#window.buffer);
  #file = "";
  #start = 0;
  #end = 0;

  /** The object's data; a view that the next read may overwrite. @throws IntegrityError
   *  @param verify whether the entry's CRC is looked at: not for who verifies MAC and id of what this gives, which tell more,
   *  and comes back to hear what is wrong where they do not fit */
  read(at: ObjectLocation, verify = true): Uint8Array {
    this.#need(at, HEADER);
    const total = this.#view.getUint32(at.offset - this.#start + 4, true);
    if (total < HEADER || total > MAX_ENTRY) throw damaged(at, `impossible size ${total}`);
    this.#need(at, total);
    const from = at.offset - this.#start;
    const entry = this.#window.subarray(from, from + total);
    const view = new DataView(entry.buffer, entry.byteOffset, total);
    if (entry[8] !== 0 || !equalBytes(entry.subarray(9, HEADER), at.id))
      throw damaged(at, "it is not where the index says");
    if (verify && crc32(entry.subarray(4)) !== view.getUint32(0, true))
      throw damaged(at, "checksum mismatch");
    return entry.subarray(HEADER);
  }

  #need(at: ObjectLocation, total: number): void {
    if (at.file === this.#file && at.offset >= this.#start && at.offset + total <= this.#end) return;
    let fd = this.#open.get(at.file);
    if (fd === undefined) {
      if (this.#open.size >= MAX_OPEN) this.close();
      try {
        fd = openSync(at.file, "r");
      } catch (e) {
        // No descriptor left: those of other segments make room.
        if ((e as NodeJS.ErrnoException).code !== "EMFILE" || this.#open.size === 0) throw e;
        this.close();
        fd = openSync(at.file, "r");
      }
      this.#open.set(at.file, fd);
    }
    const want = Math.max(total, WINDOW);
    if (this.#window.length < want) {
      this.#window = new Uint8Array(want);
      this.#view = new DataView(this.#window.buffer);
    }
    let have = 0;
    while (have < want) {
      const n = readSync(fd, this.#window, have, want - have, at.offset + have);
      if (n === 0) break;
      have += n;
    }
    this.#file = at.file;
    this.#start = at.offset;
    this.#end = at.offset + have;
    if (have < total) throw damaged(at, "the segment ends inside it");
  }

  close(): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
    this.#file = "";
  }
}

function damaged(at: ObjectLocation, why: string): IntegrityError {
  return new IntegrityError(`Object ${toHex(at.id)} in ${at.file} at ${at.offset}: ${why}`);
}
