// What an engine of the create pipeline is given: files, setup and a place for its output.
import type { ChunkerParams } from "../../chunker/index.ts";
import type { CompressionSpec } from "../../compress/index.ts";
import type { Choice } from "../../core/choose.ts";
import type { HashIndexShare } from "../../core/hashindex.ts";
import type { KeyMaterial } from "../../crypto/material.ts";
import type { FileRange } from "../../runtime/holes.ts";
import type { FilesChanged, FreshStat, ReadRequest } from "./messages.ts";

/** How the engine reaches files; src/runtime gives the real one. */
export interface FileSource {
  /** Opens for reading, without following a final symlink unless it is `special`. Throws errors with .code. */
  open(request: ReadRequest): number;
  /** Into one of two objects that are used again and again. */
  fstat(fd: number, which: 0 | 1): FreshStat & { ino: number | bigint; dev: number };
  /** Whether a file of this device that was read to its size need not be asked for more. */
  endsAtSize(dev: number, request: ReadRequest): boolean;
  /** Reads up to n bytes into the core's memory, from the file's position or a given one; 0 at the end. */
  read(fd: number, at: number, n: number, position?: number): number;
  close(fd: number): void;
  /** Data and holes from an offset on; undefined where they cannot be told. The position is at the start then. */
  ranges(fd: number, from: number): FileRange[] | undefined;
  seek(fd: number, position: number): void;
}

/** Everything a worker needs to know, serialisable. */
export interface EngineSetup {
  material: KeyMaterial;
  compression: CompressionSpec;
  chunker: ChunkerParams;
  index: HashIndexShare;
  filesChanged: FilesChanged;
  /** --sparse: holes are not read. Only with the fixed chunker, as in Borg. */
  sparse: boolean;
  choice: Choice;
  /** Bytes of the largest compressed chunk there can be. */
  largestBlob: number;
  /** Bytes of a large file after which a piece of it ends at the next boundary; 0 where files are not divided. */
  pieceBytes: number;
  /** Bytes of the read buffer; at least twice the largest chunk. */
  bufferBytes: number;
}

/** One output slot as the engine fills it. */
export interface OutputSlot {
  entries: Uint8Array;
  view: DataView;
  entryPos: number;
  recordPos: number;
}
