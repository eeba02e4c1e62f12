// The walk of a tree in a thread of its own, told to the main thread through shared memory: a ring of slots filled with
// events, one after another. Half of what an unchanged backup costs is three system calls an entry; so they are made
// while the main thread looks up, references and encodes what was found before.
import { type AlcoveWarning, errorFromRemote } from "../../errors.ts";
import { fsDecode, fsEncode } from "../../format/bytes.ts";
import type { Stat } from "../../runtime/index.ts";
import { align8 } from "./messages.ts";

export const SLOTS = 4;
export const SLOT_BYTES = 128 * 1024;

// Words of the control block.
export const PUBLISHED = 0;
export const RELEASED = 1;
export const STOP = 2;
export const ENDED = 3;
/** Moves with everything either side does; what both sleep on. */
export const PULSE = 4;
const CONTROL_BYTES = 64;

/** Attributes of an entry: not looked for, there are none, or the main thread has to look. */
export const XATTRS_UNKNOWN = 0;
export const XATTRS_NONE = 1;

const ENTRY = 0;
const STATUS = 1;
const PROBLEM = 2;
// An event: kind, root, attributes and length of the path, four 32-bit words; then for an entry the numbers of its stat
// (64-bit floats), and the path; for the others path and text behind it, separated by a zero.
const HEADER = 16;
const NUMBERS = 22;
const NUMBER_BYTES = NUMBERS * 8;

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

  slot(n: number): { bytes: Uint8Array; view: DataView; numbers: Float64Array } {
    const at = CONTROL_BYTES + (n % SLOTS) * SLOT_BYTES;
    return {
      bytes: new Uint8Array(this.memory, at, SLOT_BYTES),
      view: new DataView(this.memory, at, SLOT_BYTES),
      numbers: new Float64Array(this.memory, at, SLOT_BYTES / 8),
    };
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
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #numbers: Float64Array;
  #at = 8;

  constructor(slot: ReturnType<ScanChannel["slot"]>) {
    ({ view: this.#view, bytes: this.#bytes, numbers: this.#numbers } = slot);
    this.#view.setUint32(0, 0, true);
  }

  get isEmpty(): boolean {
    return this.#at === 8;
  }

  /** False if there is no room for it. */
  entry(root: number, path: string, stat: Stat, xattrs: number): boolean {
    const name = fsEncode(path);
    const end = this.#at + HEADER + NUMBER_BYTES + name.length;
    if (end > SLOT_BYTES) return false;
    this.#header(ENTRY, root, xattrs, name.length);
    writeStat(this.#numbers, (this.#at + HEADER) / 8, stat);
    this.#bytes.set(name, this.#at + HEADER + NUMBER_BYTES);
    this.#done(end);
    return true;
  }

  status(root: number, path: string, status: string): boolean {
    return this.#text(STATUS, root, `${path}\0${status}`);
  }

  problem(root: number, path: string, problem: AlcoveWarning): boolean {
    return this.#text(PROBLEM, root, `${path}\0${JSON.stringify([problem.msgid, ...problem.args])}`);
  }

  #text(kind: number, root: number, text: string): boolean {
    const bytes = fsEncode(text);
    const end = this.#at + HEADER + bytes.length;
    if (end > SLOT_BYTES) return false;
    this.#header(kind, root, 0, bytes.length);
    this.#bytes.set(bytes, this.#at + HEADER);
    this.#done(end);
    return true;
  }

  #header(kind: number, root: number, xattrs: number, length: number): void {
    const [v, p] = [this.#view, this.#at];
    v.setUint32(p, kind, true);
    v.setUint32(p + 4, root, true);
    v.setUint32(p + 8, xattrs, true);
    v.setUint32(p + 12, length, true);
  }

  #done(end: number): void {
    this.#at = align8(end);
    this.#view.setUint32(0, this.#at, true);
  }
}

/** The events of a slot, in order. */
export function* readScan(slot: ReturnType<ScanChannel["slot"]>, stat: Stat): Generator<ScanEvent, void> {
  const { view, bytes, numbers } = slot;
  const end = view.getUint32(0, true);
  for (let at = 8; at < end; ) {
    const kind = view.getUint32(at, true);
    const root = view.getUint32(at + 4, true);
    const xattrs = view.getUint32(at + 8, true);
    const length = view.getUint32(at + 12, true);
    const from = at + HEADER + (kind === ENTRY ? NUMBER_BYTES : 0);
    const text = fsDecode(bytes.subarray(from, from + length));
    if (kind === ENTRY) {
      readStat(numbers, (at + HEADER) / 8, stat);
      yield { type: "entry", root, path: text, stat, xattrs };
    } else {
      const [path = "", rest = ""] = text.split("\0");
      if (kind === STATUS) yield { type: "status", root, path, status: rest };
      else {
        // As errors travel from a server: by message id and arguments.
        const [msgid, ...args] = JSON.parse(rest) as [string, ...unknown[]];
        const problem = errorFromRemote(msgid, args);
        if (!problem) throw new Error(`walk: a warning of an unknown kind, ${msgid}`);
        yield { type: "problem", root, path, problem };
      }
    }
    at = align8(from + length);
  }
}

function writeStat(out: Float64Array, at: number, s: Stat): void {
  out[at] = s.mode;
  out[at + 1] = s.uid;
  out[at + 2] = s.gid;
  out[at + 3] = s.nlink;
  out[at + 4] = s.size;
  if (typeof s.ino === "number") {
    out[at + 5] = s.ino;
    out[at + 6] = -1;
  } else {
    out[at + 5] = Number(s.ino & 0xffff_ffffn);
    out[at + 6] = Number(s.ino >> 32n);
  }
  out[at + 7] = s.dev;
  out[at + 8] = s.rdev;
  out[at + 9] = s.blocks;
  out[at + 10] = s.blksize;
  out[at + 11] = s.mtimeSec;
  out[at + 12] = s.mtimeNsec;
  out[at + 13] = s.atimeSec;
  out[at + 14] = s.atimeNsec;
  out[at + 15] = s.ctimeSec;
  out[at + 16] = s.ctimeNsec;
  out[at + 17] = s.hasBirthtime ? 1 : 0;
  out[at + 18] = s.birthtimeSec;
  out[at + 19] = s.birthtimeNsec;
  out[at + 20] = s.attributes;
  out[at + 21] = s.attributesMask;
}

function readStat(from: Float64Array, at: number, s: Stat): void {
  s.mode = from[at]!;
  s.uid = from[at + 1]!;
  s.gid = from[at + 2]!;
  s.nlink = from[at + 3]!;
  s.size = from[at + 4]!;
  const high = from[at + 6]!;
  s.ino = high < 0 ? from[at + 5]! : (BigInt(high) << 32n) | BigInt(from[at + 5]!);
  s.dev = from[at + 7]!;
  s.rdev = from[at + 8]!;
  s.blocks = from[at + 9]!;
  s.blksize = from[at + 10]!;
  s.mtimeSec = from[at + 11]!;
  s.mtimeNsec = from[at + 12]!;
  s.atimeSec = from[at + 13]!;
  s.atimeNsec = from[at + 14]!;
  s.ctimeSec = from[at + 15]!;
  s.ctimeNsec = from[at + 16]!;
  s.hasBirthtime = from[at + 17]! !== 0;
  s.birthtimeSec = from[at + 18]!;
  s.birthtimeNsec = from[at + 19]!;
  s.attributes = from[at + 20]!;
  s.attributesMask = from[at + 21]!;
}
