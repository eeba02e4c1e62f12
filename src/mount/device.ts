// The descriptor of /dev/fuse: requests come in by one read each, answers go out by one write each. There are two
// ways to wait for a request. The asynchronous one lets everything else go on, but hands each request over from one
// of the runtime's threads, 30 to 60 µs of switching. The immediate one asks the kernel whether a request is there
// (poll(2), through FFI) and then reads it in this thread; it serves while requests keep coming.
import { read, readSync, writeSync, writevSync } from "node:fs";
import type { CFunction } from "../runtime/ffi/types.ts";
import { cLibrary } from "./clibrary.ts";

export interface Device {
  /** Bytes of the next request, −1 when the file system was unmounted. */
  receive(buffer: Uint8Array): Promise<number>;
  /** The same for a request that is there already, or comes within so many milliseconds, in which nothing else
   *  happens in this thread; 0 where none does, always where it is not possible. */
  receiveNow(buffer: Uint8Array, milliseconds: number): number;
  /** Sends `length` bytes of `buffer`, then the pieces, as one answer. The buffer has room behind them. */
  send(buffer: Uint8Array, length: number, pieces?: readonly Uint8Array[]): void;
}

const POLLIN = 1;
const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
/** An answer of one piece up to this size is cheaper copied together than sent as a vector. */
const COPIED = 16384;

const unmounted = (code: string | undefined): boolean => code === "ENODEV" || code === "ECONNABORTED";
const again = (code: string | undefined): boolean =>
  code === "EINTR" || code === "ENOENT" || code === "EAGAIN";

export class FuseDevice implements Device {
  readonly #fd: number;
  readonly #poll: CFunction | undefined;
  readonly #fcntl: CFunction | undefined;
  readonly #address: number = 0;
  readonly #view: DataView | undefined;
  /** Flags of the open file; with O_NONBLOCK while requests are read at once, so that one that is gone by then
   *  (interrupted) cannot leave this thread waiting. */
  #flags = 0;
  #nonblocking = false;

  constructor(fd: number) {
    this.#fd = fd;
    const loaded = cLibrary();
    const poll = loaded?.library.bind("poll", "i32", ["word", "word", "i32"]);
    const fcntl = loaded?.library.bind("fcntl", "i32", ["i32", "i32", "word"]);
    if (!loaded || !poll || !fcntl) return;
    this.#flags = fcntl(fd, F_GETFL, 0);
    if (this.#flags < 0) return; // the runtime's number is not the system's
    const memory = new Uint8Array(new ArrayBuffer(64));
    this.#address = loaded.ffi.address(memory);
    this.#view = new DataView(memory.buffer, memory.byteOffset);
    this.#poll = poll;
    this.#fcntl = fcntl;
  }

  receive(buffer: Uint8Array): Promise<number> {
    this.#block(true);
    return new Promise((resolve, reject) => {
      const attempt = (): void =>
        read(this.#fd, buffer, 0, buffer.length, null, (e, got) => {
          if (!e) resolve(got);
          else if (unmounted(e.code)) resolve(-1);
          else if (again(e.code)) attempt();
          else reject(e);
        });
      attempt();
    });
  }

  receiveNow(buffer: Uint8Array, milliseconds: number): number {
    if (!this.#poll || !this.#view) return 0;
    this.#block(false);
    this.#view.setInt32(0, this.#fd, true);
    this.#view.setUint32(4, POLLIN, true);
    // A signal ends the wait, too: its handler runs when this thread is back in the event loop.
    if (this.#poll(this.#address, 1, milliseconds) !== 1) return 0;
    try {
      return readSync(this.#fd, buffer, 0, buffer.length, null);
    } catch (e) {
      const { code } = e as NodeJS.ErrnoException;
      if (unmounted(code)) return -1;
      if (again(code)) return 0;
      throw e;
    }
  }

  #block(blocking: boolean): void {
    if (this.#nonblocking !== blocking) return;
    this.#nonblocking = !blocking;
    this.#fcntl?.(this.#fd, F_SETFL, blocking ? this.#flags : this.#flags | O_NONBLOCK);
  }

  send(buffer: Uint8Array, length: number, pieces: readonly Uint8Array[] = []): void {
    try {
      const first = pieces[0];
      if (!first) writeSync(this.#fd, buffer, 0, length);
      else if (pieces.length === 1 && first.length <= COPIED && length + first.length <= buffer.length) {
        buffer.set(first, length);
        writeSync(this.#fd, buffer, 0, length + first.length);
      } else writevSync(this.#fd, [buffer.subarray(0, length), ...pieces]);
    } catch (e) {
      const { code } = e as NodeJS.ErrnoException;
      // ENOENT: the request was given up meanwhile. ENODEV: unmounted; the next read says so, too.
      if (code === "ENOENT" || unmounted(code)) return;
      throw e;
    }
  }
}
