// check --verify-data: every object is read, authenticated, decrypted, decompressed and compared with its id. In a
// local repository objects are taken in the order of the segments, and one read of a piece of a segment serves CRC,
// MAC and id; with workers, each reads its own pieces, and nothing but ids and places travels between threads.
// Borg's ArchiveChecker.verify_data.
import type { MessagePort } from "node:worker_threads";
import { type Compressor, createCompressor, defaultCompression, prepareCodecs } from "../compress/index.ts";
import { type Core, coreModule, loadCore } from "../core/index.ts";
import { type KeyMaterial, Sealer } from "../crypto/material.ts";
import { IntegrityError, ObjectNotFound } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import type { Repository } from "../repository/types.ts";
import { BatchVerifier } from "./check-batch.ts";
import { MAX_DATA_SIZE } from "./constants.ts";
import type { Objects } from "./objects.ts";
import { startThread, type Thread } from "./pipeline/threads.ts";
import { SegmentObjects } from "./segment-objects.ts";

/** An object that is not what its id says. `stored`: it is there, and a repair has to delete it. */
export interface Defect {
  id: Uint8Array;
  message: string;
  stored: boolean;
}
export interface Verified {
  objects: number;
  defects: Defect[];
}
export interface VerifyOptions {
  workers: number;
  progress: (done: number) => void;
  signal?: AbortSignal | undefined;
}

/** Objects of one piece of a segment, by their place. */
export interface VerifyTask {
  file: string;
  offsets: Uint32Array;
  /** 32 bytes for each offset. */
  ids: Uint8Array;
}
interface TaskResult {
  defects: { at: number; message: string }[];
}

/** A local repository: its index says where objects are. */
interface IndexedRepository {
  readonly index: {
    size: number;
    next(slot: number): number;
    word(slot: number, i: number): number;
    copyKey(slot: number, into: Uint8Array, offset: number): void;
  };
  segmentPath(segment: number): string;
}

const TASK_OBJECTS = 2048;
const TASK_BYTES = 16 << 20;
const TASKS_PER_WORKER = 3;
/** Below this many tasks the start of threads costs more than they save. */
const FEWEST_TASKS = 3;
const BATCH = 100;

/** Reads and verifies every object of a repository. */
export async function verifyObjects(objects: Objects, options: VerifyOptions): Promise<Verified> {
  const { repository } = objects;
  if (!("segmentPath" in repository && "index" in repository)) return verifyRemote(objects, options);
  await repository.count();
  const tasks = segmentTasks(repository as unknown as IndexedRepository);
  const first: VerifyTask[] = [];
  while (first.length < FEWEST_TASKS) {
    const task = tasks.next();
    if (task.done) return verifyHere(objects, first, options);
    first.push(task.value);
  }
  const all = chain(first, tasks);
  return options.workers > 0 ? verifyInThreads(objects, all, options) : verifyHere(objects, all, options);
}

function* chain<T>(first: Iterable<T>, rest: Iterable<T>): Generator<T> {
  yield* first;
  yield* rest;
}

/** Pieces of segments, in the order of the disk. 4 bytes of memory an object, and the pieces under way. */
function* segmentTasks(repository: IndexedRepository): Generator<VerifyTask> {
  const { index } = repository;
  const order = new Uint32Array(index.size);
  for (let slot = index.next(-1), n = 0; slot >= 0; slot = index.next(slot)) order[n++] = slot;
  order.sort((a, b) => index.word(a, 0) - index.word(b, 0) || index.word(a, 1) - index.word(b, 1));
  for (let from = 0; from < order.length; ) {
    const segment = index.word(order[from]!, 0);
    const start = index.word(order[from]!, 1);
    let to = from + 1;
    for (; to < order.length && to - from < TASK_OBJECTS; to++) {
      const slot = order[to]!;
      if (index.word(slot, 0) !== segment || index.word(slot, 1) - start > TASK_BYTES) break;
    }
    const offsets = new Uint32Array(to - from);
    const ids = new Uint8Array(32 * offsets.length);
    for (let i = from; i < to; i++) {
      offsets[i - from] = index.word(order[i]!, 1);
      index.copyKey(order[i]!, ids, 32 * (i - from));
    }
    yield { file: repository.segmentPath(segment), offsets, ids };
    from = to;
  }
}

function isManifest(id: Uint8Array): boolean {
  return id.every((byte) => byte === 0);
}

/** Verifies tasks, one after the other. */
class TaskVerifier {
  readonly #segments = new SegmentObjects();
  readonly #sealer: Sealer;
  readonly #codec: Compressor;
  readonly #batch: BatchVerifier;

  constructor(material: KeyMaterial, core: Core) {
    this.#sealer = new Sealer(material, core);
    this.#codec = createCompressor(defaultCompression, core);
    this.#batch = new BatchVerifier(material, core);
  }

  run(task: VerifyTask): TaskResult {
    const { file, offsets, ids } = task;
    const result: TaskResult = { defects: [] };
    const flush = () => {
      for (const i of this.#batch.run()) this.#single(task, i, result);
    };
    for (let i = 0; i < offsets.length; i++) {
      const id = ids.subarray(32 * i, 32 * i + 32);
      let blob: Uint8Array | undefined;
      try {
        blob = this.#segments.read({ id, file, offset: offsets[i]!, size: 0 });
      } catch (e) {
        this.#defect(e, task, i, result);
        continue;
      }
      if (isManifest(id) || !this.#batch.takes(blob)) this.#single(task, i, result, blob);
      else {
        this.#batch.add(i, id, blob);
        if (this.#batch.full) flush();
      }
    }
    flush();
    return result;
  }

  /** @param blob read already */
  #single(task: VerifyTask, i: number, result: TaskResult, blob?: Uint8Array): void {
    const { file, offsets, ids } = task;
    const id = ids.subarray(32 * i, 32 * i + 32);
    try {
      const stored = blob ?? this.#segments.read({ id, file, offset: offsets[i]!, size: 0 });
      const data = this.#codec.decompress(this.#sealer.open(stored, id), MAX_DATA_SIZE);
      // The manifest's id is no hash.
      if (!isManifest(id)) this.#sealer.checkId(id, data);
    } catch (e) {
      this.#defect(e, task, i, result);
    }
  }

  #defect(e: unknown, { file }: VerifyTask, at: number, result: TaskResult): void {
    const missing = (e as NodeJS.ErrnoException).code === "ENOENT";
    if (!(e instanceof IntegrityError) && !missing) throw e;
    const message = missing ? `the segment ${file} is missing` : (e as Error).message;
    result.defects.push({ at, message });
  }

  close(): void {
    this.#segments.close();
  }
}

class Tally implements Verified {
  objects = 0;
  defects: Defect[] = [];
  readonly #options: VerifyOptions;

  constructor(options: VerifyOptions) {
    this.#options = options;
  }

  add(task: VerifyTask, result: TaskResult): void {
    this.objects += task.offsets.length;
    for (const { at, message } of result.defects)
      this.defects.push({ id: task.ids.slice(32 * at, 32 * at + 32), message, stored: true });
    this.#options.progress(this.objects);
  }
}

async function verifyHere(
  objects: Objects,
  tasks: Iterable<VerifyTask>,
  options: VerifyOptions,
): Promise<Verified> {
  await prepareCodecs("all");
  const verifier = new TaskVerifier(objects.key.material, objects.core);
  const tally = new Tally(options);
  try {
    for (const task of tasks) {
      tally.add(task, verifier.run(task));
      // Signals are delivered between tasks.
      await new Promise((resolve) => setImmediate(resolve));
      options.signal?.throwIfAborted();
    }
  } finally {
    verifier.close();
  }
  return tally;
}

async function verifyInThreads(
  objects: Objects,
  tasks: Iterator<VerifyTask>,
  options: VerifyOptions,
): Promise<Verified> {
  const tally = new Tally(options);
  const data: CheckWorkerData = { material: objects.key.material, module: coreModule() };
  const threads: Thread[] = [];
  const open = new Map<number, VerifyTask>();
  let given = 0;
  try {
    await new Promise<void>((resolve, reject) => {
      options.signal?.addEventListener("abort", () => reject(options.signal!.reason), { once: true });
      const give = (thread: Thread) => {
        const next = tasks.next();
        if (next.done) return;
        open.set(given, next.value);
        thread.post({ number: given++, task: next.value } satisfies WorkerTask);
      };
      for (let i = 0; i < options.workers; i++) {
        const thread: Thread = startThread({ role: "check", data }, reject, (message) => {
          const { number, result } = message as WorkerAnswer;
          tally.add(open.get(number)!, result);
          open.delete(number);
          give(thread);
          if (open.size === 0) resolve();
        });
        threads.push(thread);
      }
      for (let n = 0; n < TASKS_PER_WORKER; n++) for (const thread of threads) give(thread);
    });
  } finally {
    for (const thread of threads) thread.post({ stop: true });
    await Promise.all(threads.map((thread) => thread.join()));
  }
  // The same report, whoever was faster.
  tally.defects.sort((a, b) => Buffer.compare(a.id, b.id));
  return tally;
}

/** Through the repository's own reading: behind ssh, several objects are under way at a time. */
async function verifyRemote(objects: Objects, options: VerifyOptions): Promise<Verified> {
  const repository: Repository = objects.repository;
  const result: Verified = { objects: 0, defects: [] };
  let marker: unknown;
  for (;;) {
    const batch = await repository.scan(BATCH, marker);
    if (batch.ids.length === 0) return result;
    marker = batch.marker;
    for (let from = 0; from < batch.ids.length; ) {
      const rest = batch.ids.slice(from);
      let at = 0;
      try {
        for await (const blob of repository.getMany(rest)) {
          const id = rest[at]!;
          if (!blob) throw new ObjectNotFound(toHex(id), repository.displayPath);
          if (id.every((byte) => byte === 0)) objects.unpackUnidentified(blob);
          else objects.unpack(id, blob);
          at++;
        }
      } catch (e) {
        if (!(e instanceof IntegrityError) && !(e instanceof ObjectNotFound)) throw e;
        result.defects.push({ id: rest[at++]!, message: e.message, stored: e instanceof IntegrityError });
      }
      from += at;
    }
    result.objects += batch.ids.length;
    options.progress(result.objects);
    options.signal?.throwIfAborted();
  }
}

export interface CheckWorkerData {
  material: KeyMaterial;
  module: WebAssembly.Module;
}
interface WorkerTask {
  number: number;
  task: VerifyTask;
}
interface WorkerAnswer {
  number: number;
  result: TaskResult;
}

/** The worker's side: serves tasks until told to stop. */
export async function runCheckWorker(data: CheckWorkerData, port: MessagePort): Promise<void> {
  await prepareCodecs("all");
  const verifier = new TaskVerifier(data.material, loadCore(data.module));
  await new Promise<void>((resolve, reject) => {
    port.on("message", (message: WorkerTask | { stop: true }) => {
      if ("stop" in message) {
        verifier.close();
        // Deno's parentPort has no close; its worker scope has.
        if (typeof port.close === "function") port.close();
        else (globalThis as { close?: () => void }).close?.();
        resolve();
        return;
      }
      try {
        port.postMessage({
          number: message.number,
          result: verifier.run(message.task),
        } satisfies WorkerAnswer);
      } catch (e) {
        reject(e);
      }
    });
  });
}
