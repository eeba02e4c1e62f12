// What workers tell the main thread in a slot, taken in: records of chunks and of the ends of files go to the files they belong
// to, in order, and the objects that are new to the repository.
import { PUT_HEADER_SIZE } from "../../repository/entry.ts";
import type { ChunkRef } from "../item.ts";
import type { EngineSetup } from "./engine-setup.ts";
import {
  align4,
  BOUNDARY_RECORD_BYTES,
  CHUNK_RECORD_BYTES,
  END_RECORD_BYTES,
  FRESH_STAT,
  RECORD_BOUNDARY,
  RECORD_END,
  RECORD_ERROR,
  RECORD_KNOWN,
  RECORD_NEW,
  readFreshStat,
} from "./messages.ts";
import type { PendingFile, RunOfFiles } from "./pending-file.ts";

/** Where chunks go: the chunk index, the statistics and the repository behind them. */
export interface ChunkSink {
  /** References a chunk that is known, or adds it if its object is at hand: `csize` is not negative then.
   *  @param at where its id lies in `bytes`
   *  @returns compressed size of the one that is known, or −1 if it was added */
  count(bytes: Uint8Array, at: number, size: number, csize: number): number;
  /** Told before of the first `count` chunks that count() will be asked for. @param places where their ids lie */
  expect(bytes: Uint8Array, places: Uint32Array, count: number): void;
  /** Stores objects: complete PUT entries. @param places offset and length of each in the buffer */
  store(buffer: Uint8Array, places: Uint32Array): Promise<void>;
  /** The index table if it was replaced since the last call. */
  newIndex(): EngineSetup["index"] | undefined;
  /** Reserves counter blocks; the first of them. */
  reserveNonces(blocks: number): Promise<number>;
  /** Gives back the references of a file that failed half way. */
  release(chunks: ChunkRef[]): Promise<void>;
}

export class Intake {
  readonly #sink: ChunkSink;
  readonly #onChunk: (() => void) | undefined;
  /** Places of the objects that are stored next. */
  #places = new Uint32Array(1024);
  /** Places of the ids that come next. */
  readonly #expected = new Uint32Array(1024);

  constructor(sink: ChunkSink, onChunk?: () => void) {
    this.#sink = sink;
    this.#onChunk = onChunk;
  }

  /** Takes in what a slot tells. @returns bytes of the chunks in it, less what its job has more than was thought */
  async take(
    queue: (PendingFile | RunOfFiles)[],
    entries: Uint8Array,
    records: DataView,
    length: number,
  ): Promise<number> {
    const sink = this.#sink;
    let received = 0;
    const failed: ChunkRef[][] = [];
    const bytes = new Uint8Array(records.buffer, records.byteOffset, records.byteLength);
    this.#expect(bytes, records, length);
    let stored = 0;
    let offset = 0;
    let p = 0;
    while (p < length) {
      const kind = records.getUint32(p, true);
      const head = queue[0]!;
      if (kind === RECORD_NEW || kind === RECORD_KNOWN) {
        const size = records.getUint32(p + 4, true);
        const entryLength = records.getUint32(p + 8, true);
        const own = kind === RECORD_NEW ? entryLength - PUT_HEADER_SIZE : -1;
        received += size;
        const known = sink.count(bytes, p + 12, size, own);
        const csize = known < 0 ? own : known;
        if (known < 0) this.#place(stored++, offset, entryLength);
        offset += entryLength;
        if ("chunk" in head) head.chunk(bytes, p + 12, size, csize);
        else head.chunks.push({ id: bytes.slice(p + 12, p + 44), size, csize });
        this.#onChunk?.();
        p += CHUNK_RECORD_BYTES;
      } else if (kind === RECORD_END) {
        const flags = records.getUint32(p + 4, true);
        const fresh = flags & FRESH_STAT ? readFreshStat(records, p + 8) : undefined;
        if ("chunk" in head) {
          const chunks = head.end(flags, fresh);
          if (chunks) failed.push(chunks);
        } else Object.assign(head, { flags, fresh, done: true });
        if (!("chunk" in head) || head.isDone) queue.shift();
        p += END_RECORD_BYTES;
      } else if (kind === RECORD_ERROR) {
        const n = records.getUint32(p + 4, true);
        const [code = "", syscall = "", message = ""] = new TextDecoder()
          .decode(bytes.slice(p + 8, p + 8 + n))
          .split("\0");
        const error = { code, syscall, message };
        if ("chunk" in head) failed.push(head.fail(error));
        else {
          failed.push(head.chunks.slice(head.written));
          Object.assign(head, { error, chunks: [], done: true });
        }
        if (!("chunk" in head) || head.isDone) queue.shift();
        p = align4(p + 8 + n);
      } else if (kind === RECORD_BOUNDARY && "chunk" in head) {
        received -= head.boundary?.(records.getFloat64(p + 8, true)) ?? 0;
        p += BOUNDARY_RECORD_BYTES;
      } else throw new Error(`create pipeline: unknown record ${kind}`);
    }
    if (stored > 0) await sink.store(entries, this.#places.subarray(0, 2 * stored));
    for (const chunks of failed) await sink.release(chunks);
    return received;
  }

  /** Tells of the chunks that come before anything but ends of files: mostly all. */
  #expect(bytes: Uint8Array, records: DataView, length: number): void {
    const places = this.#expected;
    let count = 0;
    for (let p = 0; p < length && count < places.length; ) {
      const kind = records.getUint32(p, true);
      if (kind === RECORD_END) p += END_RECORD_BYTES;
      else if (kind === RECORD_NEW || kind === RECORD_KNOWN) {
        places[count++] = p + 12;
        p += CHUNK_RECORD_BYTES;
      } else break;
    }
    this.#sink.expect(bytes, places, count);
  }

  #place(n: number, offset: number, length: number): void {
    if (2 * n === this.#places.length) {
      const more = new Uint32Array(2 * this.#places.length);
      more.set(this.#places);
      this.#places = more;
    }
    this.#places[2 * n] = offset;
    this.#places[2 * n + 1] = length;
  }
}
