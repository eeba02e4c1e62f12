// The worker's side of extraction: reads, verifies, decrypts and decompresses objects, writes files and their
// attributes. Messages in, messages out; one batch at a time.
import type { MessagePort } from "node:worker_threads";
import { prepareCodecs } from "../compress/index.ts";
import { loadCore } from "../core/index.ts";
import type { KeyMaterial } from "../crypto/material.ts";
import { AlcoveError, AlcoveWarning } from "../errors.ts";
import { BatchOpener } from "./batch-opener.ts";
import {
  ID_BYTES,
  LOCATED_BYTES,
  SEALED_HEADER,
  sent,
  type WorkerBatch,
  type WorkerResult,
} from "./extract-batch.ts";
import { ExtractedFile, type FileOptions } from "./extract-file.ts";
import { ExtractTree } from "./extract-tree.ts";
import type { Item } from "./item.ts";
import { ItemDecoder } from "./item-decoder.ts";
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

/** What of an item makes its file. */
const WANTED = new Set<string>([
  ...["mode", "uid", "gid", "user", "group", "mtime", "atime", "birthtime", "size", "chunks_healthy"],
  ...["bsdflags", "xattrs", "acl_access", "acl_default", "acl_extended", "acl_nfs4"],
]);

/** An object of a batch: at hand, or where it lies. `size` in bytes, of what is known of it. */
type StoredObject = { id: Uint8Array; blob: Uint8Array; size: number } | ObjectLocation;

function storedObjects(
  { objects, sealed }: WorkerBatch,
  segments: ReadonlyMap<number, string>,
): StoredObject[] {
  const view = new DataView(objects);
  const out: StoredObject[] = [];
  for (let at = 0; at < objects.byteLength; ) {
    const id = new Uint8Array(objects, at, ID_BYTES);
    const size = view.getUint32(at + ID_BYTES);
    if (sealed) {
      out.push({ id, blob: new Uint8Array(objects, at + SEALED_HEADER, size), size });
      at += SEALED_HEADER + size;
    } else {
      const segment = view.getUint32(at + ID_BYTES + 4);
      out.push({ id, file: segments.get(segment)!, offset: view.getUint32(at + ID_BYTES + 8), size });
      at += LOCATED_BYTES;
    }
  }
  return out;
}

/** Serves batches until told to stop. */
export async function runExtractWorker(data: ExtractWorkerData, port: MessagePort): Promise<void> {
  await prepareCodecs("all");
  const core = loadCore(data.module);
  const large = new LargeOpener(data.material, core);
  const segments = new SegmentObjects();
  const files = new Map<number, string>();
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

  const blobOf = (object: StoredObject, verify = true): Uint8Array =>
    "blob" in object ? object.blob : tree.withDescriptor(() => segments.read(object, verify));
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
          blob = blobOf(object, false);
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
  const write = (item: Item, from: number, to: number): number => {
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
    } catch (e) {
      if (!(e instanceof AlcoveWarning)) throw e;
      warnings = [e];
    }
    return bytes;
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
      if (!("items" in message)) return;
      for (const [segment, file] of message.segments) files.set(segment, file);
      const result: WorkerResult = { batch: message.batch, bytes: [], warnings: [] };
      const tell = (file: number): void => {
        for (const w of warnings) result.warnings.push({ file, warning: sent(w) });
        warnings = [];
      };
      const paths = new Map(message.paths);
      objects = storedObjects(message, files);
      openFrom = openTo = 0;
      const decoder = new ItemDecoder(WANTED);
      decoder.feed(new Uint8Array(message.items));
      let from = 0;
      for (const [i, count] of message.counts.entries()) {
        const item = decoder.next()!;
        item.path = paths.get(i) ?? item.path;
        try {
          result.bytes.push(write(item, from, from + count));
        } catch (e) {
          result.failure = sent(e as Error);
          break;
        }
        tell(i);
        from += count;
      }
      objects = [];
      warnings = [];
      current = "";
      restorer.flush();
      // What only the tools say, after the batch: it belongs to one of its files.
      if (result.bytes.length > 0) tell(result.bytes.length - 1);
      port.postMessage(result);
    });
  });
}

/** Lets the thread end. Deno's parentPort has no close; its worker scope has. */
function endPort(port: MessagePort): void {
  if (typeof port.close === "function") port.close();
  else (globalThis as { close?: () => void }).close?.();
}
