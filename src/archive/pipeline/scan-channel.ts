// The walk of a tree in a thread of its own, told to the main thread through shared memory: a ring of slots filled with
// events, one after another. Half of what an unchanged backup costs is three system calls an entry; so they are made
// while the main thread looks up, references and encodes what was found before.
import { type AlcoveWarning, BackupRaceCondition, errorFromRemote } from "../../errors.ts";
import { fsDecode, fsEncode } from "../../format/bytes.ts";
import {
  fs,
  isDirectory,
  type NameList,
  type RawStat,
  STAT,
  STAT_NUMBERS,
  type Stat,
} from "../../runtime/index.ts";
import { problemOf } from "../walker.ts";
import { align8 } from "./messages.ts";

export const SLOTS = 32;
/** Waking the other side costs more than a hundred entries in a virtual machine: slots are large. */
export const SLOT_BYTES = 256 * 1024;

// Words of the control block.
export const PUBLISHED = 0;
export const RELEASED = 1;
export const STOP = 2;
export const ENDED = 3;
/** Moves with everything either side does; what both sleep on. */
export const PULSE = 4;
/** Names of attributes are to be listed of plain files, too. */
export const LIST_ALL = 5;
const CONTROL_BYTES = 64;

/** Attributes of an entry: the main thread has to look, or there are none. */
export const XATTRS_UNKNOWN = 0;
export const XATTRS_NONE = 1;
/** In their place: the walk has left a file, as its directory calls it, to the main thread, and there are no numbers. */
export const UNSEEN = 2;

const ENTRY = 0;
const STATUS = 1;
const PROBLEM = 2;
// An event: kind, root, attributes and length of the path, four 32-bit words; then for an entry the numbers of its stat
// (64-bit floats), and the path; for the others path and text behind it, separated by a zero.
const HEADER = 16;
/** More bytes than a name of any file system has. */
const NAME_MAX = 1024;
const NUMBER_BYTES = STAT_NUMBERS * 8;

/** One slot's memory. */
export interface ScanSlot {
  bytes: Uint8Array;
  words: Uint32Array;
  numbers: Float64Array;
}

/** A slot in `memory`. @param at a multiple of 8 */
export function newSlot(memory: ArrayBufferLike, at: number, size: number): ScanSlot {
  return {
    bytes: new Uint8Array(memory, at, size),
    words: new Uint32Array(memory, at, size / 4),
    numbers: new Float64Array(memory, at, size / 8),
  };
}

/** What the walk found, as the main thread gets it. The stat is reused. */
export type ScanEvent =
  | { type: "entry"; root: number; path: string; stat: Stat; xattrs: number }
  | { type: "status"; root: number; path: string; status: string }
  | { type: "problem"; root: number; path: string; problem: AlcoveWarning };

/** Either end. */
export class ScanChannel {
  readonly memory: SharedArrayBuffer;
  readonly #control: Int32Array;

  constructor(memory = new SharedArrayBuffer(CONTROL_BYTES + SLOTS * SLOT_BYTES)) {
    this.memory = memory;
    this.#control = new Int32Array(memory, 0, CONTROL_BYTES / 4);
  }

  slot(n: number): ScanSlot {
    return newSlot(this.memory, CONTROL_BYTES + (n % SLOTS) * SLOT_BYTES, SLOT_BYTES);
  }

  get(word: number): number {
    return Atomics.load(this.#control, word);
  }

  raise(word: number): void {
    Atomics.add(this.#control, word, 1);
    Atomics.add(this.#control, PULSE, 1);
    Atomics.notify(this.#control, PULSE);
  }

  /** Sleeps until something happened since `seen` was read, or the milliseconds are over. */
  sleep(seen: number, timeout?: number): void {
    Atomics.wait(this.#control, PULSE, seen, timeout);
  }
}

/** Writes events into a slot. */
export class ScanWriter {
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #numbers: Float64Array;
  #at = 8;

  constructor(slot: ScanSlot) {
    ({ words: this.#words, bytes: this.#bytes, numbers: this.#numbers } = slot);
    this.#words[0] = 0;
  }

  get isEmpty(): boolean {
    return this.#at === 8;
  }

  /** False if there is no room for it. */
  entry(root: number, path: string, stat: Stat, xattrs: number): boolean {
    const at = this.#at + HEADER + NUMBER_BYTES;
    // As UTF-8 a path takes at most three bytes for each of its units.
    if (at + 3 * path.length > this.#bytes.length) return false;
    const end = this.#path(path, at);
    this.#header(ENTRY, root, xattrs, end - at);
    stat.toNumbers(this.#numbers, (this.#at + HEADER) / 8);
    this.#done(end);
    return true;
  }

  /** Whether any name of a directory fits. @param prefix the directory's path with a slash */
  hasRoomFor(prefix: Uint8Array): boolean {
    return this.#at + HEADER + NUMBER_BYTES + prefix.length + NAME_MAX <= this.#bytes.length;
  }

  /** A name of a directory that was just looked at, or is UNSEEN, where there is room for it. */
  named(
    root: number,
    prefix: Uint8Array,
    names: NameList,
    i: number,
    stat: RawStat | undefined,
    xattrs: number,
  ): void {
    const bytes = this.#bytes;
    const start = this.#at + HEADER + NUMBER_BYTES;
    const { length } = prefix;
    let at = start;
    for (let k = 0; k < length; k++) bytes[at++] = prefix[k]!;
    const name = names.bytes;
    for (let k = names.starts[i]!, c = name[k]!; c !== 0; c = name[++k]!) bytes[at++] = c;
    this.#header(ENTRY, root, stat ? xattrs : UNSEEN, at - start);
    stat?.toNumbers(this.#numbers, (this.#at + HEADER) / 8);
    this.#done(at);
  }

  status(root: number, path: string, status: string): boolean {
    return this.#text(STATUS, root, `${path}\0${status}`);
  }

  problem(root: number, path: string, problem: AlcoveWarning): boolean {
    return this.#text(PROBLEM, root, `${path}\0${JSON.stringify([problem.msgid, ...problem.args])}`);
  }

  /** Writes a path's bytes; the position behind them. */
  #path(path: string, at: number): number {
    const bytes = this.#bytes;
    const n = path.length;
    for (let i = 0; i < n; i++) {
      const c = path.charCodeAt(i);
      if (c > 0x7f) {
        const encoded = fsEncode(path);
        bytes.set(encoded, at);
        return at + encoded.length;
      }
      bytes[at + i] = c;
    }
    return at + n;
  }

  #text(kind: number, root: number, text: string): boolean {
    const bytes = fsEncode(text);
    const end = this.#at + HEADER + bytes.length;
    if (end > this.#bytes.length) return false;
    this.#header(kind, root, 0, bytes.length);
    this.#bytes.set(bytes, this.#at + HEADER);
    this.#done(end);
    return true;
  }

  #header(kind: number, root: number, xattrs: number, length: number): void {
    const words = this.#words;
    const p = this.#at >> 2;
    words[p] = kind;
    words[p + 1] = root;
    words[p + 2] = xattrs;
    words[p + 3] = length;
  }

  #done(end: number): void {
    this.#at = align8(end);
    this.#words[0] = this.#at;
  }
}

/** Goes through the events of a slot, in order. */
export class ScanReader {
  /** Position of a slot's first event. */
  static readonly BEGIN = 8;
  /** From an event's start to an entry's numbers, and to its path; and the word of the path's length. */
  static readonly HEADER = HEADER;
  static readonly PATH = HEADER + NUMBER_BYTES;
  static readonly LENGTH = 3;
  readonly bytes: Uint8Array;
  readonly numbers: Float64Array;
  /** Where the event that the reader is at begins. */
  at = 0;
  isEntry = false;
  root = 0;
  xattrs = 0;
  /** Where the entry's numbers are, by STAT. */
  statAt = 0;
  /** Where the path's bytes are; of an event that is no entry, those of its texts. */
  pathAt = 0;
  pathLength = 0;
  readonly #words: Uint32Array;
  readonly #end: number;
  #kind = 0;
  #at = ScanReader.BEGIN;

  constructor(slot: ScanSlot) {
    ({ words: this.#words, bytes: this.bytes, numbers: this.numbers } = slot);
    this.#end = this.#words[0]!;
  }

  /** Position of the event that next() goes to, which seek() changes. */
  get nextAt(): number {
    return this.#at;
  }
  seek(at: number): void {
    this.#at = at;
  }

  /** Goes to the next event; false at the end. */
  next(): boolean {
    const words = this.#words;
    const at = this.#at;
    if (at >= this.#end) return false;
    const p = at >> 2;
    this.at = at;
    this.#kind = words[p]!;
    this.isEntry = this.#kind === ENTRY;
    this.root = words[p + 1]!;
    this.xattrs = words[p + 2]!;
    this.pathLength = words[p + 3]!;
    this.statAt = (at + HEADER) >> 3;
    this.pathAt = at + HEADER + (this.isEntry ? NUMBER_BYTES : 0);
    this.#at = align8(this.pathEnd);
    return true;
  }

  get pathEnd(): number {
    return this.pathAt + this.pathLength;
  }

  /** Bytes of the entry's contents. */
  get size(): number {
    return this.numbers[this.statAt + STAT.size]!;
  }

  /** The path of an entry. */
  get path(): string {
    return fsDecode(this.bytes.subarray(this.pathAt, this.pathEnd));
  }

  /** The event that the reader is at. @param stat filled for an entry */
  event(stat: Stat): ScanEvent {
    const { root, xattrs, path } = this;
    if (this.isEntry) {
      if (xattrs === UNSEEN) return lateEvent(root, path, stat);
      stat.fromNumbers(this.numbers, this.statAt);
      return { type: "entry", root, path, stat, xattrs };
    }
    const [name = "", rest = ""] = path.split("\0");
    if (this.#kind === STATUS) return { type: "status", root, path: name, status: rest };
    // As errors travel from a server: by message id and arguments.
    const [msgid, ...args] = JSON.parse(rest) as [string, ...unknown[]];
    const problem = errorFromRemote(msgid, args);
    if (!problem) throw new Error(`walk: a warning of an unknown kind, ${msgid}`);
    return { type: "problem", root, path: name, problem };
  }
}

/** Looks at the files of a slot that the walk has left. Where the system refuses one, or calls it a directory now, event()
 *  tells of it, and to everybody else its numbers are those of no file. */
export function lookAtUnseen(slot: ScanSlot): void {
  const { bytes, words, numbers } = slot;
  for (const reader = new ScanReader(slot); reader.next(); ) {
    if (!reader.isEntry || reader.xattrs !== UNSEEN) continue;
    const { at, statAt, pathAt, pathEnd } = reader;
    if (fs.lookAt(bytes, pathAt, pathEnd, numbers, statAt) && !isDirectory(numbers[statAt + STAT.mode]!))
      words[(at >> 2) + 2] = XATTRS_UNKNOWN;
    else numbers.fill(0, statAt, statAt + STAT_NUMBERS);
  }
}

/** What becomes of a file that could not be looked at. */
function lateEvent(root: number, path: string, stat: Stat): ScanEvent {
  try {
    fs.lstat(path, stat);
    if (isDirectory(stat.mode)) throw new BackupRaceCondition(path);
    return { type: "entry", root, path, stat, xattrs: XATTRS_UNKNOWN };
  } catch (e) {
    return { type: "problem", root, path, problem: problemOf(path, e) };
  }
}
