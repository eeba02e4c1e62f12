// Sizes of archives that had to be counted once, kept in the cache's directory. Borg's file pre12-meta has the totals of
// archives that were made before Borg 1.2 and do not record them; these never change. A file of our own has deduplicated
// sizes: what only one archive refers to changes with every other archive, and is the same as long as the manifest is.
// Both are hints: whatever is wrong with a file, it is as if it were not there. Borg's cache.py, pre12_meta.

import { toHex } from "../format/bytes.ts";
import { crc32 } from "../runtime/crc32.ts";
import type { Storage } from "../storage/types.ts";

const TOTALS = "pre12-meta";
const DEDUPLICATED = "alcove-deduplicated";

/** Sizes in bytes of the files of an archive, and how many they are; *Parts count checkpoint part files. */
export interface ArchiveTotals {
  size: number;
  csize: number;
  nfiles: number;
  sizeParts: number;
  csizeParts: number;
  nfilesParts: number;
}

/** By the names that they have in an archive's metadata and in pre12-meta. */
export function archiveTotals(number: (name: string) => number): ArchiveTotals {
  return {
    size: number("size"),
    csize: number("csize"),
    nfiles: number("nfiles"),
    sizeParts: number("size_parts"),
    csizeParts: number("csize_parts"),
    nfilesParts: number("nfiles_parts"),
  };
}

interface Deduplicated {
  /** Hex of the id of the manifest for which they were counted. */
  manifest: string;
  /** Bytes by the archive's id. */
  sizes: Map<string, number>;
}

export class ArchiveSizes {
  readonly #files: Storage;
  readonly #manifestId: () => string;
  #totals: Map<string, unknown> | undefined;
  #deduplicated: Deduplicated | undefined;
  readonly #changed = new Set<string>();

  /** @param files the cache's directory @param manifestId hex of the id of the manifest that archives are counted for */
  constructor(files: Storage, manifestId: () => string) {
    this.#files = files;
    this.#manifestId = manifestId;
  }

  totals(archiveId: Uint8Array): ArchiveTotals | undefined {
    const found = this.#knownTotals().get(toHex(archiveId));
    if (!isRecord(found)) return undefined;
    const number = (name: string): number => (isSize(found[name]) ? found[name] : Number.NaN);
    const totals = archiveTotals(number);
    return Object.values(totals).includes(Number.NaN) ? undefined : totals;
  }

  setTotals(archiveId: Uint8Array, totals: ArchiveTotals): void {
    this.#knownTotals().set(toHex(archiveId), {
      size: totals.size,
      csize: totals.csize,
      nfiles: totals.nfiles,
      size_parts: totals.sizeParts,
      csize_parts: totals.csizeParts,
      nfiles_parts: totals.nfilesParts,
    });
    this.#changed.add(TOTALS);
  }

  deduplicated(archiveId: Uint8Array): number | undefined {
    return this.#knownDeduplicated().get(toHex(archiveId));
  }

  setDeduplicated(archiveId: Uint8Array, bytes: number): void {
    this.#knownDeduplicated().set(toHex(archiveId), bytes);
    this.#changed.add(DEDUPLICATED);
  }

  /** Writes what is new, for whoever holds the cache's lock. Not durable: it can be counted again. */
  save(): void {
    if (this.#changed.delete(TOTALS))
      this.#write(TOTALS, JSON.stringify(Object.fromEntries(this.#totals!), undefined, 4));
    if (this.#changed.delete(DEDUPLICATED)) {
      const { manifest, sizes } = this.#deduplicated!;
      const text = JSON.stringify({ manifest, sizes: Object.fromEntries(sizes) });
      this.#write(DEDUPLICATED, `${text}\n${checksum(text)}\n`);
    }
  }

  #write(name: string, text: string): void {
    this.#files.writeAtomic(name, Buffer.from(text, "latin1"), { mode: 0o600, durable: false });
  }

  #knownTotals(): Map<string, unknown> {
    if (!this.#totals) {
      const found = parse(this.#read(TOTALS));
      this.#totals = new Map(isRecord(found) ? Object.entries(found) : []);
    }
    return this.#totals;
  }

  #knownDeduplicated(): Map<string, number> {
    const manifest = this.#manifestId();
    this.#deduplicated ??= this.#readDeduplicated();
    if (this.#deduplicated?.manifest !== manifest) this.#deduplicated = { manifest, sizes: new Map() };
    return this.#deduplicated.sizes;
  }

  #readDeduplicated(): Deduplicated | undefined {
    const [text, sum] = this.#read(DEDUPLICATED).split("\n");
    if (text === undefined || sum !== checksum(text)) return undefined;
    const found = parse(text);
    if (!isRecord(found) || typeof found["manifest"] !== "string" || !isRecord(found["sizes"]))
      return undefined;
    const sizes = Object.entries(found["sizes"]).filter((e): e is [string, number] => isSize(e[1]));
    return { manifest: found["manifest"], sizes: new Map(sizes) };
  }

  #read(name: string): string {
    try {
      return Buffer.from(this.#files.read(name)).toString("latin1");
    } catch (error) {
      // Mostly there is none. Where it cannot be read, it can hardly be written, and that is told of.
      if ((error as NodeJS.ErrnoException).code !== undefined) return "";
      throw error;
    }
  }
}

function checksum(text: string): string {
  return crc32(Buffer.from(text, "latin1")).toString(16);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
