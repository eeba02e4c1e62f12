// The main thread's side of the create pipeline: hands files to workers in batches and takes back chunks and
// finished objects. Which worker gets which batch changes nothing in the archive: results are matched to their
// files by order within a channel, and a chunk that two workers made at once is stored once, the first to arrive.
import { leaveSharedTable } from "../../core/hashindex.ts";
import { Core, coreModule } from "../../core/index.ts";
import { PUT_HEADER_SIZE } from "../../repository/entry.ts";
import { compileLess, giveBackMemory, keepHeapSmall } from "../../runtime/heap.ts";
import type { ChunkRef } from "../item.ts";
import {
  Channel,
  GRANTS_GIVEN,
  GRANTS_TAKEN,
  JOB_BYTES,
  JOB_SLOTS,
  JOBS_DONE,
  JOBS_POSTED,
  OUT_PUBLISHED,
  OUT_RELEASED,
  OUT_SLOTS,
} from "./channel.ts";
import { CreateThreads } from "./create-threads.ts";
import { Engine, type Need } from "./engine.ts";
import type { EngineSetup } from "./engine-setup.ts";
import { fileSource } from "./files.ts";
import {
  align4,
  BOUNDARY_RECORD_BYTES,
  CHUNK_RECORD_BYTES,
  END_RECORD_BYTES,
  FRESH_STAT,
  JobWriter,
  LAST_PIECE,
  RECORD_BOUNDARY,
  RECORD_END,
  RECORD_ERROR,
  RECORD_KNOWN,
  RECORD_NEW,
  readFreshStat,
  readJob,
} from "./messages.ts";
import type { PendingFile, RunOfFiles } from "./pending-file.ts";
import { SplitFile } from "./split-file.ts";

const BATCH_BYTES = 2 << 20;
const BATCH_FILES = 256;
/** Counter blocks a worker gets at a time: 64 MiB of data. */
const GRANT_BLOCKS = 1 << 22;
const YIELD_MS = 40;
/** What a worker does in a few hundredths of a second. */
const NEARLY_DONE = 8 << 20;
/** Where no threads are to be waited for. */
const NOBODY = new Int32Array(new SharedArrayBuffer(4));

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

export interface PipelineOptions {
  workers: number;
  setup: EngineSetup;
  sink: ChunkSink;
  /** True where storing needs the event loop (a remote repository). */
  asyncSink: boolean;
  /** Room for objects in a slot that a worker fills: one of the largest at least. */
  entryBytes: number;
  /** Threads that were started before; ended with the pipeline. */
  prepared?: CreateThreads | undefined;
  /** Looked at between two slots, so that a file of hours can be interrupted too. */
  signal?: AbortSignal | undefined;
  /** Bytes of contents that are read in this thread before workers are started. */
  readHere: number;
  onChunk?: () => void;
  /** Called between two slots, when everything that was taken in is stored: a file of hours gets its checkpoints here. */
  between?: () => Promise<void> | undefined;
}

interface Lane {
  channel: Channel;
  queue: (PendingFile | RunOfFiles)[];
  outstanding: number;
  /** Bytes of chunks that came of the job it is at, less what it turned out to have more. */
  received: number;
  jobBytes: number[];
  doneSeen: number;
  /** When it got its last job, in jobs of all lanes. */
  lastJob: number;
}

/** Bytes that a worker has still to do: none only where it has no job. */
function restOf(lane: Lane): number {
  return lane.outstanding === 0 ? 0 : Math.max(1, lane.outstanding - lane.received);
}

interface InlineLane {
  engine: Engine;
  channel: Channel;
  queue: (PendingFile | RunOfFiles)[];
}

export class CreatePipeline {
  readonly #options: PipelineOptions;
  readonly #lanes: Lane[] = [];
  readonly #entryBytes: number;
  #threads: CreateThreads | undefined;
  #inline: InlineLane | undefined;
  /** What is sent next: the job's bytes, and who is told of its files. */
  readonly #jobBytes = new Uint8Array(JOB_BYTES);
  #job = new JobWriter(this.#jobBytes);
  #batch: (PendingFile | RunOfFiles)[] = [];
  #batchBytes = 0;
  #readHere: number;
  /** Places of the objects that are stored next. */
  #places = new Uint32Array(1024);
  /** Places of the ids that come next. */
  readonly #expected = new Uint32Array(1024);
  /** Large files that are not complete. */
  #splits: SplitFile[] = [];
  #holdsPieces = false;
  #jobs = 0;
  #lastYield = performance.now();

  constructor(options: PipelineOptions) {
    this.#options = options;
    keepHeapSmall();
    compileLess();
    this.#entryBytes = options.entryBytes;
    this.#readHere = options.readHere;
  }

  /** Starts the workers; nothing is started before the first file that has to be read. */
  #start(): void {
    if (this.#lanes.length > 0) return;
    const { prepared, workers, setup } = this.#options;
    this.#threads = prepared ?? new CreateThreads(workers, this.#entryBytes);
    this.#threads.tell({ setup });
    for (const { channel } of this.#threads.all)
      this.#lanes.push({
        channel,
        queue: [],
        outstanding: 0,
        received: 0,
        jobBytes: [],
        doneSeen: 0,
        lastJob: 0,
      });
  }

  /** Adds a file; may wait until a worker has room. Its result appears in the object when `done` is true. */
  submit(file: PendingFile): Promise<void> | undefined {
    if (!file.request.special && this.splits(file.request.size)) return this.#submitSplit(file);
    if (!this.#job.add(file.request)) return this.#dispatch().then(() => this.submit(file));
    this.#batch.push(file);
    return this.#added(file.request.size);
  }

  /** Whether a regular file of so many bytes is read in pieces. */
  splits(size: number): boolean {
    const { pieceBytes } = this.#options.setup;
    return pieceBytes > 0 && size >= pieceBytes * LAST_PIECE;
  }

  /** Begins no further piece of a large file until resume(). @returns whether none is under way: then no file has chunks
   *  behind a gap */
  hold(): boolean {
    this.#holdsPieces = true;
    return !this.#splits.some((split) => split.isUnderWay);
  }

  resume(): void {
    this.#holdsPieces = false;
  }

  /** Takes chunks that came before others of their file away from it. @returns them, to be given back */
  dropLoose(): ChunkRef[] {
    return this.#splits.flatMap((split) => split.dropLoose());
  }

  /** Makes sure that the next request fits into the job. @param path bytes */
  roomFor(path: number): Promise<void> | undefined {
    return this.#job.hasRoom(path) ? undefined : this.#dispatch();
  }

  /** The job that is sent next, for the requests of runs. */
  get job(): JobWriter {
    return this.#job;
  }

  /** To be told of each file that a run has added to the job; may wait until a worker has room. @param size bytes */
  addedTo(run: RunOfFiles, size: number): Promise<void> | undefined {
    if (this.#batch[this.#batch.length - 1] !== run) this.#batch.push(run);
    return this.#added(size);
  }

  #added(size: number): Promise<void> | undefined {
    this.#batchBytes += size + 4096;
    if (this.#batchBytes < BATCH_BYTES && this.#job.count < BATCH_FILES) return undefined;
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
    // What it has taken in may have been all that was to come.
    if (this.#lanes.some((lane) => lane.queue.length > 0)) await this.#progress(wait);
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
    await (this.#threads ?? this.#options.prepared)?.close();
    this.#lanes.length = 0;
  }

  #inlineEngine(): InlineLane {
    if (this.#inline) return this.#inline;
    const channel = Channel.create(this.#entryBytes, new SharedArrayBuffer(4));
    // A core of its own, as a worker has: regions are never given back, so what many archives made by one process take
    // must go with their pipelines (in the shared core 240 archives filled the memory, and the kernels never returned).
    const core = new Core(coreModule());
    const engine = new Engine(core, fileSource(core), this.#options.setup);
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

  /** Starts the workers if there is enough to be read: an unchanged tree has a few new files, and two threads cost more
   *  than reading those here. */
  #startFor(bytes: number): void {
    this.#readHere -= bytes;
    if (this.#readHere < 0) this.#start();
  }

  /** @param full false for a batch sent before it is full: that alone is no reason to start workers */
  async #dispatch(full = true): Promise<void> {
    if (this.#batch.length > 0) {
      if (full || this.#batchBytes > BATCH_BYTES) this.#startFor(this.#batchBytes);
      if (this.#lanes.length === 0) {
        const { engine, channel, queue } = this.#inlineEngine();
        queue.push(...this.#send(channel.jobs[0]!));
        await this.#runInline(engine.run(readJob(channel.jobs[0]!)));
      } else {
        let lane = this.#freeLane();
        for (; !lane; lane = this.#freeLane()) await this.#progress(true);
        const bytes = this.#batchBytes;
        const { channel, queue } = lane;
        queue.push(...this.#send(channel.jobs[channel.get(JOBS_POSTED) % JOB_SLOTS]!));
        this.#post(lane, bytes);
      }
    }
    await this.#progress(false);
  }

  /** Copies the job and starts the next one. @returns who is told of its files */
  #send(slot: Uint8Array): (PendingFile | RunOfFiles)[] {
    slot.set(this.#jobBytes.subarray(0, this.#job.end));
    const batch = this.#batch;
    for (const files of batch) if ("chunk" in files) files.close();
    this.#job = new JobWriter(this.#jobBytes);
    this.#batch = [];
    this.#batchBytes = 0;
    return batch;
  }

  /** The lane with the least to do, or with as much as others for longer. @param most jobs that it may have */
  #freeLane(most = JOB_SLOTS - 1): Lane | undefined {
    let best: Lane | undefined;
    for (const lane of this.#lanes) {
      const { channel } = lane;
      const done = channel.get(JOBS_DONE);
      while (lane.doneSeen < done) {
        lane.outstanding -= lane.jobBytes.shift()!;
        lane.received = 0;
        lane.doneSeen++;
      }
      if (channel.get(JOBS_POSTED) - done > most) continue;
      const less = best ? restOf(lane) - restOf(best) || lane.lastJob - best.lastJob : -1;
      if (less < 0) best = lane;
    }
    return best;
  }

  /** Tells a worker of the job that lies in its next slot. */
  #post(lane: Lane, bytes: number): void {
    lane.jobBytes.push(bytes);
    lane.outstanding += bytes;
    lane.lastJob = ++this.#jobs;
    lane.channel.raise(JOBS_POSTED);
    lane.channel.poke();
  }

  /** Reads a large file in pieces; waits until the last one is on its way. */
  async #submitSplit(file: PendingFile): Promise<void> {
    const { size } = file.request;
    await this.#dispatch();
    this.#startFor(size);
    const { setup } = this.#options;
    const split = new SplitFile(file, setup.filesChanged);
    this.#splits = [...this.#splits.filter((other) => !other.file.done), split];
    while (!split.isBegun) {
      const request = this.#holdsPieces ? undefined : split.next;
      // One that waits behind another begins without a pause. It gets there late: whoever has it, another may be free
      // sooner, and what follows is not known before it begins.
      const lane = request && this.#freeLane(1);
      if (!lane || restOf(lane) > NEARLY_DONE) {
        await this.#progress(true);
        continue;
      }
      const { channel, queue } = lane;
      new JobWriter(channel.jobs[channel.get(JOBS_POSTED) % JOB_SLOTS]!).add(request);
      const bytes = Math.min(setup.pieceBytes, size - request.from!);
      queue.push(split.begin(bytes));
      this.#post(lane, bytes);
    }
  }

  async #progress(wait: boolean): Promise<void> {
    for (;;) {
      const wake = this.#threads?.wake ?? NOBODY;
      const seen = Atomics.load(wake, 0);
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
          lane.received += await this.#consume(
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
        await new Promise((resolve) => setTimeout(resolve, Atomics.load(wake, 0) === seen ? 2 : 0));
      } else Atomics.wait(wake, 0, seen, YIELD_MS);
    }
  }

  // The main thread blocks while it waits for workers; signals, timers and the death of a worker are seen here.
  async #breathe(): Promise<void> {
    const now = performance.now();
    if (now - this.#lastYield > YIELD_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#lastYield = performance.now();
      giveBackMemory();
    }
    if (this.#threads?.failure) throw this.#threads.failure;
    this.#options.signal?.throwIfAborted();
    await this.#options.between?.();
  }

  #spreadIndex(index: EngineSetup["index"]): void {
    this.#options.setup.index = index;
    this.#inline?.engine.useIndex(index);
    this.#threads?.tell({ index });
    leaveSharedTable(index);
  }

  /** Takes in what a slot tells. @returns bytes of the chunks in it, less what its job has more than was thought */
  async #consume(
    queue: (PendingFile | RunOfFiles)[],
    entries: Uint8Array,
    records: DataView,
    length: number,
  ): Promise<number> {
    const { sink, onChunk } = this.#options;
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
        onChunk?.();
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
    this.#options.sink.expect(bytes, places, count);
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
