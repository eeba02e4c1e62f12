// The metadata object of an archive (Borg's ArchiveItem): name, times, who made it and how, and the ids of the
// chunks of its item stream. Keys unknown to this program are kept when an archive is renamed.

import { type ArchiveTotals, archiveTotals } from "../cache/archive-sizes.ts";
import type { Metadata } from "../crypto/tam.ts";
import { IntegrityError } from "../errors.ts";
import { fsDecode } from "../format/bytes.ts";
import { parseTimestamp } from "../format/time.ts";

/** Chunker parameters as stored: ["buzhash", 19, 23, 21, 4095] or ["fixed", block, header]. */
export type StoredChunkerParams = readonly (string | number)[];

export interface ArchiveMetadata {
  name: string;
  comment: string;
  /** Ids (32 bytes) of the chunks of the item stream. */
  items: Uint8Array[];
  cmdline: string[];
  hostname: string;
  username: string;
  /** UTC, ISO, microseconds. */
  time: string;
  timeEnd: string;
  cwd: string;
  chunkerParams: StoredChunkerParams | undefined;
  /** Totals since Borg 1.2; undefined in archives of older versions. */
  totals: ArchiveTotals | undefined;
  recreateCmdline: string[] | undefined;
  /** The whole of it as stored, for rewriting. */
  raw: Metadata;
}

/** @throws IntegrityError if a required key is missing or of the wrong type */
export function decodeArchiveMetadata(raw: Metadata): ArchiveMetadata {
  const version = raw.get("version");
  if (version !== 1)
    throw new IntegrityError("The archive's metadata has a version this program does not know.");
  const items = raw.get("items");
  if (!Array.isArray(items) || !items.every((id) => id instanceof Uint8Array && id.length === 32)) {
    throw new IntegrityError("The archive's metadata has no valid list of item chunks.");
  }
  const time = text(raw, "time");
  if (time === undefined) throw new IntegrityError("The archive's metadata has no time.");
  parseTimestamp(time);
  const nfiles = raw.get("nfiles");
  const number = (key: string): number => Number(raw.get(key) ?? 0);
  return {
    name: required(raw, "name"),
    comment: text(raw, "comment") ?? "",
    items: items.map((id: Uint8Array) => id.slice()),
    cmdline: texts(raw.get("cmdline")) ?? [],
    hostname: text(raw, "hostname") ?? "",
    username: text(raw, "username") ?? "",
    time,
    timeEnd: text(raw, "time_end") || time,
    cwd: text(raw, "cwd") ?? "",
    chunkerParams: chunkerParams(raw.get("chunker_params")),
    totals: nfiles === undefined || nfiles === null ? undefined : archiveTotals(number),
    recreateCmdline: texts(raw.get("recreate_cmdline")),
    raw,
  };
}

function text(raw: Metadata, key: string): string | undefined {
  const v = raw.get(key);
  return v instanceof Uint8Array ? fsDecode(v) : undefined;
}

function required(raw: Metadata, key: string): string {
  const v = text(raw, key);
  if (v === undefined) throw new IntegrityError(`The archive's metadata has no ${key}.`);
  return v;
}

function texts(v: unknown): string[] | undefined {
  if (!Array.isArray(v)) return undefined;
  return v.map((e) => (e instanceof Uint8Array ? fsDecode(e) : String(e)));
}

function chunkerParams(v: unknown): StoredChunkerParams | undefined {
  if (!Array.isArray(v)) return undefined;
  const parts = v.map((e) => (e instanceof Uint8Array ? fsDecode(e) : Number(e)));
  // Archives of Borg before 1.2 have the four numbers without the algorithm's name.
  return typeof parts[0] === "number" ? ["buzhash", ...parts] : parts;
}
