// The main thread's side of the create pipeline: hands files to workers in batches and takes back chunks and
// finished objects. Which worker gets which batch changes nothing in the archive: results are matched to their
// files by order within a channel, and a chunk that two workers made at once is stored once, the first to arrive.
import { leaveSharedTable } from "../../core/hashindex.ts";
import { compileLess, giveBackMemory, keepHeapSmall } from "../../runtime/heap.ts";
import type { ChunkRef } from "../item.ts";
import {
  type Channel,
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
import type { Need } from "./chunk-batch.ts";
import { CreateThreads } from "./create-threads.ts";
import type { EngineSetup } from "./engine-setup.ts";
import { type ChunkSink, Intake } from "./intake.ts";
import { JobWriter, LAST_PIECE, readJob } from "./messages.ts";
import { OwnLane } from "./own-lane.ts";
import type { PendingFile, RunOfFiles } from "./pending-file.ts";
import { SplitFile } from "./split-file.ts";

const BATCH_BYTES = 2 << 20;
const BATCH_FILES = 256;
/** A batch that the main thread does by itself has at most so many bytes: its other work waits for it. */
const OWN_BYTES = 4 << 20;
/** Batches of its own in which the main thread has waited for a disk: so much time, in milliseconds, at less than so many bytes
 *  in each. With cold caches a worker more was 6 % of a backup. */
const WAITED_MS = 100;
const WAITED_BYTES = 60 << 10;
/** Counter blocks a worker gets at a time: 64 MiB of data. */
const GRANT_BLOCKS = 1 << 22;
const YIELD_MS = 40;
/** What a worker does in a few hundredths of a second. */
const NEARLY_DONE = 8 << 20;
/** Where no threads are to be waited for. */
const NOBODY = new Int32Array(new SharedArrayBuffer(4));

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

function newLane(channel: Channel): Lane {
  return { channel, queue: [], outstanding: 0, received: 0, jobBytes: [], doneSeen: 0, lastJob: 0 };
}

export class CreatePipeline {
  readonly #options: PipelineOptions;
  readonly #lanes: Lane[] = [];
  readonly #entryBytes: number;
  #threads: CreateThreads | undefined;
  #own: OwnLane | undefined;
  /** What is sent next: the job's bytes, and who is told of its files. */
  readonly #jobBytes = new Uint8Array(JOB_BYTES);
  #job = new JobWriter(this.#jobBytes);
  #batch: (PendingFile | RunOfFiles)[] = [];
  #batchBytes = 0;
  /** A file in it may keep whoever reads it waiting for ever: a fifo, a device. */
  #batchWaits = false;
  #readHere: number;
  readonly #intake: Intake;
  /** Of the batches that this thread has done beside workers. */
  #ownMs = 0;
  #ownBytes = 0;
  /** Large files that are not complete. */
  #splits: SplitFile[] = [];
  #holdsPieces = false;
  #jobs = 0;
  #lastYield = performance.now();

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#intake = new Intake(options.sink, options.onChunk);
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
    for (const { channel } of this.#threads.all) this.#lanes.push(newLane(channel));
  }

  /** Starts the one that the main thread has stood in for: there is more to do than that one can. */
  #startLast(): void {
    if (!this.#threads || this.#threads.isComplete) return;
    this.#lanes.push(newLane(this.#threads.complete({ setup: this.#options.setup })));
  }

  /** Adds a file; may wait until a worker has room. Its result appears in the object when `done` is true. */
  submit(file: PendingFile): Promise<void> | undefined {
    if (!file.request.special && this.splits(file.request.size)) return this.#submitSplit(file);
    if (!this.#job.add(file.request)) return this.#dispatch().then(() => this.submit(file));
    this.#batch.push(file);
    this.#batchWaits ||= file.request.special;
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
    const own = this.#ownLane();
    own.queue.push(file);
    const iterator = pieces[Symbol.asyncIterator]();
    await this.#runInline(own.engine.runStream(), async () => {
      const next = await iterator.next();
      return next.done ? undefined : next.value;
    });
  }

  /** Ends the workers. Files still under way are dropped. */
  async close(): Promise<void> {
    await (this.#threads ?? this.#options.prepared)?.close();
    this.#lanes.length = 0;
  }

  #ownLane(): OwnLane {
    this.#own ??= new OwnLane(this.#options.setup, this.#entryBytes);
    return this.#own;
  }

  async #runInline(run: Generator<Need, void>, input?: () => Promise<Uint8Array | undefined>): Promise<void> {
    const own = this.#ownLane();
    const { engine } = own;
    const take = async (): Promise<void> => {
      await own.take(this.#intake);
      this.#passIndexOn();
    };
    for (const need of run) {
      if (need === "slot") {
        await take();
        await this.#takeIn();
      } else if (need === "data") engine.input = await input?.();
      else {
        const first = await this.#options.sink.reserveNonces(GRANT_BLOCKS);
        engine.batch.grantNonces(first, first + GRANT_BLOCKS);
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
      if (this.#batchWaits) this.#start();
      else if (full || this.#batchBytes > BATCH_BYTES) this.#startFor(this.#batchBytes);
      const bytes = this.#batchBytes;
      const lane = await this.#laneFor(bytes);
      if (!lane) {
        const own = this.#ownLane();
        const begin = performance.now();
        own.queue.push(...this.#send(own.job));
        await this.#runInline(own.engine.run(readJob(own.job)));
        this.#did(bytes, performance.now() - begin);
      } else {
        const { channel, queue } = lane;
        queue.push(...this.#send(channel.jobs[channel.get(JOBS_POSTED) % JOB_SLOTS]!));
        this.#post(lane, bytes);
      }
    }
    await this.#progress(false);
  }

  /** Who does a batch: a lane, which may have to be waited for; undefined for this thread. */
  async #laneFor(bytes: number): Promise<Lane | undefined> {
    if (this.#lanes.length === 0) return undefined;
    let lane = this.#freeLane();
    if (!lane && (bytes > OWN_BYTES || this.#batchWaits)) {
      this.#startLast();
      lane = this.#freeLane();
    }
    if (!lane && !this.#threads!.isComplete) return undefined;
    for (; !lane; lane = this.#freeLane()) await this.#progress(true);
    return lane;
  }

  /** This thread has done a batch. Where it waits for files, more can be under way beside it. */
  #did(bytes: number, ms: number): void {
    if (!this.#threads) return;
    this.#ownMs += ms;
    this.#ownBytes += bytes;
    if (this.#ownMs > WAITED_MS && this.#ownBytes < this.#ownMs * WAITED_BYTES) this.#startLast();
  }

  /** Copies the job and starts the next one. @returns who is told of its files */
  #send(slot: Uint8Array): (PendingFile | RunOfFiles)[] {
    slot.set(this.#jobBytes.subarray(0, this.#job.end));
    const batch = this.#batch;
    for (const files of batch) if ("chunk" in files) files.close();
    this.#job = new JobWriter(this.#jobBytes);
    this.#batch = [];
    this.#batchBytes = 0;
    this.#batchWaits = false;
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
    this.#startLast();
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
      const any = await this.#takeIn();
      await this.#breathe();
      if (any || !wait) return;
      if (this.#options.asyncSink) {
        await new Promise((resolve) => setTimeout(resolve, Atomics.load(wake, 0) === seen ? 2 : 0));
      } else Atomics.wait(wake, 0, seen, YIELD_MS);
    }
  }

  /** Takes in what the lanes have published. @returns whether there was any */
  async #takeIn(): Promise<boolean> {
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
        lane.received += await this.#intake.take(
          lane.queue,
          channel.entries[n]!.subarray(0, entryBytes),
          channel.recordViews[n]!,
          recordBytes,
        );
        channel.raise(OUT_RELEASED);
        this.#passIndexOn();
        channel.poke();
        any = true;
      }
    }
    return any;
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

  /** Tells all engines of a larger table of the chunk index, if there is one. */
  #passIndexOn(): void {
    const index = this.#options.sink.newIndex();
    if (!index) return;
    this.#options.setup.index = index;
    this.#own?.engine.batch.useIndex(index);
    this.#threads?.tell({ index });
    leaveSharedTable(index);
  }
}
