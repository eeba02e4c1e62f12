// The work on one piece of a segment while a repository is checked, in a worker or in the main thread: the piece is read
// once, straight into the core's memory, and there the CRC of every entry is verified, and of those that are objects of
// the repository now MAC and id.
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { Core } from "../core/index.ts";
import type { KeyMaterial } from "../crypto/material.ts";
import { IntegrityError } from "../errors.ts";
import { type EntryArrays, EntryList } from "../repository/check-entries.ts";
import { MAX_OBJECT_SIZE } from "../repository/constants.ts";
import {
  HEADER_SIZE,
  ID_SIZE,
  MAGIC,
  MAGIC_SIZE,
  PUT_HEADER_SIZE,
  TAG_COMMIT,
  TAG_DELETE,
  TAG_PUT,
  u32,
} from "../repository/entry.ts";
import { crc32 } from "../runtime/crc32.ts";
import { nodePath } from "../runtime/pathbytes.ts";
import { BatchVerifier, WINDOW_BYTES, windowOf } from "./check-batch.ts";
import { LargeOpener } from "./large-opener.ts";
import { SegmentObjects } from "./segment-objects.ts";

/** Read at a time, where no object is larger: fits the processor's cache. */
const READ_BYTES = 1 << 20;

/** A piece of a segment: from an entry's start (or the file's) to another entry's start or the file's end. */
export interface Piece {
  segment: number;
  file: string;
  from: number;
  /** −1: to the end of the file. */
  to: number;
  /** Where objects of the repository begin, by its index. Empty where only CRCs are wanted. */
  offsets: Uint32Array;
  /** Their ids, 32 bytes each. With ids, only these objects are read; without, every entry between from and to. */
  ids?: Uint8Array;
}

export interface PieceDefect {
  id: Uint8Array;
  message: string;
}
export interface PieceResult {
  /** Every entry, if they follow each other without a gap and all CRCs fit; undefined if not, or with ids. */
  entries: EntryArrays | undefined;
  /** Objects whose MAC and id were looked at. */
  objects: number;
  defects: PieceDefect[];
}

export function isManifest(id: Uint8Array): boolean {
  return id.every((byte) => byte === 0);
}

export class PieceVerifier {
  readonly #core: Core;
  readonly #window: number;
  readonly #verify: { opener: LargeOpener; batch: BatchVerifier } | undefined;
  readonly #segments = new SegmentObjects();
  #fd = -1;
  #file = "";
  #fileSize = 0;
  /** Of the window's contents in the file. */
  #start = 0;
  #end = 0;
  /** Where reading has to stop. */
  #limit = 0;

  /** @param material absent: only CRCs are verified */
  constructor(core: Core, material?: KeyMaterial) {
    this.#core = core;
    if (material) {
      const batch = new BatchVerifier(material, core);
      this.#verify = { opener: new LargeOpener(material, core), batch };
      this.#window = batch.window;
    } else this.#window = windowOf(core);
  }

  /** @throws errors of the system, that of a missing file excepted */
  run(piece: Piece): PieceResult {
    const result: PieceResult = { entries: undefined, objects: piece.offsets.length, defects: [] };
    try {
      this.#open(piece);
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e;
      const message = `the segment ${piece.file} is missing`;
      for (let i = 0; i < piece.offsets.length && piece.ids; i++)
        result.defects.push({ id: piece.ids.slice(ID_SIZE * i, ID_SIZE * i + ID_SIZE), message });
      return result;
    }
    if (piece.ids) this.#objects(piece, piece.ids, result);
    else this.#entries(piece, result);
    return result;
  }

  #open(piece: Piece): void {
    if (piece.file !== this.#file) {
      this.#closeFile();
      this.#fd = openSync(nodePath(piece.file), "r");
      this.#file = piece.file;
    }
    this.#fileSize = fstatSync(this.#fd).size;
    this.#start = this.#end = -1;
    this.#limit = piece.to >= 0 ? piece.to : this.#fileSize;
  }

  /** Only the objects named, wherever they are. */
  #objects(piece: Piece, ids: Uint8Array, result: PieceResult): void {
    const { offsets } = piece;
    for (let i = 0; i < offsets.length; i++) {
      const offset = offsets[i]!;
      const id = ids.subarray(ID_SIZE * i, ID_SIZE * i + ID_SIZE);
      const size = this.#intact(offset, piece, result);
      const at = this.#window + offset - this.#start;
      if (size >= PUT_HEADER_SIZE && this.#core.u8[at + 8] === TAG_PUT && this.#hasId(at + HEADER_SIZE, id))
        this.#object(piece, offset, size, result);
      else this.#single(piece, offset, id.slice(), result);
    }
    this.#flush(piece, result);
  }

  #hasId(at: number, id: Uint8Array): boolean {
    const { u8 } = this.#core;
    for (let k = 0; k < ID_SIZE; k++) if (u8[at + k] !== id[k]) return false;
    return true;
  }

  /** One entry behind the other, until the piece's end. */
  #entries(piece: Piece, result: PieceResult): void {
    const entries = new EntryList();
    const { offsets } = piece;
    let offset = piece.from;
    let next = 0;
    if (offset === 0) {
      if (!this.#need(0, MAGIC_SIZE, piece, result)) return;
      for (let i = 0; i < MAGIC_SIZE; i++) if (this.#core.u8[this.#window + i] !== MAGIC[i]) return;
      offset = MAGIC_SIZE;
    }
    while (offset < this.#limit) {
      const size = this.#intact(offset, piece, result);
      if (size === 0) return;
      const at = this.#window + offset - this.#start;
      const { u8 } = this.#core;
      const tag = u8[at + 8]!;
      if (tag !== TAG_PUT && tag !== TAG_DELETE && tag !== TAG_COMMIT) return;
      if (tag !== TAG_COMMIT && size < PUT_HEADER_SIZE) return;
      entries.add(tag, offset, size, u8, at);
      if (next < offsets.length && offsets[next] === offset) {
        next++;
        if (tag !== TAG_PUT) return;
        this.#object(piece, offset, size, result);
      }
      offset += size;
    }
    this.#flush(piece, result);
    if (offset === this.#limit && next === offsets.length) result.entries = entries.arrays();
  }

  /** Makes bytes of the file available in the window. False if the file or the piece has not so many. */
  #need(offset: number, bytes: number, piece: Piece, result: PieceResult): boolean {
    if (offset >= this.#start && offset + bytes <= this.#end) return true;
    // What waits in the batch lies in the window.
    this.#flush(piece, result);
    const most = Math.max(bytes, Math.min(READ_BYTES, this.#limit - offset));
    let have = 0;
    const { u8 } = this.#core;
    while (have < most) {
      const n = readSync(this.#fd, u8, this.#window + have, most - have, offset + have);
      if (n === 0) break;
      have += n;
    }
    this.#start = offset;
    this.#end = offset + have;
    return have >= bytes;
  }

  /** The size of the entry there, with its first 41 bytes in the window, if its CRC fits; 0 for anything else. */
  #intact(offset: number, piece: Piece, result: PieceResult): number {
    if (!this.#need(offset, HEADER_SIZE, piece, result)) return 0;
    const size = u32(this.#core.u8, this.#window + offset - this.#start + 4);
    if (size < HEADER_SIZE || size > MAX_OBJECT_SIZE || offset + size > this.#fileSize) return 0;
    if (size > WINDOW_BYTES) return this.#largeIntact(offset, size, piece, result) ? size : 0;
    if (!this.#need(offset, size, piece, result)) return 0;
    const at = this.#window + offset - this.#start;
    const { u8 } = this.#core;
    return crc32(u8.subarray(at + 4, at + size)) === u32(u8, at) ? size : 0;
  }

  /** An entry that is larger than the window passes through it. */
  #largeIntact(offset: number, size: number, piece: Piece, result: PieceResult): boolean {
    let crc: number | undefined;
    for (let from = 0; from < size; from += WINDOW_BYTES) {
      const bytes = Math.min(WINDOW_BYTES, size - from);
      if (!this.#need(offset + from, bytes, piece, result)) return false;
      const at = this.#window + offset + from - this.#start;
      crc = crc32(this.#core.u8.subarray(at + (from ? 0 : 4), at + bytes), crc ?? 0);
    }
    return (
      this.#need(offset, PUT_HEADER_SIZE, piece, result) &&
      crc === u32(this.#core.u8, this.#window + offset - this.#start)
    );
  }

  /** An intact entry with its header in the window. */
  #object(piece: Piece, offset: number, size: number, result: PieceResult): void {
    const { batch } = this.#verify!;
    const at = this.#window + offset - this.#start;
    const id = at + HEADER_SIZE;
    const blob = at + PUT_HEADER_SIZE;
    const length = size - PUT_HEADER_SIZE;
    if (size > WINDOW_BYTES || !batch.takes(blob, length) || isManifest(this.#core.view(id, ID_SIZE)))
      this.#single(piece, offset, this.#core.copy(id, ID_SIZE), result);
    else {
      batch.add(offset, id, blob, length);
      if (batch.full) this.#flush(piece, result);
    }
  }

  /** Verifies what is in the batch; a second look, from the disk, decides about what is not sound. */
  #flush(piece: Piece, result: PieceResult): void {
    if (!this.#verify) return;
    for (const offset of this.#verify.batch.run()) {
      const at = this.#window + offset - this.#start + HEADER_SIZE;
      this.#single(piece, offset, this.#core.copy(at, ID_SIZE), result);
    }
  }

  #single({ file }: Piece, offset: number, id: Uint8Array, result: PieceResult): void {
    const { opener } = this.#verify!;
    try {
      const stored = this.#segments.read({ id, file, offset, size: 0 });
      if (isManifest(id)) opener.openUnidentified(stored, id);
      else opener.open(stored, id);
    } catch (e) {
      const missing = (e as NodeJS.ErrnoException).code === "ENOENT";
      if (!(e instanceof IntegrityError) && !missing) throw e;
      result.defects.push({ id, message: missing ? `the segment ${file} is missing` : (e as Error).message });
    }
  }

  #closeFile(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
    this.#file = "";
  }

  close(): void {
    this.#closeFile();
    this.#segments.close();
  }
}
