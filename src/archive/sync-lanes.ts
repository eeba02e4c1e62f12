// The references of several archives counted at once, for a chunks cache that has to be brought in step: each worker
// reads an archive's item stream straight from the segments and gives back an index of it. Local repositories only;
// behind ssh the way to the server takes the time.
import type { MessagePort } from "node:worker_threads";
import { ChunkIndex } from "../cache/chunks.ts";
import { addArchive, type SyncSource } from "../cache/sync.ts";
import { createCompressor, defaultCompression, prepareCodecs } from "../compress/index.ts";
import { HashIndex } from "../core/hashindex.ts";
import { coreModule, loadCore } from "../core/index.ts";
import { type KeyMaterial, Sealer } from "../crypto/material.ts";
import { unpackAndVerifyArchive } from "../crypto/tam.ts";
import { AlcoveError } from "../errors.ts";
import { concatBytes, toHex } from "../format/bytes.ts";
import { MAX_DATA_SIZE } from "./constants.ts";
import type { Manifest } from "./manifest.ts";
import { startThread, type Thread } from "./pipeline/threads.ts";
import { SegmentObjects } from "./segment-objects.ts";

type ArchiveRef = SyncSource["archives"][number];

/** Where a local repository has its objects. */
interface Located {
  objectLocation(id: Uint8Array): { segment: number; offset: number } | undefined;
  segmentPath(segment: number): string;
}

/** Pieces of item streams, of some 130 KB, below which threads are not started: one piece takes 1.4 ms, and two threads
 *  0.4 s of CPU time to start. */
const FEWEST_PIECES = 600;
const ARCHIVES_PER_WORKER = 2;

/**
 * Indexes in the order of the archives; undefined for one that is better made by the caller, who then also meets what
 * is wrong with it. Undefined at once where threads would not pay.
 */
export async function archiveIndexes(
  manifest: Manifest,
  archives: readonly ArchiveRef[],
  workers: number,
): Promise<AsyncGenerator<ChunkIndex | undefined> | undefined> {
  const { repository } = manifest.objects;
  if (workers === 0 || archives.length < 2 || !("objectLocation" in repository)) return undefined;
  let pieces = 0;
  for (const archive of archives) {
    pieces += (await itemsOf(manifest, archive))?.length ?? 0;
    if (pieces >= FEWEST_PIECES) return inThreads(manifest, archives, Math.min(workers, archives.length));
  }
  return undefined;
}

/** The objects of an archive's item stream; undefined where something is wrong with the archive. */
async function itemsOf({ objects, key }: Manifest, archive: ArchiveRef): Promise<Uint8Array[] | undefined> {
  try {
    const data = objects.unpack(archive.id, await objects.repository.get(archive.id));
    const items = key.unpackAndVerifyArchive(data, { forceNotRequired: true }).metadata.get("items");
    if (!Array.isArray(items) || !items.every((id) => id instanceof Uint8Array && id.length === 32))
      return undefined;
    return items.map((id: Uint8Array) => id.slice());
  } catch (e) {
    if (e instanceof AlcoveError) return undefined;
    throw e;
  }
}

async function* inThreads(
  manifest: Manifest,
  archives: readonly ArchiveRef[],
  workers: number,
): AsyncGenerator<ChunkIndex | undefined> {
  const data: SyncWorkerData = {
    material: manifest.key.material,
    module: coreModule(),
  };
  const threads: { thread: Thread; busy: number }[] = [];
  const answers = new Map<number, Uint8Array | undefined>();
  let failure: Error | undefined;
  let wake: () => void = () => {};
  const fail = (e: Error): void => {
    failure ??= e;
    wake();
  };
  for (let i = 0; i < workers; i++) {
    const lane = {
      busy: 0,
      thread: startThread({ role: "sync", data }, fail, (message) => {
        const { number, index } = message as SyncAnswer;
        lane.busy--;
        answers.set(number, index);
        wake();
      }),
    };
    threads.push(lane);
  }
  let given = 0;
  const give = async (): Promise<void> => {
    const archive = archives[given]!;
    const task = await taskOf(manifest, archive, given);
    if (!task) answers.set(given++, undefined);
    else {
      given++;
      const lane = threads.reduce((a, b) => (b.busy < a.busy ? b : a));
      lane.busy++;
      lane.thread.post(task);
    }
  };
  try {
    for (let taken = 0; taken < archives.length; taken++) {
      while (given < archives.length && given - taken < ARCHIVES_PER_WORKER * workers) await give();
      while (!answers.has(taken)) {
        if (failure) throw failure;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const bytes = answers.get(taken);
      answers.delete(taken);
      yield bytes && new ChunkIndex(HashIndex.parse(bytes, 3));
    }
  } finally {
    for (const { thread } of threads) thread.post({ stop: true });
    await Promise.all(threads.map(({ thread }) => thread.join()));
  }
}

async function taskOf(
  manifest: Manifest,
  archive: ArchiveRef,
  number: number,
): Promise<SyncTask | undefined> {
  const items = await itemsOf(manifest, archive);
  if (!items) return undefined;
  const repository = manifest.objects.repository as unknown as Located;
  const places = new Map<string, SyncPlace>();
  for (const id of [archive.id, ...items]) {
    const at = repository.objectLocation(id);
    if (!at) return undefined;
    places.set(toHex(id), { file: repository.segmentPath(at.segment), offset: at.offset });
  }
  return { number, archive: { id: archive.id, name: archive.name }, places };
}

export interface SyncWorkerData {
  material: KeyMaterial;
  module: WebAssembly.Module;
}
interface SyncPlace {
  file: string;
  offset: number;
}
interface SyncTask {
  number: number;
  archive: ArchiveRef;
  /** By hexadecimal id. */
  places: Map<string, SyncPlace>;
}
interface SyncAnswer {
  number: number;
  /** The bytes of an index file; undefined if anything was wrong. */
  index: Uint8Array | undefined;
}

/** The worker's side: counts archives until told to stop. */
export async function runSyncWorker(data: SyncWorkerData, port: MessagePort): Promise<void> {
  await prepareCodecs("all");
  const core = loadCore(data.module);
  const sealer = new Sealer(data.material, core);
  const codec = createCompressor(defaultCompression, core);
  const segments = new SegmentObjects();
  const count = async ({ archive, places }: SyncTask): Promise<Uint8Array | undefined> => {
    const index = new ChunkIndex();
    const source = {
      async *plain(ids: readonly Uint8Array[]) {
        for (const id of ids) {
          const stored = segments.read({ id, size: 0, ...places.get(toHex(id))! });
          const plain = codec.decompress(sealer.open(stored, id), MAX_DATA_SIZE);
          sealer.checkId(id, plain);
          yield { data: plain, csize: stored.length };
        }
      },
      unpackArchive: (bytes: Uint8Array) => unpackAndVerifyArchive(data.material, bytes, { required: false }),
    };
    try {
      await addArchive(source, archive, index);
    } catch {
      // Whatever it is, the main thread meets it again, where it can be told.
      return undefined;
    }
    return concatBytes(...index.index.serialize());
  };
  await new Promise<void>((resolve, reject) => {
    port.on("message", (message: SyncTask | { stop: true }) => {
      if ("stop" in message) {
        segments.close();
        // Deno's parentPort has no close; its worker scope has.
        if (typeof port.close === "function") port.close();
        else (globalThis as { close?: () => void }).close?.();
        resolve();
        return;
      }
      count(message).then((index) => {
        const answer: SyncAnswer = { number: message.number, index };
        port.postMessage(answer, index ? [index.buffer as ArrayBuffer] : []);
      }, reject);
    });
  });
}
