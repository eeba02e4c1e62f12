// The engine of the create pipeline: reads files into WebAssembly memory and, without moving the bytes again,
// chunks, hashes, looks the ids up, compresses and encrypts what is new, and lays finished PUT entries into an
// output slot. The same code runs in every worker and, with --workers 0, in the main thread. It is a generator:
// it yields where it needs something only its driver can give, a fresh output slot or more nonces.
//
// Small files are gathered until the buffer is full, so that the hash kernels get many independent chunks at
// once; larger ones go through the buffer window by window. Cut points never depend on that.
import { BoundarySearch, type Chunker, createChunker } from "../../chunker/index.ts";
import type { Core } from "../../core/index.ts";
import type { FileRange } from "../../runtime/holes.ts";
import { ChunkBatch, MAX_BATCH_CHUNKS, type Need } from "./chunk-batch.ts";
import type { EngineSetup, FileSource } from "./engine-setup.ts";
import {
  align4,
  CHANGED,
  FRESH_STAT,
  type FreshStat,
  LAST_PIECE,
  RACE,
  type ReadRequest,
} from "./messages.ts";
import { errorText } from "./records.ts";

// What is touched stays resident: the buffer has room for twice the largest chunk, but small files are gathered in its
// first part, and large ones are read on by some chunks at a time.
const GATHER_BYTES = 1 << 19;
const READ_BYTES = 8 << 20;
/** A batch that has no room for more chunks than these is stored. */
const FEW_CHUNKS = 8;
/** Lengths of a piece after which one without a boundary ends where a chunk does. */
const SEARCHED_PIECES = 4;

class Vanished extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export class Engine {
  /** What goes out: its slot and its nonces are the driver's to give. */
  readonly batch: ChunkBatch;
  input: Uint8Array | undefined;
  readonly #core: Core;
  readonly #files: FileSource;
  readonly #setup: EngineSetup;
  readonly #chunker: Chunker;
  readonly #buffer: number;
  readonly #capacity: number;
  readonly #gather: number;
  /** Bytes of the buffer that hold the batch's chunks. */
  #used = 0;

  constructor(core: Core, files: FileSource, setup: EngineSetup) {
    this.#core = core;
    this.#files = files;
    this.#setup = setup;
    this.#chunker = createChunker(core, setup.chunker, setup.material.chunkSeed);
    this.batch = new ChunkBatch(core, setup);
    this.#capacity = setup.bufferBytes;
    this.#gather = Math.min(GATHER_BYTES, setup.bufferBytes);
    this.#buffer = core.alloc(setup.bufferBytes);
  }

  /** Processes the files of a job in order; every file gives its chunk records and one end or error record. */
  *run(requests: Iterable<ReadRequest>): Generator<Need, void> {
    for (const request of requests) {
      if (this.#used > 0 && this.#used + request.size > this.#gather) yield* this.#flush();
      yield* this.#file(request);
    }
    yield* this.#flush();
  }

  /** Chunks and stores a stream as one file: yields "data" for the driver to set `input`, undefined at the end. */
  *runStream(): Generator<Need, void> {
    this.#chunker.reset();
    let have = 0;
    let scanned = 0;
    let limit = this.#gather;
    for (;;) {
      yield "data";
      let piece = this.input;
      if (piece === undefined) break;
      while (piece.length > 0) {
        const n = Math.min(piece.length, limit - have);
        this.#core.u8.set(piece.subarray(0, n), this.#buffer + have);
        have += n;
        piece = piece.subarray(n);
        if (have === limit) {
          have = yield* this.#window(have, false, scanned);
          scanned = have;
          limit = Math.min(have + READ_BYTES, this.#capacity);
        }
      }
    }
    yield* this.#window(have, true, scanned);
    this.batch.endFile(0, undefined);
    yield* this.#flush();
  }

  *#file(request: ReadRequest): Generator<Need, void> {
    let fd: number;
    try {
      fd = this.#files.open(request);
    } catch (e) {
      yield* this.#fail(e);
      return;
    }
    try {
      const before = this.#files.fstat(fd, 0);
      if (!request.special) {
        // Between the walk's stat and now the name may have been given to something else: never read that.
        if ((before.mode & 0o170000) !== request.fileType || !sameInode(before.ino, request.ino)) {
          throw new Vanished(RACE, "file type or inode changed");
        }
      }
      if (this.#setup.sparse && this.#setup.chunker.algo === "fixed") {
        const header = this.#setup.chunker.headerSize;
        const ranges = this.#files.ranges(fd, header);
        if (ranges?.some((r) => !r.data)) {
          if (header > 0) ranges.unshift({ size: header, data: true });
          yield* this.#sparseFile(fd, ranges, this.#setup.chunker.blockSize);
          this.#endFile(fd, request, before);
          yield* this.#flush();
          return;
        }
      }
      if (request.from !== undefined) {
        yield* this.#piece(fd, request, before, request.from);
        return;
      }
      let have = 0;
      let ended = false;
      let after: FreshStat | undefined;
      const start = this.#buffer + this.#used;
      const room = this.#gather - this.#used;
      while (have < room) {
        const n = this.#files.read(fd, start + have, room - have);
        if (n === 0) {
          ended = true;
          break;
        }
        have += n;
        if (have !== before.size || request.special) continue;
        if (this.#files.endsAtSize(before.dev, request)) {
          // Its status has to be asked for anyway, and tells if there is more.
          after = this.#files.fstat(fd, 1);
          ended = after.size === have;
          if (ended) break;
          after = undefined;
        }
        // One byte of room tells the end of file apart from a file that grew, without a read of its own.
        if (have < room) {
          const more = this.#files.read(fd, start + have, 1);
          if (more === 0) {
            ended = true;
            break;
          }
          have += more;
        }
      }
      if (!ended) {
        yield* this.#largeFile(fd, request, before, have);
        return;
      }
      this.#chunker.reset();
      const cuts = this.#chunker.cuts(start, have, true);
      if (!this.batch.hasRoomFor(cuts.length)) {
        yield* this.#flushKeeping(start, have);
        if (!this.batch.hasRoomFor(cuts.length)) {
          // More than the tables have room for: in parts, as a large file.
          this.#chunker.reset();
          yield* this.#window(have, true, 0);
          this.#endFile(fd, request, before, after);
          yield* this.#flush();
          return;
        }
        this.batch.push(this.#buffer, cuts);
      } else this.batch.push(start, cuts);
      this.#used = align4(this.#used + have);
      this.#endFile(fd, request, before, after);
      if (!this.batch.hasRoomFor(FEW_CHUNKS + 1)) yield* this.#flush();
    } catch (e) {
      yield* this.#fail(e);
    } finally {
      this.#files.close(fd);
    }
  }

  // The file does not fit beside the batch: the batch goes first, then the file window by window.
  *#largeFile(fd: number, request: ReadRequest, before: FreshStat, have: number): Generator<Need, void> {
    yield* this.#flushKeeping(this.#buffer + this.#used, have);
    this.#chunker.reset();
    let ended = false;
    let scanned = 0;
    while (!ended) {
      const limit = Math.min(have + READ_BYTES, this.#capacity);
      const got = this.#fill(fd, have, limit, undefined);
      ended = got < limit;
      have = yield* this.#window(got, ended, scanned);
      scanned = have;
    }
    this.#endFile(fd, request, before);
    yield* this.#flush();
  }

  /** A piece of a large file. Where it ends is told first, so that another worker can go on there. */
  *#piece(fd: number, request: ReadRequest, before: FreshStat, from: number): Generator<Need, void> {
    yield* this.#flush();
    // Smaller ones towards the end, so that workers end together.
    const { pieceBytes } = this.#setup;
    const step = Math.max(pieceBytes / 2, Math.min(pieceBytes, Math.ceil((before.size - from) / 3)));
    const isLast = (at: number): boolean => before.size - at < step * LAST_PIECE;
    let end = isLast(from) ? Number.POSITIVE_INFINITY : undefined;
    for (let n = 1; end === undefined && n < SEARCHED_PIECES && !isLast(from + (n - 1) * step); n++)
      end = this.#boundary(fd, from + n * step);
    if (end !== undefined) yield* this.batch.boundary(end);
    this.#chunker.reset();
    let ended = false;
    let scanned = 0;
    let have = 0;
    for (let at = from; !ended; ) {
      const rest = (end ?? Number.POSITIVE_INFINITY) - at;
      const limit = Math.min(have + READ_BYTES, this.#capacity, rest);
      const got = this.#fill(fd, have, limit, at);
      ended = got < limit || got === rest;
      have = yield* this.#window(got, ended, scanned);
      at += got - have;
      scanned = have;
      if (end === undefined && at - from >= step * SEARCHED_PIECES && !ended && !isLast(at)) {
        // There was no boundary where one was looked for. Where a chunk ends, a piece may, too.
        yield* this.batch.boundary(at);
        end = at;
        ended = true;
      }
    }
    this.#endFile(fd, request, before);
    yield* this.#flush();
  }

  /** Where a piece can end that should reach to `from`: Infinity where the file ends before a boundary is found,
   *  undefined where half a piece has none. */
  #boundary(fd: number, from: number): number | undefined {
    const search = new BoundarySearch();
    const most = Math.min(this.#setup.pieceBytes >> 1, this.#capacity);
    for (let have = 0; have < most && !search.isHopeless; ) {
      const limit = Math.min(have + (most >> 2), most);
      const got = this.#fill(fd, have, limit, from);
      const found = this.#chunker.boundary?.(this.#buffer, got, search);
      if (found !== undefined) return from + found;
      if (got < limit) return Number.POSITIVE_INFINITY;
      have = got;
    }
    return undefined;
  }

  /** Reads until the buffer holds `limit` bytes or the file ends. @param base where in the file the buffer begins; from
   *  the file's position where undefined. @returns bytes in the buffer */
  #fill(fd: number, have: number, limit: number, base: number | undefined): number {
    let got = have;
    while (got < limit) {
      const n = this.#files.read(
        fd,
        this.#buffer + got,
        limit - got,
        base === undefined ? undefined : base + got,
      );
      if (n === 0) break;
      got += n;
    }
    return got;
  }

  // Each range of data or hole is cut by itself, from its own start: that is where Borg's cuts are.
  *#sparseFile(fd: number, ranges: readonly FileRange[], block: number): Generator<Need, void> {
    yield* this.#flush();
    const limit = Math.max(READ_BYTES, block);
    let [offset, position, have] = [0, 0, 0];
    for (const { size, data } of ranges) {
      if (!data) {
        yield* this.batch.store();
        have = 0;
        yield* this.batch.zeros(block, Math.floor(size / block), this.#buffer);
        if (size % block > 0) yield* this.batch.zeros(size % block, 1, this.#buffer);
        offset += size;
        continue;
      }
      if (position !== offset) this.#files.seek(fd, offset);
      for (const end = offset + size; offset < end; ) {
        const want = Math.min(end - offset, block);
        if (have + want > limit || !this.batch.hasRoomFor(1)) {
          yield* this.batch.store();
          have = 0;
        }
        let got = 0;
        for (let n = 1; got < want && n > 0; got += n)
          n = this.#files.read(fd, this.#buffer + have + got, want - got);
        if (got > 0) this.batch.push(this.#buffer + have, Uint32Array.of(got));
        have += got;
        offset += got;
        if (got < want) {
          // It ends before it did when it was looked at.
          yield* this.batch.store();
          return;
        }
      }
      position = offset;
    }
    yield* this.batch.store();
  }

  /** Stores the chunks that are certain in the first `have` bytes; moves the rest to the front, returns its size. */
  *#window(have: number, ended: boolean, scanned: number): Generator<Need, number> {
    const cuts = this.#chunker.cuts(this.#buffer, have, ended, scanned);
    let done = 0;
    for (let i = 0; i < cuts.length; i += MAX_BATCH_CHUNKS) {
      const part = cuts.subarray(i, i + MAX_BATCH_CHUNKS);
      this.batch.push(this.#buffer + done, part);
      for (const n of part) done += n;
      yield* this.batch.store();
    }
    this.#core.u8.copyWithin(this.#buffer, this.#buffer + done, this.#buffer + have);
    return have - done;
  }

  /** All of a file is in the batch: whether it has changed meanwhile, and is what the walk saw.
   *  @param after its status now that it was read, if that is known */
  #endFile(
    fd: number,
    request: ReadRequest,
    before: FreshStat,
    after: FreshStat = this.#files.fstat(fd, 1),
  ): void {
    const mode = this.#setup.filesChanged;
    let changed = false;
    if (!request.special && mode !== "disabled") {
      changed =
        mode === "ctime"
          ? before.ctimeSec !== after.ctimeSec || before.ctimeNsec !== after.ctimeNsec
          : before.mtimeSec !== after.mtimeSec || before.mtimeNsec !== after.mtimeNsec;
    }
    const fresh =
      request.special ||
      request.from !== undefined ||
      before.size !== request.size ||
      before.ctimeSec !== request.ctimeSec ||
      before.ctimeNsec !== request.ctimeNsec;
    const flags = (changed ? CHANGED : 0) | (fresh ? FRESH_STAT : 0);
    this.batch.endFile(flags, fresh ? { ...before } : undefined);
  }

  /** Flushes the batch; `have` bytes at `from` that do not belong to it move to the front of the buffer. */
  *#flushKeeping(from: number, have: number): Generator<Need, void> {
    yield* this.#flush();
    this.#core.u8.copyWithin(this.#buffer, from, from + have);
  }

  *#flush(): Generator<Need, void> {
    yield* this.batch.flush();
    this.#used = 0;
  }

  *#fail(cause: unknown): Generator<Need, void> {
    // What was read before in this batch comes first: records are in the order of the requests.
    yield* this.#flush();
    const e = cause as NodeJS.ErrnoException;
    if (!e.code) throw cause;
    const text = errorText(e.code, e.syscall ?? "read", e.message);
    yield* this.batch.error(text);
  }
}

function sameInode(a: number | bigint, b: number | bigint): boolean {
  return a === b || BigInt(a) === BigInt(b);
}
