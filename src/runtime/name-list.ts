// The names of a directory as bytes where system calls find them: a name is looked at by its address, without becoming
// a string.
import { systemError } from "./errno.ts";
import { DIRENTS, DIRENTS_SIZE, type Libc } from "./libc.ts";
import { fsDecodeRange } from "./pathbytes.ts";

/** Where the parts of a struct linux_dirent64 are: u64 d_ino, s64 d_off, u16 d_reclen, u8 d_type, char d_name[]. */
const LENGTH_AT = 16;
const NAME_AT = 19;

const DOT = 0x2e;
/** Names of a directory that numbers with inode and place in one double can be sorted of. */
const EXACT = 2 ** 53;

/** Names of one directory without "." and "..", in the order of their inode numbers, as Borg visits them. It is used
 *  again for directory after directory: what it gave is good until the next read(). */
export class NameList {
  count = 0;
  /** The kernel's records, one after the other. A name ends with a zero. */
  bytes = new Uint8Array(0);
  /** Where `bytes` begin, for system calls. */
  address = 0;
  /** Where each name begins in `bytes`. */
  starts = new Uint32Array(64);
  readonly #c: Libc;
  #u32 = new Uint32Array(0);

  constructor(c: Libc) {
    this.#c = c;
  }

  /** Reads an open directory. @throws the system's errors */
  read(fd: number, path: string): void {
    const c = this.#c;
    const getdents = c.get("getdents64");
    let end = 0;
    for (;;) {
      const length = getdents(fd, c.address + DIRENTS, DIRENTS_SIZE);
      if (length < 0) throw systemError("getdents64", c.ffi.errno(), path);
      if (length === 0) break;
      this.#reserve(end, end + length);
      this.bytes.set(c.memory.subarray(DIRENTS, DIRENTS + length), end);
      end += length;
    }
    this.#find(end);
    this.#sort();
  }

  name(i: number): string {
    const start = this.starts[i]!;
    const { bytes } = this;
    let end = start;
    while (bytes[end] !== 0) end++;
    return fsDecodeRange(bytes, start, end);
  }

  /** A bigint above 2^53. */
  inode(i: number): number | bigint {
    const at = (this.starts[i]! - NAME_AT) >> 2;
    const low = this.#u32[at]!;
    const high = this.#u32[at + 1]!;
    return high < 0x200000 ? low + high * 4294967296 : BigInt(low) | (BigInt(high) << 32n);
  }

  /** A DT_* number. */
  type(i: number): number {
    return this.bytes[this.starts[i]! - 1]!;
  }

  #reserve(used: number, size: number): void {
    if (size <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(4096, size, used > 0 ? 2 * this.bytes.length : 0));
    grown.set(this.bytes.subarray(0, used));
    this.bytes = grown;
    this.address = this.#c.ffi.address(grown);
    this.#u32 = new Uint32Array(grown.buffer, 0, grown.length >> 2);
  }

  /** Finds the names in the first `end` bytes. */
  #find(end: number): void {
    const { bytes } = this;
    let { starts } = this;
    let n = 0;
    for (let at = 0; at < end; at += bytes[at + LENGTH_AT]! | (bytes[at + LENGTH_AT + 1]! << 8)) {
      const start = at + NAME_AT;
      if (bytes[start] === DOT) {
        const second = bytes[start + 1];
        if (second === 0 || (second === DOT && bytes[start + 2] === 0)) continue;
      }
      if (n === starts.length) {
        const grown = new Uint32Array(2 * n);
        grown.set(starts);
        this.starts = starts = grown;
      }
      starts[n++] = start;
    }
    this.count = n;
  }

  /** By inode number; those of equal ones stay as they came. */
  #sort(): void {
    const { count } = this;
    const starts = this.starts.subarray(0, count);
    let greatest = 0;
    let rising = true;
    let falling = true;
    for (let i = 0, before = -1; i < count; i++) {
      const inode = Number(this.inode(i));
      if (i > 0 && inode <= before) rising = false;
      if (i > 0 && inode >= before) falling = false;
      if (inode > greatest) greatest = inode;
      before = inode;
    }
    if (rising) return;
    if (falling && greatest < EXACT) {
      starts.reverse();
      return;
    }
    if ((greatest + 1) * count < EXACT) {
      const numbers = new Float64Array(count);
      for (let i = 0; i < count; i++) numbers[i] = (this.inode(i) as number) * count + i;
      numbers.sort();
      const before = starts.slice();
      for (let i = 0; i < count; i++) starts[i] = before[numbers[i]! % count]!;
      return;
    }
    const places = Array.from(starts, (start, i) => ({ start, inode: this.inode(i) }));
    places.sort((a, b) => (a.inode < b.inode ? -1 : a.inode > b.inode ? 1 : 0));
    for (const [i, { start }] of places.entries()) starts[i] = start;
  }
}
