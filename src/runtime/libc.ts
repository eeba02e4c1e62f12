// The C library's functions that no JavaScript runtime offers, through whichever foreign function interface
// there is. Arguments are addresses inside one arena that never moves: strings and structures are written into
// its regions first. One table serves glibc and musl, x86-64, arm64 and 32-bit arm.
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW } from "./constants.ts";
import { ERANGE, systemError } from "./errno.ts";
import { openFfi } from "./ffi/index.ts";
import type { CFunction, CLibrary, CType, Ffi } from "./ffi/types.ts";
import { fsDecodeRange, fsEncode } from "./pathbytes.ts";
import { is32bit, isLinux, runtime } from "./platform.ts";

/** Regions of the arena: offset and size in bytes. PATH_MAX is 4096, a name 255, an attribute value 65536. */
export const PATH_A = 0;
export const PATH_B = 8192;
export const NAME = 16384;
export const STATX = 17408;
export const SMALL = 17920;
export const VALUE = 32768;
export const VALUE_SIZE = 65536 + 4096;
/** Room that nearly all lists of attributes fit. The kernel sets aside what it is offered: 64 KiB, pages of their own, at
 *  every call are a tenth of a walk. */
const SMALL_LIST = 512;
export const DIRENTS = VALUE + VALUE_SIZE;
export const DIRENTS_SIZE = 131072;
const ARENA_SIZE = DIRENTS + DIRENTS_SIZE;
export const PATH_REGION = 8192;

type Signature = readonly [result: CType, args: readonly CType[], ...otherNames: string[]];

const table = {
  statx: ["i32", ["i32", "word", "i32", "u32", "word"]],
  openat: ["i32", ["i32", "word", "i32", "u32"], "openat64"],
  openat2: ["long", ["i32", "word", "word", "word"]],
  close: ["i32", ["i32"]],
  read: ["long", ["i32", "word", "word"]],
  pread: ["long", ["i32", "word", "word", "i64"], "pread64"],
  getdents64: ["long", ["i32", "word", "word"]],
  readlinkat: ["long", ["i32", "word", "word", "word"]],
  symlinkat: ["i32", ["word", "i32", "word"]],
  linkat: ["i32", ["i32", "word", "i32", "word", "i32"]],
  unlinkat: ["i32", ["i32", "word", "i32"]],
  renameat: ["i32", ["i32", "word", "i32", "word"]],
  mkdirat: ["i32", ["i32", "word", "u32"]],
  mkfifoat: ["i32", ["i32", "word", "u32"]],
  mknodat: ["i32", ["i32", "word", "u32", "i64"]],
  fchownat: ["i32", ["i32", "word", "u32", "u32", "i32"]],
  fchown: ["i32", ["i32", "u32", "u32"]],
  fchmodat: ["i32", ["i32", "word", "u32", "i32"]],
  fchmod: ["i32", ["i32", "u32"]],
  utimensat: ["i32", ["i32", "word", "word", "i32"]],
  futimens: ["i32", ["i32", "word"]],
  llistxattr: ["long", ["word", "word", "word"]],
  flistxattr: ["long", ["i32", "word", "word"]],
  listxattrat: ["long", ["i32", "word", "u32", "word", "word"]],
  lgetxattr: ["long", ["word", "word", "word", "word"]],
  fgetxattr: ["long", ["i32", "word", "word", "word"]],
  lsetxattr: ["i32", ["word", "word", "word", "word", "i32"]],
  fsetxattr: ["i32", ["i32", "word", "word", "word", "i32"]],
  lremovexattr: ["i32", ["word", "word"]],
  fremovexattr: ["i32", ["i32", "word"]],
  ioctl: ["i32", ["i32", "word", "word"]],
  // On 32-bit glibc the plain names take a 32-bit off_t; musl's and every 64-bit one take 64 bits.
  lseek: ["i64", ["i32", "i64", "i32"], "lseek64"],
  posix_fadvise: ["i32", ["i32", "i64", "i64", "i32"], "posix_fadvise64"],
  sync_file_range: ["i32", ["i32", "i64", "i64", "u32"]],
  _exit: ["i32", ["i32"]],
  malloc_trim: ["i32", ["word"]],
  mallopt: ["i32", ["i32", "i32"]],
  socket: ["i32", ["i32", "i32", "i32"]],
  getaddrinfo: ["i32", ["word", "word", "word", "word"]],
  freeaddrinfo: ["i32", ["word"]],
  getpwuid_r: ["i32", ["u32", "word", "word", "word", "word"]],
  getpwnam_r: ["i32", ["word", "word", "word", "word", "word"]],
  getgrgid_r: ["i32", ["u32", "word", "word", "word", "word"]],
  getgrnam_r: ["i32", ["word", "word", "word", "word", "word"]],
} as const satisfies Record<string, Signature>;

export type LibcName = keyof typeof table;

/** System call numbers for a C library that is older than its function: x86-64, arm64, arm. */
const syscalls: Partial<Record<LibcName, Partial<Record<string, number>>>> = {
  getdents64: { x64: 217, arm64: 61, arm: 217 },
  statx: { x64: 332, arm64: 291, arm: 397, riscv64: 291 },
  // No C library has a function for it yet; the number is the same everywhere. Kernel 5.6 and later.
  openat2: { x64: 437, arm64: 437, arm: 437, riscv64: 437 },
  // Kernel 6.13 and later, the same number everywhere.
  listxattrat: { x64: 465, arm64: 465, arm: 465, riscv64: 465 },
  // Before glibc 2.33 mknodat is an inline function. The kernel's device number is glibc's, below 12 bits of major.
  mknodat: { x64: 259, arm64: 33, arm: 324, riscv64: 33 },
};

/**
 * A 32-bit machine's utimensat of the C library takes a struct timespec of 32-bit or 64-bit fields as it was built
 * (glibc and musl have both, under names of their own). The system calls are certain: the one for 64-bit times, of
 * kernel 5.1 and later, and the one before it, which ends in 2038.
 */
const UTIMENSAT_TIME64: Partial<Record<string, number>> = { arm: 412, ia32: 412 };
const UTIMENSAT_TIME32: Partial<Record<string, number>> = { arm: 348, ia32: 320 };

export class Libc {
  readonly ffi: Ffi;
  readonly memory: Uint8Array;
  readonly address: number;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly u16: Uint16Array;
  /** What canListAt() found out. */
  listsAt: boolean | undefined;
  private readonly library: CLibrary;
  private readonly bound = new Map<LibcName, CFunction | null>();

  constructor(ffi: Ffi, library: CLibrary) {
    this.ffi = ffi;
    this.library = library;
    const memory = new Uint8Array(new ArrayBuffer(ARENA_SIZE));
    this.memory = memory;
    this.address = ffi.address(memory);
    this.u32 = new Uint32Array(memory.buffer);
    this.i32 = new Int32Array(memory.buffer);
    this.u16 = new Uint16Array(memory.buffer);
  }

  /** The bound function, or undefined where this C library has none. */
  find(name: LibcName): CFunction | undefined {
    const known = this.bound.get(name);
    if (known !== undefined) return known ?? undefined;
    const [result, args, ...others]: Signature = table[name];
    const order = is32bit ? [...others, name] : [name];
    let f: CFunction | undefined;
    if (is32bit && name === "utimensat") {
      f = this.syscall(UTIMENSAT_TIME64[runtime.arch], result, args);
      const old = this.syscall(UTIMENSAT_TIME32[runtime.arch], result, args);
      if (f && old) f = this.withOldTimes(f, old);
    }
    for (const symbol of order) f ??= this.library.bind(symbol, result, args);
    f ??= this.syscall(syscalls[name]?.[runtime.arch], result, args);
    this.bound.set(name, f ?? null);
    return f;
  }

  private syscall(number: number | undefined, result: CType, args: readonly CType[]): CFunction | undefined {
    if (number === undefined) return undefined;
    // Every argument of these calls is one machine word, in the order of the C function.
    const words = args.map((a): CType => (a === "i32" ? "long" : "word"));
    const f = this.library.bind("syscall", "long", ["word", ...words]);
    if (!f) return undefined;
    // Once a file of a walk.
    if (args.length === 5) return (a, b, c, d, e) => f(number, a!, b!, c!, d!, e!);
    return result === "long" || result === "i32" ? (...a) => f(number, ...a) : undefined;
  }

  /** The second one is called on a kernel that does not know the first, with the times narrowed where they are. */
  private withOldTimes(wide: CFunction, narrow: CFunction): CFunction {
    let known = true;
    return (...args) => {
      if (known) {
        const result = wide(...args);
        if (result === 0 || this.ffi.errno() !== 38 /* ENOSYS */) return result;
        known = false;
      }
      narrowTimes(this.i32, (args[2]! - this.address) >> 2);
      return narrow(...args);
    };
  }

  get(name: LibcName): CFunction {
    const f = this.find(name);
    if (!f) throw systemError(name, 38 /* ENOSYS */);
    return f;
  }

  /** Calls, and throws the system's error for a negative result. */
  check(name: LibcName, path: string | undefined, ...args: number[]): number {
    const result = this.get(name)(...args);
    if (result < 0) throw systemError(name, this.ffi.errno(), path);
    return result;
  }

  /** Puts a zero-terminated path at `region` and returns its address. */
  path(path: string, region: number = PATH_A): number {
    const n = path.length;
    const memory = this.memory;
    if (n < PATH_REGION) {
      let i = 0;
      for (; i < n; i++) {
        const c = path.charCodeAt(i);
        if (c > 0x7f || c === 0) break;
        memory[region + i] = c;
      }
      if (i === n) {
        memory[region + n] = 0;
        return this.address + region;
      }
    }
    this.bytes(fsEncode(path), region, PATH_REGION - 1, path);
    return this.address + region;
  }

  /** As path(), of a path that is [from, to) of some bytes; undefined where it does not fit or holds a zero. */
  pathOfBytes(bytes: Uint8Array, from: number, to: number): number | undefined {
    if (to - from >= PATH_REGION) return undefined;
    const { memory } = this;
    let end = PATH_A;
    for (let i = from; i < to; i++) {
      const byte = bytes[i]!;
      if (byte === 0) return undefined;
      memory[end++] = byte;
    }
    memory[end] = 0;
    return this.address + PATH_A;
  }

  /** Puts bytes and a closing zero at `region`. */
  bytes(bytes: Uint8Array, region: number, room: number, path?: string): void {
    if (bytes.includes(0)) throw systemError("path", 22 /* EINVAL */, path);
    if (bytes.length > room) throw systemError("path", 36 /* ENAMETOOLONG */, path);
    this.memory.set(bytes, region);
    this.memory[region + bytes.length] = 0;
  }

  decode(start: number, length: number): string {
    return fsDecodeRange(this.memory, start, start + length);
  }
}

/** Two struct timespec of 64-bit fields at `at` become, in place, two of 32-bit fields; times outside 1901..2038 the
 *  nearest that there is. */
export function narrowTimes(i32: Int32Array, at: number): void {
  for (let field = 0; field < 4; field++) {
    const low = i32[at + 2 * field]!;
    const high = i32[at + 2 * field + 1]!;
    i32[at + field] = high === low >> 31 ? low : high < 0 ? -0x80000000 : 0x7fffffff;
  }
}

/** Whether the kernel lists attributes of a name in an open directory: one path component is to be looked up then. */
export function canListAt(c: Libc): boolean {
  c.listsAt ??= (() => {
    const list = c.find("listxattrat");
    // Not the kernel's: ENOSYS, or EPERM where a container's filter does not know the call.
    return !!list && list(AT_FDCWD, c.path("/"), AT_SYMLINK_NOFOLLOW, c.address + VALUE, VALUE_SIZE) >= 0;
  })();
  return c.listsAt;
}

/** As listAttributes, of the name at the address in an open directory; where canListAt(). */
export function listAttributesAt(c: Libc, directory: number, name: number): number {
  const list = c.get("listxattrat");
  const length = list(directory, name, AT_SYMLINK_NOFOLLOW, c.address + VALUE, SMALL_LIST);
  return length < 0 && c.ffi.errno() === ERANGE
    ? list(directory, name, AT_SYMLINK_NOFOLLOW, c.address + VALUE, VALUE_SIZE)
    : length;
}

/** Calls flistxattr or llistxattr into the VALUE region. @returns the length of the list, negative with errno set */
export function listAttributes(c: Libc, call: "flistxattr" | "llistxattr", target: number): number {
  const list = c.get(call);
  const length = list(target, c.address + VALUE, SMALL_LIST);
  return length < 0 && c.ffi.errno() === ERANGE ? list(target, c.address + VALUE, VALUE_SIZE) : length;
}

/** The zero-separated names that listxattr left in the VALUE region. */
export function splitNames(c: Libc, length: number): string[] {
  const names: string[] = [];
  const end = VALUE + length;
  for (let at = VALUE; at < end; ) {
    const zero = c.memory.indexOf(0, at);
    if (zero > at) names.push(c.decode(at, zero - at));
    at = zero + 1;
  }
  return names;
}

/** Bytes of a pointer, a long and a size_t. */
export const POINTER = is32bit ? 4 : 8;

export function pointerAt(bytes: Uint8Array, at: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return is32bit ? view.getUint32(at, true) : Number(view.getBigUint64(at, true));
}

export function putPointer(bytes: Uint8Array, at: number, pointer: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (is32bit) view.setUint32(at, pointer, true);
  else view.setBigUint64(at, BigInt(pointer), true);
}

let instance: Libc | null | undefined;

/** The C library, or undefined where there is no way to call it; then node:fs and tools have to do. */
export function libc(): Libc | undefined {
  if (instance === undefined) instance = load() ?? null;
  return instance ?? undefined;
}

/** The C library where something has asked for it already. */
export function libcAtHand(): Libc | undefined {
  return instance ?? undefined;
}

function load(): Libc | undefined {
  // The structures below are Linux's. Other systems get node:fs.
  if (!isLinux) return undefined;
  const ffi = openFfi();
  const arch = runtime.arch === "x64" ? "x86_64" : runtime.arch === "arm64" ? "aarch64" : "armhf";
  const library = ffi?.open(["libc.so.6", `libc.musl-${arch}.so.1`, `/lib/ld-musl-${arch}.so.1`, "libc.so"]);
  if (!ffi || !library) return undefined;
  const made = new Libc(ffi, library);
  // A seccomp filter (old container hosts) may refuse statx: then nothing here is of use.
  const statx = made.find("statx");
  if (!statx || !made.find("getdents64")) return undefined;
  return statx(-100, made.path("/"), 0x100, 0xfff, made.address + STATX) === 0 ? made : undefined;
}
