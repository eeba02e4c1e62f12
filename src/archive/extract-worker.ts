// The worker's side of extraction: reads, verifies, decrypts and decompresses objects, writes files and their
// attributes. Messages in, messages out; one batch at a time.
import type { MessagePort } from "node:worker_threads";
import { createCompressor, defaultCompression, prepareCodecs } from "../compress/index.ts";
import { loadCore } from "../core/index.ts";
import { type KeyMaterial, Sealer } from "../crypto/material.ts";
import { AlcoveError, AlcoveWarning, backupOSError } from "../errors.ts";
import { MAX_DATA_SIZE } from "./constants.ts";
import { ExtractedFile, type FileOptions } from "./extract-file.ts";
import type { SealedObject, SentError, WorkerBatch, WorkerFile, WorkerResult } from "./extract-lanes.ts";
import { ExtractTree } from "./extract-tree.ts";
import { MetadataRestorer } from "./metadata-restore.ts";
import { problemWarning } from "./restore-warnings.ts";
import { SegmentObjects } from "./segment-objects.ts";

export interface ExtractWorkerData {
  material: KeyMaterial;
  module: WebAssembly.Module;
  /** Absolute path of the directory extracted into. */
  root: string;
  options: FileOptions;
}

const NO_OBJECTS = new Uint8Array(0);

/** Serves batches until told to stop. */
export async function runExtractWorker(data: ExtractWorkerData, port: MessagePort): Promise<void> {
  await prepareCodecs("all");
  const core = loadCore(data.module);
  const sealer = new Sealer(data.material, core);
  const codec = createCompressor(defaultCompression, core);
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

  /** What is left of the batch's fetched objects. */
  let objects = NO_OBJECTS;
  const sealed = function* (work: WorkerFile): Generator<SealedObject> {
    for (const size of work.sealed ?? []) {
      const object = { id: objects.subarray(0, 32), blob: objects.subarray(32, 32 + size) };
      objects = objects.subarray(32 + size);
      yield object;
    }
    for (const at of work.locations) yield { id: at.id, blob: tree.withDescriptor(() => segments.read(at)) };
  };

  const write = (work: WorkerFile): { bytes: number; warnings: SentError[] } => {
    const { item } = work;
    let bytes = 0;
    warnings = [];
    current = item.path;
    try {
      const file = new ExtractedFile(tree, item, data.options, restorer);
      try {
        for (const { id, blob } of sealed(work)) {
          const content = codec.decompress(sealer.open(blob, id), MAX_DATA_SIZE);
          sealer.checkId(id, content);
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
      let here = message.objects ? new Uint8Array(message.objects) : NO_OBJECTS;
      for (const file of message.files) {
        // A file that failed may have left some of its objects unread.
        objects = here;
        here = here.subarray((file.sealed ?? []).reduce((sum, size) => sum + 32 + size, 0));
        try {
          result.files.push(write(file));
        } catch (e) {
          result.failure = sent(e as Error);
          break;
        }
      }
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
