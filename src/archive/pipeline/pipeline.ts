// The main thread's side of the create pipeline: hands files to workers in batches and takes back chunks and
// finished objects. Which worker gets which batch changes nothing in the archive: results are matched to their
// files by order within a channel, and a chunk that two workers made at once is stored once, the first to arrive.
import { Core, coreModule } from "../../core/index.ts";
import { keepHeapSmall } from "../../runtime/heap.ts";
import type { ChunkRef } from "../item.ts";
import {
  Channel,
  GRANTS_GIVEN,
  GRANTS_TAKEN,
  INDEX_GENERATION,
  JOB_SLOTS,
  JOBS_DONE,
  JOBS_POSTED,
  OUT_PUBLISHED,
  OUT_RELEASED,
  OUT_SLOTS,
  STOP,
} from "./channel.ts";
import { Engine, type Need } from "./engine.ts";
import type { EngineSetup } from "./engine-setup.ts";
import { fileSource } from "./files.ts";
import {
  align4,
  CHUNK_RECORD_BYTES,
  END_RECORD_BYTES,
  type FileRequest,
  FRESH_STAT,
  type FreshStat,
  JobWriter,
  RECORD_END,
  RECORD_ERROR,
  RECORD_KNOWN,
  RECORD_NEW,
  readFreshStat,
  readJob,
} from "./messages.ts";
import { startThread, type Thread } from "./threads.ts";

const BATCH_BYTES = 2 << 20;
const BATCH_FILES = 192;
/** Counter blocks a worker gets at a time: 64 MiB of data. */
const GRANT_BLOCKS = 1 << 22;
const YIELD_MS = 40;
const PUT_HEADER = 41;

/** A file on its way through the pipeline, or waiting in the archive's order for its turn. */
export interface PendingFile {
  request: FileRequest;
  chunks: ChunkRef[];
  done: boolean;
  flags: number;
  /** Metadata as found at opening, where it differs from the walk's. */
  fresh: FreshStat | undefined;
  error: { code: string; syscall: string; message: string } | undefined;
  /** Leading chunks that part files reference: kept even if the file fails. */
  written: number;
}

/** Where chunks go: the chunk index, the statistics and the repository behind them. */
export interface ChunkSink {
  /** References a chunk that is in the index. */
  reference(id: Uint8Array, size: number): ChunkRef;
  /** Adds a chunk whose object is at hand; false if it was known meanwhile, and is only referenced. */
  add(id: Uint8Array, size: number, csize: number): { chunk: ChunkRef; isNew: boolean };
  /** Stores objects: complete PUT entries at [offset, offset+length) of the buffer. */
  store(buffer: Uint8Array, entries: { id: Uint8Array; offset: number; length: number }[]): Promise<void>;
  /** The index table if it was replaced since the last call. */
  newIndex(): EngineSetup["index"] | undefined;
  /** Reserves counter blocks; the first of them. */
  reserveNonces(blocks: number): Promise<number>;
  /** Gives back the references of a file that failed half way. */
  release(chunks: ChunkRef[]): Promise<void>;
}

export interface PipelineOptions {
  workers: number;
  setup: EngineSetup;
  sink: ChunkSink;
  /** True where storing needs the event loop (a remote repository). */
  asyncSink: boolean;
  largestEntry: number;
  /** Looked at between two slots, so that a file of hours can be interrupted too. */
  signal?: AbortSignal | undefined;
  onChunk?: (file: PendingFile) => void;
  /** Called between two slots, when everything that was taken in is stored: a file of hours gets its checkpoints here. */
  between?: () => Promise<void> | undefined;
}

interface Lane {
  channel: Channel;
  thread: Thread;
  queue: PendingFile[];
  outstanding: number;
  jobBytes: number[];
  doneSeen: number;
}

interface InlineLane {
  engine: Engine;
  channel: Channel;
  queue: PendingFile[];
}

export class CreatePipeline {
  readonly #options: PipelineOptions;
  readonly #lanes: Lane[] = [];
  readonly #wake = new Int32Array(new SharedArrayBuffer(4));
  readonly #entryBytes: number;
  #inline: InlineLane | undefined;
  #batch: PendingFile[] = [];
  #batchBytes = 0;
  #failure: Error | undefined;
  #lastYield = performance.now();

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#entryBytes = Math.max(options.largestEntry, 4 << 20);
  }

  /** Starts the workers; nothing is started before the first file that has to be read. */
  #start(): void {
    if (this.#lanes.length > 0) return;
    keepHeapSmall();
    const module = coreModule();
    for (let i = 0; i < this.#options.workers; i++) {
      const channel = Channel.create(this.#entryBytes, this.#wake.buffer);
      const data = { channel: channel.share, setup: this.#options.setup, module };
      const thread = startThread({ role: "create", data }, (e) => {
        this.#failure ??= e;
      });
      this.#lanes.push({ channel, thread, queue: [], outstanding: 0, jobBytes: [], doneSeen: 0 });
    }
  }

  /** Adds a file; may wait until a worker has room. Its result appears in the object when `done` is true. */
  submit(file: PendingFile): Promise<void> | undefined {
    this.#batch.push(file);
    this.#batchBytes += file.request.size + 4096;
    if (this.#batchBytes < BATCH_BYTES && this.#batch.length < BATCH_FILES) return undefined;
    return this.#dispatch();
  }

  /** Sends the current batch and waits until every file is done. */
  async drain(): Promise<void> {
    await this.#dispatch(false);
    while (this.#lanes.some((lane) => lane.queue.length > 0)) await this.#progress(true);
  }

  /** Sends what is gathered and takes in what has arrived; waits for something to arrive if told to. */
  async flush(wait: boolean): Promise<void> {
    await this.#dispatch(false);
    if (this.#lanes.length > 0) await this.#progress(wait);
  }

  /** Chunks a stream as one file, in this thread. Everything submitted before is done first. */
  async stream(file: PendingFile, pieces: AsyncIterable<Uint8Array>): Promise<void> {
    await this.drain();
    const inline = this.#inlineEngine();
    inline.queue.push(file);
    const iterator = pieces[Symbol.asyncIterator]();
    await this.#runInline(inline.engine.runStream(), async () => {
      const next = await iterator.next();
      return next.done ? undefined : next.value;
    });
  }

  /** Ends the workers. Files still under way are dropped. */
  async close(): Promise<void> {
    for (const { channel } of this.#lanes) {
      channel.raise(STOP);
      channel.poke();
    }
    await Promise.all(this.#lanes.map((lane) => lane.thread.join()));
    this.#lanes.length = 0;
  }

  #inlineEngine(): InlineLane {
    if (this.#inline) return this.#inline;
    const channel = Channel.create(this.#entryBytes, this.#wake.buffer);
    // A core of its own, as a worker has: regions are never given back, so what many archives made by one process take
    // must go with their pipelines (in the shared core 240 archives filled the memory, and the kernels never returned).
    const engine = new Engine(new Core(coreModule()), fileSource(), this.#options.setup);
    this.#inline = { channel, engine, queue: [] };
    this.#resetInlineSlot();
    return this.#inline;
  }

  #resetInlineSlot(): void {
    const { engine, channel } = this.#inline!;
    engine.slot = { entries: channel.entries[0]!, view: channel.recordViews[0]!, entryPos: 0, recordPos: 0 };
  }

  async #runInline(run: Generator<Need, void>, input?: () => Promise<Uint8Array | undefined>): Promise<void> {
    const { engine, channel, queue } = this.#inlineEngine();
    const take = async (): Promise<void> => {
      const { entryPos, recordPos } = engine.slot;
      await this.#consume(
        queue,
        channel.entries[0]!.subarray(0, entryPos),
        channel.recordViews[0]!,
        recordPos,
      );
      const index = this.#options.sink.newIndex();
      if (index) this.#spreadIndex(index);
      this.#resetInlineSlot();
    };
    for (const need of run) {
      if (need === "slot") await take();
      else if (need === "data") engine.input = await input?.();
      else {
        const first = await this.#options.sink.reserveNonces(GRANT_BLOCKS);
        engine.grantNonces(first, first + GRANT_BLOCKS);
      }
      await this.#breathe();
    }
    await take();
  }

  /** @param full false for a batch sent before it is full: that alone is no reason to start workers. An unchanged
   *  tree has a few new files, and two threads cost more than reading those here. */
  async #dispatch(full = true): Promise<void> {
    if (this.#batch.length > 0 && (full || this.#batchBytes > BATCH_BYTES)) this.#start();
    while (this.#batch.length > 0) {
      const batch = this.#batch;
      if (this.#lanes.length === 0) {
        this.#batch = [];
        this.#batchBytes = 0;
        const { channel, queue } = this.#inlineEngine();
        const taken = this.#writeJob(channel.jobs[0]!, batch);
        queue.push(...taken);
        await this.#runInline(this.#inline!.engine.run(readJob(channel.jobs[0]!)));
        continue;
      }
      const lane = this.#freeLane();
      if (!lane) {
        await this.#progress(true);
        continue;
      }
      this.#batch = [];
      this.#batchBytes = 0;
      const { channel } = lane;
      const taken = this.#writeJob(channel.jobs[channel.get(JOBS_POSTED) % JOB_SLOTS]!, batch);
      let bytes = 0;
      for (const f of taken) bytes += f.request.size + 16384;
      lane.queue.push(...taken);
      lane.jobBytes.push(bytes);
      lane.outstanding += bytes;
      channel.raise(JOBS_POSTED);
      channel.poke();
    }
    await this.#progress(false);
  }

  /** Writes as many of the files as fit; the rest goes back to the front of the batch. */
  #writeJob(slot: Uint8Array, files: PendingFile[]): PendingFile[] {
    const writer = new JobWriter(slot);
    let n = 0;
    while (n < files.length && writer.add(files[n]!.request)) n++;
    if (n < files.length) {
      this.#batch = files.slice(n).concat(this.#batch);
      for (let i = n; i < files.length; i++) this.#batchBytes += files[i]!.request.size + 4096;
    }
    return n < files.length ? files.slice(0, n) : files;
  }

  #freeLane(): Lane | undefined {
    let best: Lane | undefined;
    for (const lane of this.#lanes) {
      const { channel } = lane;
      const done = channel.get(JOBS_DONE);
      while (lane.doneSeen < done) {
        lane.outstanding -= lane.jobBytes.shift()!;
        lane.doneSeen++;
      }
      if (channel.get(JOBS_POSTED) - done >= JOB_SLOTS) continue;
      if (!best || lane.outstanding < best.outstanding) best = lane;
    }
    return best;
  }

  async #progress(wait: boolean): Promise<void> {
    for (;;) {
      const seen = Atomics.load(this.#wake, 0);
      let any = false;
      for (const lane of this.#lanes) {
        const { channel } = lane;
        if (channel.get(GRANTS_GIVEN) === channel.get(GRANTS_TAKEN)) {
          const first = await this.#options.sink.reserveNonces(GRANT_BLOCKS);
          channel.grant(first, first + GRANT_BLOCKS);
          channel.poke();
        }
        while (channel.get(OUT_PUBLISHED) > channel.get(OUT_RELEASED)) {
          const n = channel.get(OUT_RELEASED) % OUT_SLOTS;
          const { entryBytes, recordBytes } = channel.outLengths(n);
          await this.#consume(
            lane.queue,
            channel.entries[n]!.subarray(0, entryBytes),
            channel.recordViews[n]!,
            recordBytes,
          );
          channel.raise(OUT_RELEASED);
          const index = this.#options.sink.newIndex();
          if (index) this.#spreadIndex(index);
          channel.poke();
          any = true;
        }
      }
      await this.#breathe();
      if (any || !wait) return;
      if (this.#options.asyncSink) {
        await new Promise((resolve) => setTimeout(resolve, Atomics.load(this.#wake, 0) === seen ? 2 : 0));
      } else Atomics.wait(this.#wake, 0, seen, YIELD_MS);
    }
  }

  // The main thread blocks while it waits for workers; signals, timers and the death of a worker are seen here.
  async #breathe(): Promise<void> {
    const now = performance.now();
    if (now - this.#lastYield > YIELD_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#lastYield = performance.now();
    }
    if (this.#failure) throw this.#failure;
    this.#options.signal?.throwIfAborted();
    await this.#options.between?.();
  }

  #spreadIndex(index: EngineSetup["index"]): void {
    this.#options.setup.index = index;
    this.#inline?.engine.useIndex(index);
    for (const { channel, thread } of this.#lanes) {
      thread.post({ index });
      channel.raise(INDEX_GENERATION);
    }
  }

  async #consume(
    queue: PendingFile[],
    entries: Uint8Array,
    records: DataView,
    length: number,
  ): Promise<void> {
    const { sink, onChunk } = this.#options;
    const accepted: { id: Uint8Array; offset: number; length: number }[] = [];
    const failed: ChunkRef[][] = [];
    const bytes = new Uint8Array(records.buffer, records.byteOffset, records.byteLength);
    let offset = 0;
    let p = 0;
    while (p < length) {
      const kind = records.getUint32(p, true);
      const file = queue[0]!;
      if (kind === RECORD_NEW || kind === RECORD_KNOWN) {
        const size = records.getUint32(p + 4, true);
        const entryLength = records.getUint32(p + 8, true);
        const id = bytes.slice(p + 12, p + 44);
        if (kind === RECORD_NEW) {
          const { chunk, isNew } = sink.add(id, size, entryLength - PUT_HEADER);
          file.chunks.push(chunk);
          if (isNew) accepted.push({ id, offset, length: entryLength });
          offset += entryLength;
        } else file.chunks.push(sink.reference(id, size));
        onChunk?.(file);
        p += CHUNK_RECORD_BYTES;
        continue;
      }
      queue.shift();
      if (kind === RECORD_END) {
        file.flags = records.getUint32(p + 4, true);
        if (file.flags & FRESH_STAT) file.fresh = readFreshStat(records, p + 8);
        p += END_RECORD_BYTES;
      } else if (kind === RECORD_ERROR) {
        const n = records.getUint32(p + 4, true);
        const [code = "", syscall = "", message = ""] = new TextDecoder()
          .decode(bytes.slice(p + 8, p + 8 + n))
          .split("\0");
        file.error = { code, syscall, message };
        failed.push(file.chunks.slice(file.written));
        file.chunks = [];
        p = align4(p + 8 + n);
      } else throw new Error(`create pipeline: unknown record ${kind}`);
      file.done = true;
    }
    if (accepted.length > 0) await sink.store(entries, accepted);
    for (const chunks of failed) await sink.release(chunks);
  }
}
