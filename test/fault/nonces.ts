// The AES-CTR counters of everything that was ever written to segments. Two different objects whose counter ranges
// overlap under one key would give away the xor of their plaintexts.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { blocksOf, ENVELOPE_SIZE, nonceOf } from "../../src/crypto/material.ts";
import { HEADER_SIZE, MAGIC, MAGIC_SIZE, PUT_HEADER_SIZE, TAG_PUT, u32 } from "../../src/repository/entry.ts";
import type { Disk } from "./memory-storage.ts";
import type { RecordingStorage } from "./recording-storage.ts";

export interface Sealed {
  /** First counter block, and the one behind the last. */
  start: number;
  end: number;
  /** Tells equal objects (a copy made by compaction) from different ones. */
  digest: string;
  /** Number of the operation that began to write it. */
  operation: number;
}

/** Sealed objects in a segment's bytes. @param operationAt which operation wrote an offset */
export function sealedIn(bytes: Uint8Array, operationAt: (offset: number) => number = () => 0): Sealed[] {
  const found: Sealed[] = [];
  if (!MAGIC.every((b, i) => bytes[i] === b)) return found;
  for (let at = MAGIC_SIZE; at + HEADER_SIZE <= bytes.length; ) {
    const size = u32(bytes, at + 4);
    if (size < HEADER_SIZE || at + size > bytes.length) break;
    const blob = bytes.subarray(at + PUT_HEADER_SIZE, at + size);
    if (bytes[at + 8] === TAG_PUT && blob.length >= ENVELOPE_SIZE) {
      const start = nonceOf(blob);
      const end = start + blocksOf(blob.length - ENVELOPE_SIZE);
      const digest = createHash("sha256").update(blob).digest("hex");
      found.push({ start, end, digest, operation: operationAt(at) });
    }
    at += size;
  }
  return found;
}

/** Sealed objects of every segment that was written while recording, whatever became of it. */
export function sealedInRecord(storage: RecordingStorage): Sealed[] {
  const files = new Map<number, { at: number; bytes: Uint8Array; operation: number }[]>();
  for (const [operation, o] of storage.operations.entries()) {
    if (o.kind !== "write") continue;
    const writes = files.get(o.file) ?? [];
    writes.push({ at: o.at, bytes: o.bytes, operation });
    files.set(o.file, writes);
  }
  return [...files.values()].flatMap((writes) => {
    const bytes = new Uint8Array(Math.max(...writes.map((w) => w.at + w.bytes.length)));
    for (const w of [...writes].reverse()) bytes.set(w.bytes, w.at);
    return sealedIn(bytes, (offset) => {
      const write = writes.find((w) => w.at <= offset && offset < w.at + w.bytes.length);
      return write?.operation ?? 0;
    });
  });
}

/** Sealed objects in a repository's segment files as they are now. */
export function sealedInRepository(path: string): Sealed[] {
  return readdirSync(join(path, "data"), { recursive: true, withFileTypes: true, encoding: "utf8" })
    .filter((e) => e.isFile())
    .flatMap((e) => sealedIn(new Uint8Array(readFileSync(join(e.parentPath, e.name)))));
}

/** Sealed objects in the segments of a disk in memory. */
export function sealedOnDisk(disk: Disk): Sealed[] {
  return [...disk.entries].flatMap(([path, entry]) =>
    entry !== "dir" && path.includes("/repo/data/") ? sealedIn(entry.bytes.subarray(0, entry.size)) : [],
  );
}

/** @returns the first two different objects that share a counter, undefined if there are none */
export function reused(all: readonly Sealed[]): [Sealed, Sealed] | undefined {
  const distinct = [...new Map(all.map((s) => [s.digest, s])).values()].sort((a, b) => a.start - b.start);
  for (let i = 1; i < distinct.length; i++)
    if (distinct[i]!.start < distinct[i - 1]!.end) return [distinct[i - 1]!, distinct[i]!];
  return undefined;
}
