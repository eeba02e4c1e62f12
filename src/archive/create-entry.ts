// What a backup keeps of a path until it is in the item stream.

import type { FileStamp } from "../cache/files.ts";
import type { ChunkerParams } from "../chunker/index.ts";
import type { CompressionSpec } from "../compress/index.ts";
import type { AlcoveWarning } from "../errors.ts";
import { fs, type Stat } from "../runtime/index.ts";
import type { ChunkRef, Item } from "./item.ts";
import type { FileRun } from "./pipeline/file-run.ts";
import type { PendingFile } from "./pipeline/pending-file.ts";

export interface Entry {
  path: string;
  item: Item | undefined;
  status: string | undefined;
  problem: AlcoveWarning | undefined;
  file: PendingFile | undefined;
  pathHash: Uint8Array | undefined;
  facts: FileStamp | undefined;
  /** The first of several hard links, which carries the chunks. */
  master: Entry | undefined;
  failed: boolean;
  /** It was read a second time, as its name had been given to another file meanwhile. */
  again: boolean;
  parts: number;
  /** Many entries in one: plain files, and what was found between them. */
  run: FileRun | undefined;
}

export function newEntry(path: string): Entry {
  return {
    path,
    item: undefined,
    status: undefined,
    problem: undefined,
    file: undefined,
    pathHash: undefined,
    facts: undefined,
    master: undefined,
    failed: false,
    again: false,
    parts: 0,
    run: undefined,
  };
}

export function pendingFile(
  path: string,
  stat: { size: number; ino: number | bigint; mode: number; ctimeSec: number; ctimeNsec: number },
  special: boolean,
): PendingFile {
  const { size, ino, mode, ctimeSec, ctimeNsec } = stat;
  return {
    request: { path, special, size, ino, mode, ctimeSec, ctimeNsec },
    chunks: [],
    done: false,
    flags: 0,
    fresh: undefined,
    error: undefined,
    written: 0,
  };
}

export function factsOf(stat: Stat): FileStamp {
  const { size, ino, ctimeSec, ctimeNsec, mtimeSec, mtimeNsec } = stat;
  return { size, ino, ctimeSec, ctimeNsec, mtimeSec, mtimeNsec };
}

export function statIfThere(path: string, stat: Stat): Stat | undefined {
  try {
    return fs.lstat(path, stat);
  } catch {
    return undefined; // it went away after it was walked
  }
}

export function statTarget(path: string): Stat | undefined {
  try {
    return fs.stat(path);
  } catch {
    return undefined; // a dangling symlink is archived as the symlink it is
  }
}

/** Bytes of the largest chunk that a chunker makes. */
export function largestChunk(chunker: ChunkerParams): number {
  return chunker.algo === "fixed" ? Math.max(chunker.blockSize, chunker.headerSize) : 2 ** chunker.maxExp;
}

/** Room for the largest object. A chunk that does not compress grows by a few bytes; obfuscation may add up to its own size
 *  and more. */
export function largestEntry(chunker: ChunkerParams, compression: CompressionSpec): number {
  const chunk = largestChunk(chunker);
  return chunk + (chunk >> 6) + 65536 + (compression.name === "obfuscate" ? chunk : 0);
}

/** Bytes for objects in a slot that a worker fills. */
export function slotBytes(chunker: ChunkerParams, compression: CompressionSpec): number {
  return Math.max(largestEntry(chunker, compression), 4 << 20);
}

/** Size of the pieces in which workers share large files: four of the largest chunks. The search for the end of one reads
 *  a sixth of that. */
export function pieceBytes(chunker: ChunkerParams): number {
  return Math.min(Math.max(4 * largestChunk(chunker), 1 << 20), 64 << 20);
}

/** What a checkpoint keeps of an entry that is not in the item stream yet: part files with the chunks that are stored.
 *  `whole`: its chunks are referenced once more by the item that comes later, and not by the entry itself. */
export function* partFiles(entry: Entry): Generator<{ part: Item; whole: boolean }> {
  const { run, item, file } = entry;
  for (const part of run?.partItems() ?? []) yield { part, whole: true };
  if (!item) return;
  if (!file) {
    if (item.chunks?.length) yield { part: partOf(item, 1, item.chunks), whole: true };
  } else if (!file.error && file.chunks.length > file.written) {
    const chunks = file.chunks.slice(file.written);
    file.written = file.chunks.length;
    yield { part: partOf(item, ++entry.parts, chunks), whole: false };
  }
}

function partOf(item: Item, part: number, chunks: ChunkRef[]): Item {
  const size = chunks.reduce((sum, c) => sum + c.size, 0);
  return { ...item, path: `${item.path}.borg_part_${part}`, part, chunks, size };
}
