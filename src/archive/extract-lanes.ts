// The lanes that write regular files: workers or this thread. Files travel to the workers in batches by message. Those
// of a local repository read its segments by themselves, so contents do not pass through the main thread; of a remote
// one they get what was fetched, still sealed, for files that are small. Large ones are written in this thread.
import { coreModule } from "../core/index.ts";
import { AlcoveError, type AlcoveWarning, errorFromRemote } from "../errors.ts";
import type { Repository } from "../repository/types.ts";
import { ExtractedFile, type FileOptions } from "./extract-file.ts";
import type { ExtractTree } from "./extract-tree.ts";
import type { Item } from "./item.ts";
import { MetadataRestorer } from "./metadata-restore.ts";
import type { Objects } from "./objects.ts";
import { startThread, type Thread } from "./pipeline/threads.ts";
import { problemWarning } from "./restore-warnings.ts";
import type { ObjectLocation } from "./segment-objects.ts";

/** Told of each file, whatever became of it; `path` is the item's place in the target. */
export type FileDone = (item: Item, bytes: number, warnings: AlcoveWarning[]) => void;

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
      this.#done(item, bytes, this.#warnings);
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

/** What a worker is given of a file. */
export interface WorkerFile {
  item: Item;
  /** The contents: where they are, or the sizes of the sealed objects, which the batch has. */
  locations: ObjectLocation[];
  sealed?: number[];
}
export interface SealedObject {
  id: Uint8Array;
  blob: Uint8Array;
}
export interface WorkerBatch {
  batch: number;
  files: WorkerFile[];
  /** Of a remote repository: every sealed object behind its id of 32 bytes, in order. One buffer that is handed over:
   *  a message with a buffer for each object took longer than to receive them. */
  objects?: ArrayBuffer;
}
export interface WorkerResult {
  batch: number;
  files: { bytes: number; warnings: SentError[] }[];
  failure?: SentError;
}
export interface SentError {
  msgid: string;
  args: readonly unknown[];
  message: string;
}

const BATCH_FILES = 64;
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

/** Writes in worker threads. */
export class ExtractLanes implements FileLane {
  readonly #repository: LocatingRepository;
  readonly #objects: Objects;
  readonly #done: FileDone;
  readonly #start: () => void;
  readonly #workers: number;
  readonly #threads: { thread: Thread; load: number; bytes: number }[] = [];
  readonly #open = new Map<number, { files: Item[]; lane: number; bytes: number }>();
  #batch: WorkerFile[] = [];
  #items: Item[] = [];
  /** Objects of the batch and their ids, by turns. */
  #fetched: Uint8Array[] = [];
  #bytes = 0;
  #next = 0;
  #failure: Error | undefined;
  #wakeUp: (() => void) | undefined;

  static possible(objects: Objects, workers: number): boolean {
    return workers > 0 && (objects.repository.isRemote || "objectLocation" in objects.repository);
  }

  constructor(objects: Objects, root: string, options: FileOptions, workers: number, done: FileDone) {
    this.#objects = objects;
    this.#repository = objects.repository as unknown as LocatingRepository;
    this.#done = done;
    const data = { material: objects.key.material, module: coreModule(), root, options };
    this.#workers = workers;
    this.#start = () => {
      const i = this.#threads.length;
      const thread = startThread(
        { role: "extract", data },
        (e) => this.#fail(e),
        (m) => this.#result(i, m as WorkerResult),
      );
      this.#threads.push({ thread, load: 0, bytes: 0 });
    };
    // What comes over a link may be too little for all of them, or too large for any.
    if (!objects.repository.isRemote) while (this.#threads.length < workers) this.#start();
  }

  async write(item: Item): Promise<void> {
    const { isRemote } = this.#objects.repository;
    const locations = isRemote ? [] : await this.#locations(item);
    const sealed = isRemote ? { sealed: await this.#fetch(item) } : {};
    this.#batch.push({
      item: { ...item, chunks: undefined, chunks_healthy: item.chunks_healthy && [] },
      locations,
      ...sealed,
    });
    this.#items.push(item);
    if (this.#batch.length >= BATCH_FILES || this.#bytes >= BATCH_BYTES) await this.#send();
  }

  async #fetch(item: Item): Promise<number[]> {
    const chunks = item.chunks ?? [];
    const sizes: number[] = [];
    if (chunks.length === 0) return sizes;
    const repository = this.#objects.repository as Repository & Partial<AnnouncingRepository>;
    for (const { id } of chunks) {
      let blob = repository.arrived?.(id);
      if (!blob) for await (const got of repository.getMany([id], { preloaded: true })) blob = got;
      this.#fetched.push(id, blob!);
      sizes.push(blob!.length);
      this.#bytes += blob!.length;
    }
    return sizes;
  }

  /** The objects of the batch as one buffer. */
  #gathered(): ArrayBuffer {
    const whole = new Uint8Array(this.#fetched.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const piece of this.#fetched) {
      whole.set(piece, at);
      at += piece.length;
    }
    this.#fetched = [];
    return whole.buffer;
  }

  async #locations(item: Item): Promise<ObjectLocation[]> {
    const locations: ObjectLocation[] = [];
    for (const c of item.chunks ?? []) {
      const at = this.#repository.objectLocation(c.id);
      // A chunk that is not there is reported as the repository reports it.
      if (!at) {
        await this.#objects.repository.get(c.id);
        throw new AlcoveError("extract: an object was found that had no location");
      }
      locations.push({
        id: c.id,
        file: this.#repository.segmentPath(at.segment),
        offset: at.offset,
        size: c.size,
      });
      this.#bytes += c.csize;
    }
    return locations;
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
    if (this.#batch.length === 0) return;
    let lane = this.#idlest();
    while (!this.#room(lane)) {
      await this.#wait();
      lane = this.#idlest();
    }
    if (this.#failure) throw this.#failure;
    const batch = this.#next++;
    this.#open.set(batch, { files: this.#items, lane, bytes: this.#bytes });
    this.#threads[lane]!.load++;
    this.#threads[lane]!.bytes += this.#bytes;
    const message: WorkerBatch = { batch, files: this.#batch };
    if (this.#fetched.length > 0) {
      const objects = this.#gathered();
      this.#threads[lane]!.thread.post({ ...message, objects }, [objects]);
    } else this.#threads[lane]!.thread.post(message);
    this.#batch = [];
    this.#items = [];
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
    if (this.#room(best) || this.#threads.length >= this.#workers) return best;
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
    result.files.forEach(({ bytes, warnings }, i) => {
      this.#done(
        open.files[i]!,
        bytes,
        warnings.map((w) => received(w) as AlcoveWarning),
      );
    });
    if (result.failure) this.#failure ??= received(result.failure);
    this.#wake();
  }
}

function received({ msgid, args, message }: SentError): Error {
  return errorFromRemote(msgid, args) ?? new AlcoveError(message, msgid);
}
