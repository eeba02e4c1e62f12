// The worker's side of extraction: reads, verifies, decrypts and decompresses objects, writes files and their
// attributes. Messages in, messages out; one batch at a time.
import type { MessagePort } from "node:worker_threads";
import { prepareCodecs } from "../compress/index.ts";
import { loadCore } from "../core/index.ts";
import type { KeyMaterial } from "../crypto/material.ts";
import { AlcoveError, AlcoveWarning, backupOSError } from "../errors.ts";
import { BatchOpener } from "./batch-opener.ts";
import { ExtractedFile, type FileOptions } from "./extract-file.ts";
import type { SealedObject, SentError, WorkerBatch, WorkerResult } from "./extract-lanes.ts";
import { ExtractTree } from "./extract-tree.ts";
import type { Item } from "./item.ts";
import { LargeOpener } from "./large-opener.ts";
import { MetadataRestorer } from "./metadata-restore.ts";
import { problemWarning } from "./restore-warnings.ts";
import { type ObjectLocation, SegmentObjects } from "./segment-objects.ts";

export interface ExtractWorkerData {
  material: KeyMaterial;
  module: WebAssembly.Module;
  /** Absolute path of the directory extracted into. */
  root: string;
  options: FileOptions;
}

/** Small objects that are opened together: what stays in the processor's second cache. */
const BATCH_OBJECTS = 64;
const BATCH_BYTES = 512 << 10;

/** An object of a message: at hand, or where it lies. `size` in bytes, of what is known of it. */
type StoredObject = (SealedObject & { size: number }) | ObjectLocation;

function storedObjects({ files, objects }: WorkerBatch): StoredObject[] {
  const out: StoredObject[] = [];
  let at = 0;
  for (const { sealed, locations } of files) {
    for (const size of sealed ?? []) {
      const id = new Uint8Array(objects!, at, 32);
      out.push({ id, blob: new Uint8Array(objects!, at + 32, size), size });
      at += 32 + size;
    }
    if (!sealed) out.push(...locations);
  }
  return out;
}

/** Serves batches until told to stop. */
export async function runExtractWorker(data: ExtractWorkerData, port: MessagePort): Promise<void> {
  await prepareCodecs("all");
  const core = loadCore(data.module);
  const large = new LargeOpener(data.material, core);
  const segments = new SegmentObjects();
  const tree = new ExtractTree(data.root);
  let warnings: AlcoveWarning[] = [];
  let current = "";
  const restorer = new MetadataRestorer({
    ...data.options.restore,
    onProblem: (p) => {
      const w = problemWarning(p, current);
      if (w) warnings.push(w);
    },
  });

  const opener = new BatchOpener(data.material, core);
  /** The objects of all files of the message. */
  let objects: StoredObject[] = [];
  /** Those opened together at present: [from, to), and where in the core's memory the plaintexts of the good ones lie. */
  let openFrom = 0;
  let openTo = 0;
  const plainAt = new Uint32Array(BATCH_OBJECTS);
  const plainLength = new Int32Array(BATCH_OBJECTS);
  const keep = (n: number, at: number, length: number): void => {
    plainAt[n] = at;
    plainLength[n] = length;
  };

  const blobOf = (object: StoredObject): Uint8Array =>
    "blob" in object ? object.blob : tree.withDescriptor(() => segments.read(object));
  /** Opens the next small objects together. What cannot be read or opened so is tried by itself when its file has its
   *  turn: the error is that file's then. */
  const openNext = (): void => {
    const from = openTo;
    let to = from;
    for (let bytes = 0; to < objects.length && to - from < BATCH_OBJECTS; to++) {
      bytes += objects[to]!.size;
      if (bytes > BATCH_BYTES) break;
    }
    plainLength.fill(-1);
    openFrom = from;
    openTo = from + 1;
    if (to - from < 2) return;
    const some = objects.slice(from, to);
    const blobs = function* (): Generator<Uint8Array | undefined> {
      for (const object of some) {
        let blob: Uint8Array | undefined;
        try {
          blob = blobOf(object);
        } catch (e) {
          if (!(e instanceof AlcoveError) && !(e as NodeJS.ErrnoException).code) throw e;
        }
        yield blob;
      }
    };
    openTo =
      from +
      opener.openInPlace(
        some.map(({ id }) => id),
        blobs(),
        keep,
      );
  };
  /** A view that stays valid until the next one is asked for. */
  const contentOf = (n: number): Uint8Array => {
    while (openTo <= n) openNext();
    const length = plainLength[n - openFrom]!;
    if (length >= 0) {
      const at = plainAt[n - openFrom]!;
      return core.u8.subarray(at, at + length);
    }
    const object = objects[n]!;
    return large.open(blobOf(object), object.id);
  };

  /** @param from, to its objects */
  const write = (item: Item, from: number, to: number): { bytes: number; warnings: SentError[] } => {
    let bytes = 0;
    warnings = [];
    current = item.path;
    try {
      const file = new ExtractedFile(tree, item, data.options, restorer);
      try {
        for (let n = from; n < to; n++) {
          const content = contentOf(n);
          file.write(content);
          bytes += content.length;
        }
      } catch (e) {
        throw file.abort(e);
      }
      warnings.push(...file.finish());
      return { bytes, warnings: warnings.map(sent) };
    } catch (e) {
      if (e instanceof AlcoveWarning) return { bytes, warnings: [sent(e)] };
      throw e;
    }
  };

  await new Promise<void>((resolve) => {
    port.on("message", (message: WorkerBatch | { stop: true } | { index: unknown }) => {
      if ("stop" in message) {
        segments.close();
        tree.close();
        endPort(port);
        resolve();
        return;
      }
      if (!("files" in message)) return;
      const result: WorkerResult = { batch: message.batch, files: [] };
      objects = storedObjects(message);
      openFrom = openTo = 0;
      let from = 0;
      for (const { item, locations, sealed } of message.files) {
        const to = from + (sealed ?? locations).length;
        try {
          result.files.push(write(item, from, to));
        } catch (e) {
          result.failure = sent(e as Error);
          break;
        }
        from = to;
      }
      objects = [];
      warnings = [];
      current = "";
      restorer.flush();
      // What only the tools say, after the batch: it belongs to one of its files.
      result.files.at(-1)?.warnings.push(...warnings.map(sent));
      port.postMessage(result);
    });
  });
}

/** Lets the thread end. Deno's parentPort has no close; its worker scope has. */
function endPort(port: MessagePort): void {
  if (typeof port.close === "function") port.close();
  else (globalThis as { close?: () => void }).close?.();
}

function sent(e: Error): SentError {
  if (e instanceof AlcoveError) return { msgid: e.msgid, args: e.args, message: e.message };
  if ((e as NodeJS.ErrnoException).code) return sent(backupOSError("repository", e as NodeJS.ErrnoException));
  return { msgid: "Error", args: [e.stack ?? e.message], message: e.stack ?? e.message };
}
