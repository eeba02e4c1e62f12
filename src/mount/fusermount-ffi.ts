// Two things that need the C library: receiving the /dev/fuse descriptor that fusermount sends over a Unix socket
// (SCM_RIGHTS), and making a descriptor that came that way or was inherited usable with node:fs on Deno, which
// only reads descriptors it has opened itself.
import { closeSync, fstatSync, openSync } from "node:fs";
import { systemError } from "../runtime/errno.ts";
import type { CFunction, Ffi } from "../runtime/ffi/types.ts";
import { is32bit } from "../runtime/platform.ts";
import { cLibrary } from "./clibrary.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const ARENA = 256;

interface Calls {
  ffi: Ffi;
  memory: Uint8Array;
  view: DataView;
  address: number;
  socketpair: CFunction;
  recvmsg: CFunction;
  dup2: CFunction;
  close: CFunction;
  setsid: CFunction;
}

let calls: Calls | undefined | null;

function load(): Calls | undefined {
  const loaded = cLibrary();
  if (!loaded) return undefined;
  const { ffi, library } = loaded;
  const socketpair = library.bind("socketpair", "i32", ["i32", "i32", "i32", "word"]);
  const recvmsg = library.bind("recvmsg", "long", ["i32", "word", "i32"]);
  const dup2 = library.bind("dup2", "i32", ["i32", "i32"]);
  const close = library.bind("close", "i32", ["i32"]);
  const setsid = library.bind("setsid", "i32", []);
  if (!socketpair || !recvmsg || !dup2 || !close || !setsid) return undefined;
  const memory = new Uint8Array(new ArrayBuffer(ARENA));
  return {
    ffi,
    memory,
    view: new DataView(memory.buffer),
    address: ffi.address(memory),
    socketpair,
    recvmsg,
    dup2,
    close,
    setsid,
  };
}

function libc(): Calls | undefined {
  if (calls === undefined) calls = load() ?? null;
  return calls ?? undefined;
}

/** Whether descriptors can be received here. */
export function canReceiveDescriptors(): boolean {
  return libc() !== undefined;
}

/** Two connected Unix sockets. They are not close-on-exec: close them. */
export function socketPair(): [number, number] {
  const c = libc();
  if (!c) throw systemError("socketpair", 38);
  if (c.socketpair(AF_UNIX, SOCK_STREAM, 0, c.address) < 0) throw systemError("socketpair", c.ffi.errno());
  return [c.view.getInt32(0, true), c.view.getInt32(4, true)];
}

/** The descriptor that the other end has sent with one byte; undefined if it sent none. Blocks. */
export function receiveDescriptor(socket: number): number | undefined {
  const c = libc();
  if (!c) throw systemError("recvmsg", 38);
  const { view, memory, address } = c;
  const word = is32bit ? 4 : 8;
  const put = (at: number, value: number): void => {
    view.setUint32(at, value % 2 ** 32, true);
    if (word === 8) view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  };
  memory.fill(0);
  // struct msghdr at 0: name, namelen, iov, iovlen, control, controllen, flags; each takes a word.
  const IOV = 64;
  const BYTE = 96;
  const CONTROL = 128;
  put(2 * word, address + IOV);
  put(3 * word, 1);
  put(4 * word, address + CONTROL);
  put(5 * word, word + 8 + 8);
  put(IOV, address + BYTE);
  put(IOV + word, 1);
  if (c.recvmsg(socket, address, 0) !== 1) return undefined;
  // struct cmsghdr: length (a word), level, type; then the descriptor.
  if (view.getUint32(CONTROL, true) < word + 8 + 4) return undefined;
  if (view.getInt32(CONTROL + word, true) !== SOL_SOCKET) return undefined;
  if (view.getInt32(CONTROL + word + 4, true) !== SCM_RIGHTS) return undefined;
  return view.getInt32(CONTROL + word + 8, true);
}

export function closeDescriptor(fd: number): void {
  libc()?.close(fd);
}

/** A descriptor that node:fs accepts for the open file behind `raw`. */
export function adoptDescriptor(raw: number): number {
  try {
    fstatSync(raw);
    return raw;
  } catch {
    // Deno: put the file in the place of one that it has opened itself.
  }
  const c = libc();
  if (!c) throw systemError("dup2", 38);
  const own = openSync("/dev/null", "r+");
  if (c.dup2(raw, own) < 0) {
    const number = c.ffi.errno();
    closeSync(own);
    throw systemError("dup2", number);
  }
  c.close(raw);
  return own;
}

/** Leaves the terminal's session, so that nothing typed there ends the file system, and lets go of the standard
 *  streams, so that nobody who reads them waits for their end. Does what it can. */
export function becomeDaemon(): void {
  const c = libc();
  if (!c) return;
  c.setsid();
  const nothing = openSync("/dev/null", "r+");
  for (let fd = 0; fd < 3; fd++) c.dup2(nothing, fd);
  closeSync(nothing);
}
