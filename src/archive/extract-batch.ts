// What travels between the main thread and those that write files. Items go as they are stored, and objects as a table:
// as objects of JavaScript with an array for each id, messages took a tenth of all the time of an extraction, and as much
// again to clear away.
import { AlcoveError, backupOSError, errorFromRemote } from "../errors.ts";
import type { ChunkRef } from "./item.ts";

/** A located object: the id, then size, segment and offset. A sealed one: the id, its size, and then itself. */
export const ID_BYTES = 32;
export const LOCATED_BYTES = ID_BYTES + 12;
export const SEALED_HEADER = ID_BYTES + 4;

export interface WorkerBatch {
  batch: number;
  /** Items of the files as they are stored, one behind the other. */
  items: ArrayBuffer;
  /** How many objects each file has. */
  counts: number[];
  objects: ArrayBuffer;
  /** Of a remote repository: the objects themselves, not where they are. */
  sealed: boolean;
  /** Files of segments that this thread has not been told of yet, by number. */
  segments: [number, string][];
  /** Paths of files that are not extracted to those of their items. */
  paths: [number, string][];
}

export interface WorkerResult {
  batch: number;
  /** Of each file that was written or given up. */
  bytes: number[];
  warnings: { file: number; warning: SentError }[];
  failure?: SentError;
}

export interface SentError {
  msgid: string;
  args: readonly unknown[];
  message: string;
}

export function sent(e: Error): SentError {
  if (e instanceof AlcoveError) return { msgid: e.msgid, args: e.args, message: e.message };
  if ((e as NodeJS.ErrnoException).code) return sent(backupOSError("repository", e as NodeJS.ErrnoException));
  return { msgid: "Error", args: [e.stack ?? e.message], message: e.stack ?? e.message };
}

export function received({ msgid, args, message }: SentError): Error {
  return errorFromRemote(msgid, args) ?? new AlcoveError(message, msgid);
}

/** Bytes that grow. */
class Gathered {
  #bytes = new Uint8Array(1 << 16);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  add(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  addNumber(n: number): void {
    this.#room(4);
    this.#view.setUint32(this.#length, Math.min(n, 0xffffffff));
    this.#length += 4;
  }

  /** A copy of its own; what comes is gathered anew. */
  take(): ArrayBuffer {
    const copy = this.#bytes.buffer.slice(0, this.#length);
    this.#length = 0;
    return copy;
  }

  #room(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + more));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

/** Gathers the files of the next batch. */
export class BatchWriter {
  readonly #items = new Gathered();
  readonly #objects = new Gathered();
  #counts: number[] = [];
  #paths: [number, string][] = [];
  #segments = new Set<number>();

  /** Segments that objects of this batch are in. */
  get segments(): Iterable<number> {
    return this.#segments;
  }

  /** The next file; its objects follow. @param path where it is not extracted to the item's */
  file(encoded: Uint8Array, path: string | undefined): void {
    if (path !== undefined) this.#paths.push([this.#counts.length, path]);
    this.#items.add(encoded);
    this.#counts.push(0);
  }

  located({ id, size }: ChunkRef, segment: number, offset: number): void {
    this.#counts[this.#counts.length - 1]!++;
    this.#objects.add(id);
    this.#objects.addNumber(size);
    this.#objects.addNumber(segment);
    this.#objects.addNumber(offset);
    this.#segments.add(segment);
  }

  sealed(id: Uint8Array, blob: Uint8Array): void {
    this.#counts[this.#counts.length - 1]!++;
    this.#objects.add(id);
    this.#objects.addNumber(blob.length);
    this.#objects.add(blob);
  }

  /** The batch, with buffers that may be handed over; the next one begins. */
  take(): Pick<WorkerBatch, "items" | "counts" | "objects" | "paths"> {
    const taken = {
      items: this.#items.take(),
      counts: this.#counts,
      objects: this.#objects.take(),
      paths: this.#paths,
    };
    this.#counts = [];
    this.#paths = [];
    this.#segments = new Set();
    return taken;
  }
}
