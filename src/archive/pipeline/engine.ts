// The engine of the create pipeline: reads files into WebAssembly memory and, without moving the bytes again,
// chunks, hashes, looks the ids up, compresses and encrypts what is new, and lays finished PUT entries into an
// output slot. The same code runs in every worker and, with --workers 0, in the main thread. It is a generator:
// it yields where it needs something only its driver can give, a fresh output slot or more nonces.
//
// Small files are gathered until the buffer is full, so that the hash kernels get many independent chunks at
// once; larger ones go through the buffer window by window. Cut points never depend on that.
import { BoundarySearch, type Chunker, createChunker } from "../../chunker/index.ts";
import { createHasher, type Hasher } from "../../core/hasher.ts";
import { HashIndex, type HashIndexShare } from "../../core/hashindex.ts";
import type { Core } from "../../core/index.ts";
import type { FileRange } from "../../runtime/holes.ts";
import { idHasherKind } from "../ids.ts";
import type { EngineSetup, FileSource, OutputSlot } from "./engine-setup.ts";
import {
  align4,
  BOUNDARY_RECORD_BYTES,
  CHANGED,
  END_RECORD_BYTES,
  FRESH_STAT,
  type FreshStat,
  LAST_PIECE,
  RACE,
  RECORD_END,
  RECORD_KNOWN,
  RECORD_NEW,
  type ReadRequest,
} from "./messages.ts";
import { RecentIds } from "./recent.ts";
import { errorText, writeBoundary, writeChunk, writeEnd, writeError } from "./records.ts";
import { ChunkSealing } from "./sealing.ts";

const MAX_BATCH_CHUNKS = 512;
const MAX_PLANNED = 1024;
const RECENT_LIMIT = 1 << 14;
// What is touched stays resident: the buffer has room for twice the largest chunk, but small files are gathered in its
// first part, large ones are read on by some chunks at a time, and a slot is handed over long before it is full.
const GATHER_BYTES = 1 << 20;
const READ_BYTES = 8 << 20;
const SLOT_BYTES = 1 << 20;
/** Lengths of a piece after which one without a boundary ends where a chunk does. */
const SEARCHED_PIECES = 4;

/** What the driver must do before the engine is resumed: publish the slot and set a new one, grant nonces, or
 *  set the next piece of input (runStream only). */
export type Need = "slot" | "nonces" | "data";

interface BatchFile {
  /** Chunks of the batch before this file's end. */
  chunksEnd: number;
  flags: number;
  stat: FreshStat | undefined;
}

/** A record to be written once the chunks before it are sealed. */
interface Planned {
  kind: number;
  length: number;
  entryBytes: number;
  idAt: number;
  file: BatchFile | undefined;
}

class Vanished extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export class Engine {
  slot!: OutputSlot;
  input: Uint8Array | undefined;
  readonly #core: Core;
  readonly #files: FileSource;
  readonly #setup: EngineSetup;
  readonly #chunker: Chunker;
  readonly #hasher: Hasher;
  readonly #sealing: ChunkSealing;
  #index: HashIndex;
  readonly #buffer: number;
  readonly #capacity: number;
  readonly #gather: number;
  readonly #table: number;
  readonly #ids: number;
  #nonce = 0;
  #nonceEnd = 0;
  readonly #recent = new RecentIds(RECENT_LIMIT);
  /** Bytes of the last zero chunk of a hole, and where its id lies. */
  #zeroSize = 0;
  readonly #zeroId: number;
  // The batch: chunks already read, and where the files they belong to end.
  #used = 0;
  readonly #pointers: number[] = [];
  readonly #lengths: number[] = [];
  readonly #batch: BatchFile[] = [];
  readonly #planned: Planned[] = [];

  constructor(core: Core, files: FileSource, setup: EngineSetup) {
    this.#core = core;
    this.#files = files;
    this.#setup = setup;
    this.#chunker = createChunker(core, setup.chunker, setup.material.chunkSeed);
    this.#hasher = createHasher(core, idHasherKind(setup.material), setup.choice);
    this.#sealing = new ChunkSealing(
      core,
      setup.material,
      setup.compression,
      setup.choice,
      setup.largestBlob,
    );
    this.#index = HashIndex.attach(setup.index);
    this.#capacity = setup.bufferBytes;
    this.#gather = Math.min(GATHER_BYTES, setup.bufferBytes);
    this.#buffer = core.alloc(setup.bufferBytes);
    this.#table = core.alloc(MAX_BATCH_CHUNKS * 8);
    this.#ids = core.alloc(MAX_BATCH_CHUNKS * 32);
    this.#zeroId = core.alloc(32);
  }

  /** A larger table has replaced the chunk index. */
  useIndex(share: HashIndexShare): void {
    this.#index = HashIndex.attach(share);
  }

  grantNonces(first: number, end: number): void {
    this.#nonce = first;
    this.#nonceEnd = end;
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
    this.#batch.push({ chunksEnd: 0, flags: 0, stat: undefined });
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
          this.#batch.push({ chunksEnd: 0, ...this.#verdict(fd, request, before) });
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
      const start = this.#buffer + this.#used;
      const room = this.#gather - this.#used;
      while (have < room) {
        const n = this.#files.read(fd, start + have, room - have);
        if (n === 0) {
          ended = true;
          break;
        }
        have += n;
        // One byte of room tells the end of file apart from a file that grew, without a read of its own.
        if (have === before.size && !request.special && have < room && before.size > 0) {
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
      if (this.#pointers.length + cuts.length > MAX_BATCH_CHUNKS) {
        yield* this.#flushKeeping(start, have);
        if (cuts.length > MAX_BATCH_CHUNKS) {
          // More than the tables have room for: in parts, as a large file.
          this.#chunker.reset();
          yield* this.#window(have, true, 0);
          this.#batch.push({ chunksEnd: 0, ...this.#verdict(fd, request, before) });
          yield* this.#flush();
          return;
        }
        this.#push(this.#buffer, cuts);
      } else this.#push(start, cuts);
      this.#used = align4(this.#used + have);
      this.#batch.push({ chunksEnd: this.#pointers.length, ...this.#verdict(fd, request, before) });
      if (this.#pointers.length >= MAX_BATCH_CHUNKS - 8) yield* this.#flush();
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
    this.#batch.push({ chunksEnd: 0, ...this.#verdict(fd, request, before) });
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
    if (end !== undefined) yield* this.#tellBoundary(end);
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
        yield* this.#tellBoundary(at);
        end = at;
        ended = true;
      }
    }
    this.#batch.push({ chunksEnd: 0, ...this.#verdict(fd, request, before) });
    yield* this.#flush();
  }

  /** At once, not when the slot is full. @param offset where the next piece begins; Infinity behind the last one */
  *#tellBoundary(offset: number): Generator<Need, void> {
    if (this.slot.recordPos + BOUNDARY_RECORD_BYTES > this.slot.view.byteLength) yield "slot";
    writeBoundary(this.slot, offset);
    yield "slot";
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
        yield* this.#store();
        have = 0;
        yield* this.#zeros(block, Math.floor(size / block));
        if (size % block > 0) yield* this.#zeros(size % block, 1);
        offset += size;
        continue;
      }
      if (position !== offset) this.#files.seek(fd, offset);
      for (const end = offset + size; offset < end; ) {
        const want = Math.min(end - offset, block);
        if (have + want > limit || this.#lengths.length === MAX_BATCH_CHUNKS) {
          yield* this.#store();
          have = 0;
        }
        let got = 0;
        for (let n = 1; got < want && n > 0; got += n)
          n = this.#files.read(fd, this.#buffer + have + got, want - got);
        if (got > 0) this.#push(this.#buffer + have, Uint32Array.of(got));
        have += got;
        offset += got;
        if (got < want) {
          // It ends before it did when it was looked at.
          yield* this.#store();
          return;
        }
      }
      position = offset;
    }
    yield* this.#store();
  }

  /** Stores the chunks gathered so far. */
  *#store(): Generator<Need, void> {
    yield* this.#chunks(0, this.#hashBatch());
    yield* this.#emit();
    this.#pointers.length = 0;
    this.#lengths.length = 0;
  }

  /** Chunks of a hole. Only the first of a size is hashed: a large hole costs a record for each chunk and no more. */
  *#zeros(size: number, count: number): Generator<Need, void> {
    let rest = count;
    if (rest > 0 && this.#zeroSize !== size) {
      this.#core.u8.fill(0, this.#buffer, this.#buffer + size);
      this.#push(this.#buffer, Uint32Array.of(size));
      yield* this.#store();
      this.#core.u8.copyWithin(this.#zeroId, this.#ids, this.#ids + 32);
      this.#zeroSize = size;
      rest--;
    }
    for (; rest > 0; rest--) {
      this.#planned.push({
        kind: RECORD_KNOWN,
        length: size,
        entryBytes: 0,
        idAt: this.#zeroId,
        file: undefined,
      });
      if (this.#planned.length >= MAX_PLANNED) yield* this.#emit();
    }
    yield* this.#emit();
  }

  /** Stores the chunks that are certain in the first `have` bytes; moves the rest to the front, returns its size. */
  *#window(have: number, ended: boolean, scanned: number): Generator<Need, number> {
    const cuts = this.#chunker.cuts(this.#buffer, have, ended, scanned);
    let done = 0;
    for (let i = 0; i < cuts.length; i += MAX_BATCH_CHUNKS) {
      const part = cuts.subarray(i, i + MAX_BATCH_CHUNKS);
      this.#push(this.#buffer + done, part);
      for (const n of part) done += n;
      yield* this.#chunks(0, this.#hashBatch());
      yield* this.#emit();
      this.#pointers.length = 0;
      this.#lengths.length = 0;
    }
    this.#core.u8.copyWithin(this.#buffer, this.#buffer + done, this.#buffer + have);
    return have - done;
  }

  #push(start: number, cuts: Uint32Array): void {
    for (const n of cuts) {
      this.#pointers.push(start);
      this.#lengths.push(n);
      start += n;
    }
  }

  #verdict(fd: number, request: ReadRequest, before: FreshStat): Omit<BatchFile, "chunksEnd"> {
    const after = this.#files.fstat(fd, 1);
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
    return {
      flags: (changed ? CHANGED : 0) | (fresh ? FRESH_STAT : 0),
      stat: fresh ? { ...before } : undefined,
    };
  }

  /** Flushes the batch; `have` bytes at `from` that do not belong to it move to the front of the buffer. */
  *#flushKeeping(from: number, have: number): Generator<Need, void> {
    yield* this.#flush();
    this.#core.u8.copyWithin(this.#buffer, from, from + have);
  }

  *#flush(): Generator<Need, void> {
    const hashed = this.#hashBatch();
    let from = 0;
    for (const file of this.#batch) {
      yield* this.#chunks(from, file.chunksEnd);
      from = file.chunksEnd;
      this.#planned.push({ kind: RECORD_END, length: 0, entryBytes: 0, idAt: 0, file });
      if (this.#planned.length >= MAX_PLANNED) yield* this.#emit();
    }
    if (from !== hashed) yield* this.#chunks(from, hashed);
    yield* this.#emit();
    this.#pointers.length = 0;
    this.#lengths.length = 0;
    this.#batch.length = 0;
    this.#used = 0;
  }

  #hashBatch(): number {
    const n = this.#pointers.length;
    if (n === 0) return 0;
    if (n > MAX_BATCH_CHUNKS) throw new RangeError("create: too many chunks in a batch");
    const table = new Uint32Array(this.#core.u8.buffer, this.#table, n * 2);
    for (let i = 0; i < n; i++) {
      table[i * 2] = this.#pointers[i]!;
      table[i * 2 + 1] = this.#lengths[i]!;
    }
    this.#hasher.many(this.#table, n, this.#ids);
    return n;
  }

  /** Handles the chunks [from, to) of the batch: known ones are recorded, new ones staged and sealed in groups. */
  *#chunks(from: number, to: number): Generator<Need, void> {
    for (let i = from; i < to; i++) {
      const idAt = this.#ids + i * 32;
      const length = this.#lengths[i]!;
      const memory = this.#core.u8;
      let known = this.#index.find(memory, idAt) >= 0;
      if (!known) known = !this.#recent.add(this.#core.u32, idAt >> 2);
      if (!known && !this.#sealing.fits(length)) yield* this.#emit();
      const entryBytes = known ? 0 : this.#sealing.stage(this.#pointers[i]!, length, idAt);
      this.#planned.push({
        kind: known ? RECORD_KNOWN : RECORD_NEW,
        length,
        entryBytes,
        idAt,
        file: undefined,
      });
    }
  }

  /** Seals what is staged and writes the planned records. Ids must still lie where the plan says. */
  *#emit(): Generator<Need, void> {
    if (this.#planned.length === 0) return;
    const recordBytes = this.#planned.length * END_RECORD_BYTES;
    if (
      this.slot.entryPos + this.#sealing.entryBytes > this.slot.entries.length ||
      this.slot.recordPos + recordBytes > this.slot.view.byteLength
    ) {
      yield "slot";
    }
    if (this.#sealing.count > 0) {
      const { blocks } = this.#sealing;
      if (this.#nonce + blocks > this.#nonceEnd) yield "nonces";
      this.slot.entryPos = this.#sealing.seal(this.#nonce, this.slot.entries, this.slot.entryPos);
      this.#nonce += blocks;
    }
    for (const plan of this.#planned) {
      if (plan.file) writeEnd(this.slot, plan.file.flags, plan.file.stat);
      else writeChunk(this.slot, plan.kind, plan.length, plan.entryBytes, this.#core.u8, plan.idAt);
    }
    this.#planned.length = 0;
    if (this.slot.entryPos >= SLOT_BYTES) yield "slot";
  }

  *#fail(cause: unknown): Generator<Need, void> {
    // What was read before in this batch comes first: records are in the order of the requests.
    yield* this.#flush();
    const e = cause as NodeJS.ErrnoException;
    if (!e.code) throw cause;
    const text = errorText(e.code, e.syscall ?? "read", e.message);
    if (this.slot.recordPos + 8 + text.length + 4 > this.slot.view.byteLength) yield "slot";
    writeError(this.slot, text);
  }
}

function sameInode(a: number | bigint, b: number | bigint): boolean {
  return a === b || BigInt(a) === BigInt(b);
}
