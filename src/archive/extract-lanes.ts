// The lanes that write regular files: workers or this thread. Files travel to the workers in batches by message. Those
// of a local repository read its segments by themselves, so contents do not pass through the main thread; of a remote
// one they get what was fetched, still sealed, for files that are small. Large ones are written in this thread.
import { coreModule } from "../core/index.ts";
import { AlcoveError, type AlcoveWarning } from "../errors.ts";
import type { Repository } from "../repository/types.ts";
import { BatchWriter, received, type WorkerBatch, type WorkerResult } from "./extract-batch.ts";
import { ExtractedFile, type FileOptions } from "./extract-file.ts";
import type { ExtractTree } from "./extract-tree.ts";
import type { ChunkRef, Item } from "./item.ts";
import { MetadataRestorer } from "./metadata-restore.ts";
import type { Objects } from "./objects.ts";
import { startThread, type Thread } from "./pipeline/threads.ts";
import { problemWarning } from "./restore-warnings.ts";

/** Told of each file, whatever became of it; `path` is where it was extracted to. */
export type FileDone = (path: string, bytes: number, warnings: readonly AlcoveWarning[]) => void;

export interface FileLane {
  /** Takes a file whose parent exists; may wait for room. Throws what ended the extraction (damaged data, lost
   *  chunks). */
  write(item: Item): Promise<void>;
  /** Waits until every file taken is written. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

/** Writes in this thread, one file after the other. */
export class InlineLane implements FileLane {
  readonly #objects: Objects;
  readonly #options: FileOptions;
  readonly #done: FileDone;
  readonly #restorer: MetadataRestorer;
  readonly #tree: ExtractTree;
  #warnings: AlcoveWarning[] = [];
  #path = "";

  constructor(objects: Objects, tree: ExtractTree, options: FileOptions, done: FileDone) {
    this.#objects = objects;
    this.#tree = tree;
    this.#options = options;
    this.#done = done;
    this.#restorer = new MetadataRestorer({
      ...options.restore,
      onProblem: (p) => {
        const w = problemWarning(p, this.#path);
        if (w) this.#warnings.push(w);
      },
    });
  }

  async write(item: Item): Promise<void> {
    let bytes = 0;
    this.#warnings = [];
    this.#path = item.path;
    try {
      const file = new ExtractedFile(this.#tree, item, this.#options, this.#restorer);
      try {
        for await (const data of this.#objects.getMany(
          (item.chunks ?? []).map((c) => c.id),
          true,
        )) {
          file.write(data);
          bytes += data.length;
        }
      } catch (e) {
        throw file.abort(e);
      }
      this.#warnings.push(...file.finish());
    } finally {
      this.#done(item.path, bytes, this.#warnings);
    }
  }

  async drain(): Promise<void> {
    this.#flush();
  }

  async close(): Promise<void> {
    this.#flush();
  }

  #flush(): void {
    this.#path = "";
    this.#restorer.flush();
  }
}

/** A local repository: tells where an object's bytes are. */
interface LocatingRepository {
  objectLocation(id: Uint8Array): { segment: number; offset: number } | undefined;
  segmentPath(segment: number): string;
}

/** A remote repository: gives what was announced with preload() and is here already. */
interface AnnouncingRepository {
  arrived(id: Uint8Array): Uint8Array | undefined;
}

const BATCH_FILES = 256;
const BATCH_BYTES = 4 << 20;
const BATCHES_PER_WORKER = 3;
/** Of a remote repository, before another worker is started: opening and writing small files takes less than to
 *  receive them, and a worker costs 0.15 s of CPU before it has done anything. */
const PATIENT_BATCHES = 16;
const PATIENT_BYTES = 16 << 20;
/** A file of a remote repository that travels by message is at most this many bytes and objects. */
const SMALL_BYTES = 4 << 20;
const SMALL_CHUNKS = 8;

/** Small files to workers, large ones, which would have to be kept in memory whole, in this thread. */
export class RemoteLanes implements FileLane {
  readonly #lanes: ExtractLanes;
  readonly #inline: InlineLane;

  constructor(lanes: ExtractLanes, inline: InlineLane) {
    this.#lanes = lanes;
    this.#inline = inline;
  }

  write(item: Item): Promise<void> {
    const chunks = item.chunks ?? [];
    const bytes = chunks.reduce((sum, c) => sum + Math.max(c.size, c.csize), 0);
    const small = chunks.length <= SMALL_CHUNKS && bytes <= SMALL_BYTES;
    return (small ? this.#lanes : this.#inline).write(item);
  }

  async drain(): Promise<void> {
    await this.#lanes.drain();
    await this.#inline.drain();
  }

  async close(): Promise<void> {
    await this.#lanes.close();
    await this.#inline.close();
  }
}

interface LaneOptions {
  workers: number;
  /** Whether paths may differ from those of the items. */
  renames: boolean;
  done: FileDone;
}

/** Writes in worker threads. */
export class ExtractLanes implements FileLane {
  readonly #repository: LocatingRepository;
  readonly #objects: Objects;
  readonly #options: LaneOptions;
  readonly #start: () => void;
  /** Each with the segments that it has been told of. */
  readonly #threads: { thread: Thread; load: number; bytes: number; told: Set<number> }[] = [];
  readonly #open = new Map<number, { paths: string[]; bytes: number }>();
  readonly #batch = new BatchWriter();
  #paths: string[] = [];
  #bytes = 0;
  #next = 0;
  #failure: Error | undefined;
  #wakeUp: (() => void) | undefined;

  static possible(objects: Objects, workers: number): boolean {
    return workers > 0 && (objects.repository.isRemote || "objectLocation" in objects.repository);
  }

  constructor(objects: Objects, root: string, options: FileOptions, lanes: LaneOptions) {
    this.#objects = objects;
    this.#repository = objects.repository as unknown as LocatingRepository;
    this.#options = lanes;
    const data = { material: objects.key.material, module: coreModule(), root, options };
    this.#start = () => {
      const i = this.#threads.length;
      const thread = startThread(
        { role: "extract", data },
        (e) => this.#fail(e),
        (m) => this.#result(i, m as WorkerResult),
      );
      this.#threads.push({ thread, load: 0, bytes: 0, told: new Set() });
    };
    // What comes over a link may be too little for all of them, or too large for any.
    if (!objects.repository.isRemote) while (this.#threads.length < lanes.workers) this.#start();
  }

  /** @param item with its encoded form */
  async write(item: Item): Promise<void> {
    const { path, encoded, chunks = [] } = item;
    this.#batch.file(encoded!, this.#options.renames ? path : undefined);
    this.#paths.push(path);
    if (this.#objects.repository.isRemote) await this.#fetch(chunks);
    else for (const c of chunks) if (!this.#locate(c)) await this.#missing(c);
    if (this.#paths.length >= BATCH_FILES || this.#bytes >= BATCH_BYTES) await this.#send();
  }

  async #fetch(chunks: readonly ChunkRef[]): Promise<void> {
    const repository = this.#objects.repository as Repository & Partial<AnnouncingRepository>;
    for (const { id } of chunks) {
      let blob = repository.arrived?.(id);
      if (!blob) for await (const got of repository.getMany([id], { preloaded: true })) blob = got;
      this.#batch.sealed(id, blob!);
      this.#bytes += blob!.length;
    }
  }

  #locate(c: ChunkRef): boolean {
    const at = this.#repository.objectLocation(c.id);
    if (!at) return false;
    this.#batch.located(c, at.segment, at.offset);
    this.#bytes += c.csize;
    return true;
  }

  /** A chunk that is not there is reported as the repository reports it. */
  async #missing({ id }: ChunkRef): Promise<never> {
    await this.#objects.repository.get(id);
    throw new AlcoveError("extract: an object was found that had no location");
  }

  async drain(): Promise<void> {
    await this.#send();
    while (this.#open.size > 0) await this.#wait();
    if (this.#failure) throw this.#failure;
  }

  async close(): Promise<void> {
    for (const { thread } of this.#threads) thread.post({ stop: true });
    await Promise.all(this.#threads.map(({ thread }) => thread.join()));
  }

  async #send(): Promise<void> {
    if (this.#paths.length === 0) return;
    let lane = this.#idlest();
    while (!this.#room(lane)) {
      await this.#wait();
      lane = this.#idlest();
    }
    if (this.#failure) throw this.#failure;
    const batch = this.#next++;
    const bytes = this.#bytes;
    this.#open.set(batch, { paths: this.#paths, bytes });
    const to = this.#threads[lane]!;
    to.load++;
    to.bytes += bytes;
    const segments: [number, string][] = [];
    for (const segment of this.#batch.segments) {
      if (to.told.has(segment)) continue;
      to.told.add(segment);
      segments.push([segment, this.#repository.segmentPath(segment)]);
    }
    const sealed = this.#objects.repository.isRemote;
    const message: WorkerBatch = { ...this.#batch.take(), batch, sealed, segments };
    to.thread.post(message, [message.items, message.objects]);
    this.#paths = [];
    this.#bytes = 0;
  }

  #room(lane: number): boolean {
    const worker = this.#threads[lane];
    if (!worker) return false;
    if (!this.#objects.repository.isRemote) return worker.load < BATCHES_PER_WORKER;
    return worker.load < PATIENT_BATCHES && worker.bytes < PATIENT_BYTES;
  }

  /** The worker with the fewest batches; another one is started where all have some waiting. */
  #idlest(): number {
    let best = 0;
    for (let i = 1; i < this.#threads.length; i++)
      if (this.#threads[i]!.load < this.#threads[best]!.load) best = i;
    if (this.#room(best) || this.#threads.length >= this.#options.workers) return best;
    this.#start();
    return this.#threads.length - 1;
  }

  #wait(): Promise<void> {
    if (this.#failure) throw this.#failure;
    return new Promise((resolve) => {
      this.#wakeUp = resolve;
    });
  }

  #wake(): void {
    const wakeUp = this.#wakeUp;
    this.#wakeUp = undefined;
    wakeUp?.();
  }

  #fail(e: Error): void {
    this.#failure ??= e;
    this.#wake();
  }

  #result(lane: number, result: WorkerResult): void {
    const open = this.#open.get(result.batch);
    if (!open) return;
    this.#open.delete(result.batch);
    this.#threads[lane]!.load--;
    this.#threads[lane]!.bytes -= open.bytes;
    const warnings = new Map<number, AlcoveWarning[]>();
    for (const { file, warning } of result.warnings) {
      const others = warnings.get(file);
      if (others) others.push(received(warning) as AlcoveWarning);
      else warnings.set(file, [received(warning) as AlcoveWarning]);
    }
    for (const [i, bytes] of result.bytes.entries())
      this.#options.done(open.paths[i]!, bytes, warnings.get(i) ?? []);
    if (result.failure) this.#failure ??= received(result.failure);
    this.#wake();
  }
}
