// The conversation with the kernel over one mounted /dev/fuse descriptor: reads requests, asks the file system,
// writes answers. Archives never change, so everything may be cached for ever, and opening a file or directory
// needs no message at all (ENOSYS to the first OPEN says so, where the kernel knows that). Requests that must
// wait for the repository do not hold up others; an interrupted one is answered EINTR at once.
import { errno, IN_HEADER, initFlag, OUT_HEADER, opcode, openFlag } from "./constants.ts";
import type { Device } from "./device.ts";
import { type FileSystem, FsError, type Maybe } from "./filesystem.ts";
import { answered, working } from "./garbage.ts";
import { writeEntries } from "./listing.ts";
import {
  ProtocolError,
  type RequestHeader,
  readHeader,
  readInit,
  readInterrupt,
  readName,
  readRead,
  readXattrSize,
  writeAttrOut,
  writeEntryOut,
  writeInit,
  writeOutHeader,
  writeStatfs,
} from "./protocol.ts";

/** Reading needs room for the largest request: names and small structs, as nothing can be written here. */
const REQUEST_BYTES = 16384;
const MAX_WRITE = 4096;
/** Largest answer but that to READ: a page of directory entries, an extended attribute. */
const ANSWER_BYTES = 131072 + OUT_HEADER;
/** Longest READ: 256 pages (see maxPages) of the largest page that a kernel uses, 64 KiB. */
const MAX_READ = 16 << 20;
/** A year: nothing in an archive changes. */
const VALID_SECONDS = 365 * 86400;
/** How long to stay for the next request before the event loop gets this thread, and the longest without a turn of
 *  it, in milliseconds. Signals wait for a turn. */
const LINGER_MS = 4;
const TURN_MS = 20;

const readOnly: ReadonlySet<number> = new Set([
  opcode.SETATTR,
  opcode.SYMLINK,
  opcode.MKNOD,
  opcode.MKDIR,
  opcode.UNLINK,
  opcode.RMDIR,
  opcode.RENAME,
  opcode.RENAME2,
  opcode.LINK,
  opcode.WRITE,
  opcode.SETXATTR,
  opcode.REMOVEXATTR,
  opcode.CREATE,
  opcode.FALLOCATE,
  opcode.COPY_FILE_RANGE,
  opcode.TMPFILE,
]);

export interface SessionOptions {
  /** Let the kernel check ACLs (only together with its permission checks). */
  acl: boolean;
  log?: (level: "debug" | "warning", message: string) => void;
}

/** What is kept of a request until its answer. */
interface Pending {
  low: number;
  high: number;
  /** INTERRUPT came and was answered. */
  gone: boolean;
}

export class FuseSession {
  readonly #device: Device;
  readonly #fs: FileSystem;
  readonly #options: SessionOptions;
  readonly #answer = new Uint8Array(ANSWER_BYTES);
  readonly #view = new DataView(this.#answer.buffer);
  readonly #pending = new Map<string, Pending>();
  #flags = 0;
  /** The file that was read last, until what follows has been read ahead. */
  #readTo = 0;
  #ended = false;
  #settleReady!: { resolve: () => void; reject: (e: Error) => void };
  /** Resolves when the kernel has been answered its INIT. */
  readonly ready: Promise<void>;
  requests = 0;

  /** Requests that wait for their answer. */
  get waiting(): number {
    return this.#pending.size;
  }

  constructor(device: Device, fs: FileSystem, options: SessionOptions) {
    this.#device = device;
    this.#fs = fs;
    this.#options = options;
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    this.ready.catch(() => undefined);
  }

  /** Serves until the file system is unmounted. */
  async run(): Promise<void> {
    const buffer = new Uint8Array(REQUEST_BYTES);
    const view = new DataView(buffer.buffer);
    try {
      while (!this.#ended) {
        const got = await this.#device.receive(buffer);
        if (got < 0) break;
        working();
        this.#dispatch(buffer, view, got);
        await this.#burst(buffer, view);
      }
    } catch (e) {
      this.#settleReady.reject(e as Error);
      throw e;
    } finally {
      this.#ended = true;
      this.#settleReady.reject(new Error("unmounted before it was ready"));
    }
  }

  /** Requests that come close behind each other, without a change of threads between them. */
  async #burst(buffer: Uint8Array, view: DataView): Promise<void> {
    let turn = performance.now();
    while (!this.#ended) {
      let got = this.#device.receiveNow(buffer, 0);
      // While nobody waits for an answer: what may be asked for next. Somebody whose answer has to be waited for
      // needs the event loop.
      if (got === 0 && this.#pending.size === 0) {
        this.#fs.begin();
        if (this.#readTo && this.#fs.readAhead(this.#readTo)) continue;
        this.#readTo = 0;
        got = this.#device.receiveNow(buffer, LINGER_MS);
      }
      if (got === 0) return;
      if (got < 0) {
        this.#ended = true;
        return;
      }
      this.#dispatch(buffer, view, got);
      if (performance.now() - turn < TURN_MS) continue;
      await new Promise((resolve) => setImmediate(resolve));
      working();
      turn = performance.now();
    }
  }

  #dispatch(buffer: Uint8Array, view: DataView, got: number): void {
    let header: RequestHeader;
    try {
      header = readHeader(view, got);
    } catch (e) {
      // Without a whole header there is nobody to answer to.
      this.#options.log?.("warning", `mount: ${(e as Error).message}`);
      return;
    }
    this.requests++;
    answered();
    this.#fs.begin();
    try {
      this.#handle(header, buffer, view);
    } catch (e) {
      this.#fail(header, e);
    }
  }

  #handle(h: RequestHeader, buffer: Uint8Array, view: DataView): void {
    switch (h.opcode) {
      case opcode.INIT:
        this.#init(h, view);
        return;
      case opcode.FORGET:
      case opcode.BATCH_FORGET:
        return; // inode numbers are for ever; and no answer is expected
      case opcode.INTERRUPT:
        this.#interrupt(h, view);
        return;
      case opcode.DESTROY:
      case opcode.RELEASE:
      case opcode.RELEASEDIR:
        this.#send(h, 0);
        return;
      case opcode.FLUSH:
      case opcode.FSYNC:
      case opcode.FSYNCDIR:
        // There is nothing to flush. Told so, the kernel succeeds by itself from now on: one message less for each
        // file that is closed.
        this.#error(h, errno.ENOSYS);
        return;
      case opcode.STATFS:
        this.#send(h, writeStatfs(this.#view, 0));
        return;
    }
    if (readOnly.has(h.opcode)) {
      this.#error(h, errno.EROFS);
      return;
    }
    if (!this.#fs.tree.exists(h.node)) {
      this.#error(h, errno.ESTALE);
      return;
    }
    switch (h.opcode) {
      case opcode.LOOKUP:
        this.#lookup(h, readName(buffer, h));
        return;
      case opcode.GETATTR:
        this.#finish(h, this.#fs.attributes(h.node), (a) =>
          this.#send(h, writeAttrOut(this.#view, OUT_HEADER, h.node, a, VALID_SECONDS)),
        );
        return;
      case opcode.READLINK:
        this.#finish(h, this.#fs.readlink(h.node), (target) => this.#send(h, 0, [target]));
        return;
      case opcode.OPEN:
        this.#open(h, view, initFlag.NO_OPEN_SUPPORT, openFlag.KEEP_CACHE);
        return;
      case opcode.OPENDIR:
        this.#open(h, view, initFlag.NO_OPENDIR_SUPPORT, openFlag.KEEP_CACHE | openFlag.CACHE_DIR);
        return;
      case opcode.READ: {
        const { offset, size } = readRead(view, h);
        this.#finish(h, this.#fs.read(h.node, offset, Math.min(size, MAX_READ)), (pieces) => {
          this.#send(h, 0, pieces);
          this.#readTo = h.node;
        });
        return;
      }
      case opcode.READDIR:
      case opcode.READDIRPLUS: {
        const { offset, size } = readRead(view, h);
        this.#readdir(h, offset, Math.min(size, ANSWER_BYTES - OUT_HEADER));
        return;
      }
      case opcode.GETXATTR: {
        const size = readXattrSize(view, h);
        const name = readName(buffer, h, 8).slice();
        this.#finish(h, this.#fs.xattrs(h.node), (all) => {
          const found = all.find(([n]) => Buffer.compare(n, name) === 0);
          if (found) this.#sized(h, size, found[1]);
          else this.#error(h, errno.ENODATA);
        });
        return;
      }
      case opcode.LISTXATTR: {
        const size = readXattrSize(view, h);
        this.#finish(h, this.#fs.xattrs(h.node), (all) => {
          const nul = new Uint8Array(1);
          this.#sized(h, size, Buffer.concat(all.flatMap(([name]) => [name, nul])));
        });
        return;
      }
    }
    this.#error(h, errno.ENOSYS);
  }

  #init(h: RequestHeader, view: DataView): void {
    const wanted =
      initFlag.ASYNC_READ |
      initFlag.EXPORT_SUPPORT |
      initFlag.DO_READDIRPLUS |
      initFlag.READDIRPLUS_AUTO |
      initFlag.ASYNC_DIO |
      initFlag.NO_OPEN_SUPPORT |
      initFlag.PARALLEL_DIROPS |
      initFlag.MAX_PAGES |
      initFlag.CACHE_SYMLINKS |
      initFlag.NO_OPENDIR_SUPPORT |
      (this.#options.acl ? initFlag.POSIX_ACL : 0);
    const init = readInit(view, h);
    try {
      const answer = writeInit(this.#view, init, {
        maxReadahead: 1 << 20,
        maxWrite: MAX_WRITE,
        maxPages: 256,
        wanted,
      });
      this.#flags = answer.flags;
      this.#send(h, answer.bytes);
      if (answer.minor > 0) {
        this.#options.log?.("debug", `mount: the kernel speaks FUSE ${init.major}.${init.minor}`);
        this.#settleReady.resolve();
      }
    } catch (e) {
      this.#settleReady.reject(e as Error);
      this.#error(h, errno.EPROTO);
    }
  }

  #interrupt(h: RequestHeader, view: DataView): void {
    const { low, high } = readInterrupt(view, h);
    const pending = this.#pending.get(`${high}:${low}`);
    if (!pending) return; // answered already
    pending.gone = true;
    this.#pending.delete(`${high}:${low}`);
    writeOutHeader(this.#view, OUT_HEADER, errno.EINTR, low, high);
    this.#write(OUT_HEADER);
  }

  #open(h: RequestHeader, view: DataView, flag: number, flags: number): void {
    const accessMode = h.bodyEnd >= IN_HEADER + 4 ? view.getUint32(IN_HEADER, true) & 3 : 0;
    if (accessMode !== 0) {
      this.#error(h, errno.EROFS);
      return;
    }
    if (this.#flags & flag) {
      this.#error(h, errno.ENOSYS);
      return;
    }
    const v = this.#view;
    v.setBigUint64(OUT_HEADER, 0n, true);
    v.setUint32(OUT_HEADER + 8, flags, true);
    v.setUint32(OUT_HEADER + 12, 0, true);
    this.#send(h, 16);
  }

  #lookup(h: RequestHeader, name: Uint8Array): void {
    this.#finish(h, this.#fs.lookup(h.node, name), (node) => {
      if (node === 0) {
        this.#send(h, writeEntryOut(this.#view, OUT_HEADER, 0, undefined, VALID_SECONDS));
        return;
      }
      this.#finish(h, this.#fs.attributes(node), (a) =>
        this.#send(h, writeEntryOut(this.#view, OUT_HEADER, node, a, VALID_SECONDS)),
      );
    });
  }

  #readdir(h: RequestHeader, offset: number, size: number): void {
    const ready = this.#fs.ready(h.node);
    if (ready) this.#finish(h, ready, () => this.#entries(h, offset, size));
    else this.#entries(h, offset, size);
  }

  #entries(h: RequestHeader, offset: number, size: number): void {
    const plus = h.opcode === opcode.READDIRPLUS;
    const range = { directory: h.node, offset, size, plus, validSeconds: VALID_SECONDS };
    const used = writeEntries(this.#fs, this.#answer, this.#view, range);
    if (typeof used !== "number") this.#finish(h, used, () => this.#entries(h, offset, size));
    else if (used < 0) this.#error(h, errno.EINVAL);
    else {
      answered(used);
      this.#send(h, used);
    }
  }

  /** A value whose length the caller may only be asking for. */
  #sized(h: RequestHeader, size: number, value: Uint8Array): void {
    if (size === 0) {
      this.#view.setUint32(OUT_HEADER, value.length, true);
      this.#view.setUint32(OUT_HEADER + 4, 0, true);
      this.#send(h, 8);
    } else if (value.length > size) this.#error(h, errno.ERANGE);
    else this.#send(h, 0, [value]);
  }

  /** Answers with what f makes of the value, now or when it is there. */
  #finish<T>(h: RequestHeader, value: Maybe<T>, f: (value: T) => void): void {
    if (!(value instanceof Promise)) {
      f(value);
      return;
    }
    const key = `${h.uniqueHigh}:${h.uniqueLow}`;
    const pending = this.#pending.get(key) ?? { low: h.uniqueLow, high: h.uniqueHigh, gone: false };
    this.#pending.set(key, pending);
    value.then(
      (v) => {
        this.#pending.delete(key);
        if (pending.gone || this.#ended) return;
        try {
          f(v);
        } catch (e) {
          this.#fail(h, e);
        }
      },
      (e: unknown) => {
        this.#pending.delete(key);
        if (!pending.gone && !this.#ended) this.#fail(h, e);
      },
    );
  }

  #fail(h: RequestHeader, e: unknown): void {
    if (e instanceof FsError) {
      if (e.errno === errno.EIO) this.#options.log?.("warning", `mount: inode ${h.node}: ${e.message}`);
      this.#error(h, e.errno);
      return;
    }
    this.#options.log?.("warning", `mount: ${(e as Error).message}`);
    this.#error(h, e instanceof ProtocolError ? errno.EINVAL : errno.EIO);
  }

  #error(h: RequestHeader, number: number): void {
    writeOutHeader(this.#view, OUT_HEADER, number, h.uniqueLow, h.uniqueHigh);
    this.#write(OUT_HEADER);
  }

  /** Sends `length` bytes that stand in the answer buffer behind the header, then the pieces. */
  #send(h: RequestHeader, length: number, pieces?: Uint8Array[]): void {
    let total = OUT_HEADER + length;
    if (pieces) for (const piece of pieces) total += piece.length;
    writeOutHeader(this.#view, total, 0, h.uniqueLow, h.uniqueHigh);
    this.#write(OUT_HEADER + length, pieces);
  }

  #write(length: number, pieces?: readonly Uint8Array[]): void {
    this.#device.send(this.#answer, length, pieces);
  }
}
