// Brings the chunks cache in step with a repository that others have changed: the references of all archives are
// counted anew. What an archive refers to is kept in chunks.archive.d/<id>.compact, so that each archive is fetched
// and walked through once in a client's life. Borg's cache.py, LocalCache.sync.

import type { Environment } from "../crypto/environment.ts";
import type { Verified } from "../crypto/tam.ts";
import { AlcoveError, FileIntegrityError, IntegrityError } from "../errors.ts";
import { fromHex, toHex } from "../format/bytes.ts";
import type { ProgressSink } from "../repository/types.ts";
import type { Storage } from "../storage/types.ts";
import { ChunkIndex } from "./chunks.ts";
import { ItemScanner } from "./itemscan.ts";

export const ARCHIVES_DIR = "chunks.archive.d";

/** An object's plaintext, checked against its id, and the size of the stored object. */
export interface PlainObject {
  data: Uint8Array;
  csize: number;
}

/** What is read of the repository. */
export interface SyncSource {
  archives: readonly { readonly id: Uint8Array; readonly name: string }[];
  /** Objects in the repository, as the size of the index to come. */
  objectCount: number;
  /** Objects in the order of the ids: fetched, decrypted, decompressed, verified. */
  plain(ids: readonly Uint8Array[]): AsyncIterable<PlainObject>;
  /** Indexes of these archives, in their order, made by several threads at once; undefined where that would not pay,
   *  and for an archive in which something is wrong, which the caller then walks through itself. */
  indexes?(
    archives: readonly { readonly id: Uint8Array; readonly name: string }[],
  ): Promise<AsyncGenerator<ChunkIndex | undefined> | undefined>;
  /** Sizes of stored objects in the order of the ids. */
  storedSizes(ids: readonly Uint8Array[]): AsyncIterable<number>;
  /** An archive's metadata from its plaintext. */
  unpackArchive(data: Uint8Array): Verified;
  progress?: ProgressSink;
}

export interface SyncResult {
  chunks: ChunkIndex;
  /** A kept index of an archive was damaged and has been made anew: worth a warning. */
  damaged: boolean;
}

/** Counts the references of all archives. keepArchives: use and fill chunks.archive.d in the cache's directory. */
export async function syncChunks(
  files: Storage,
  source: SyncSource,
  keepArchives: boolean,
  log: Environment["log"],
): Promise<SyncResult> {
  const master = ChunkIndex.withCapacity(source.objectCount);
  const kept = new Kept(files, keepArchives, log);
  const wanted = new Set(source.archives.map((a) => toHex(a.id)));
  for (const idHex of kept.ids()) if (!wanted.has(idHex)) kept.drop(idHex);
  const sizes = new StoredSizes(source);
  const unknown = source.archives.filter((archive) => !kept.has(archive));
  const ahead = new Set(unknown);
  const indexes = await source.indexes?.(unknown);
  let done = 0;
  try {
    for (const archive of source.archives) {
      const progress = { msgid: "cache.sync", current: done++, total: source.archives.length };
      source.progress?.({ ...progress, info: [archive.name] });
      const made = indexes && ahead.has(archive) ? (await indexes.next()).value : undefined;
      if (!keepArchives) {
        if (made) master.merge(made);
        else await addArchive(source, archive, master);
        continue;
      }
      let index = made ?? kept.load(archive);
      if (index === undefined || made) {
        log("info", `Fetching and building the archive index of ${archive.name}.`);
        if (index === undefined) {
          index = new ChunkIndex();
          await addArchive(source, archive, index);
        }
        await sizes.fill(index);
        kept.save(toHex(archive.id), index);
      }
      master.merge(index);
    }
  } finally {
    await indexes?.return(undefined);
  }
  if (!keepArchives) await sizes.fill(master);
  source.progress?.({ msgid: "cache.sync", current: done, total: done, finished: true });
  return { chunks: master, damaged: kept.damaged };
}

/** Adds an archive's references: to its metadata object, to the objects of its item stream, and to its files' chunks. */
export async function addArchive(
  source: Pick<SyncSource, "plain" | "unpackArchive">,
  archive: { readonly id: Uint8Array; readonly name: string },
  index: ChunkIndex,
): Promise<ItemScanner> {
  let items: Uint8Array[] = [];
  for await (const { data, csize } of source.plain([archive.id])) {
    index.add(archive.id, 0, 1, data.length, csize);
    const { metadata } = source.unpackArchive(data);
    if (metadata.get("version") !== 1)
      throw new AlcoveError(`Archive ${archive.name} has an unknown version.`);
    const list = metadata.get("items");
    if (!Array.isArray(list) || !list.every((id) => id instanceof Uint8Array && id.length === 32)) {
      throw new IntegrityError(`Archive ${archive.name} has no valid list of item chunks.`);
    }
    items = list.map((id: Uint8Array) => id.slice());
  }
  const scanner = new ItemScanner(index);
  let i = 0;
  for await (const { data, csize } of source.plain(items)) {
    index.add(items[i++]!, 0, 1, data.length, csize);
    scanner.feed(data);
  }
  scanner.finish();
  return scanner;
}

/** Stored sizes that no archive tells, because it was made without a cache (--no-cache-sync). */
class StoredSizes {
  readonly #source: SyncSource;
  readonly #known = new ChunkIndex();
  constructor(source: SyncSource) {
    this.#source = source;
  }
  async fill(index: ChunkIndex): Promise<void> {
    const missing: Uint8Array[] = [];
    for (const id of index.zeroCsizeIds()) {
      const known = this.#known.get(id);
      if (known) index.index.setWord(index.index.find(id), 2, known.csize);
      else missing.push(id);
    }
    if (missing.length === 0) return;
    let i = 0;
    for await (const csize of this.#source.storedSizes(missing)) {
      const id = missing[i++]!;
      index.index.setWord(index.index.find(id), 2, csize);
      this.#known.add(id, 0, 1, 0, csize);
    }
  }
}

/** The indexes in chunks.archive.d. */
class Kept {
  damaged = false;
  readonly #files: Storage;
  readonly #log: Environment["log"];
  readonly #names = new Set<string>();
  constructor(files: Storage, use: boolean, log: Environment["log"]) {
    this.#files = files;
    this.#log = log;
    if (use) for (const name of files.list(ARCHIVES_DIR)) this.#names.add(name);
  }

  /** Ids of the archives there is an index of. */
  ids(): Set<string> {
    const ids = new Set<string>();
    for (const name of this.#names) {
      const match = /^([0-9a-f]{64})(\.compact)?$/.exec(name);
      if (match) ids.add(match[1]!);
    }
    return ids;
  }

  has({ id }: { id: Uint8Array }): boolean {
    const idHex = toHex(id);
    return this.#names.has(idHex) || this.#names.has(`${idHex}.compact`);
  }

  /** The index of an archive; undefined if there is none, or a damaged one, which is removed. */
  load(archive: { id: Uint8Array; name: string }): ChunkIndex | undefined {
    const idHex = toHex(archive.id);
    for (const suffix of [".compact", ""]) {
      const name = idHex + suffix;
      if (!this.#names.has(name)) continue;
      try {
        const compact = suffix !== "";
        const index = ChunkIndex.load(this.#files, `${ARCHIVES_DIR}/${name}`, this.#integrity(name), {
          compact,
        });
        // The form of older Borgs, with free buckets, becomes the compact one.
        if (!compact) {
          this.drop(idHex);
          this.save(idHex, index);
        }
        return index;
      } catch (error) {
        if (!(error instanceof FileIntegrityError)) throw error;
        this.#log(
          "error",
          `The kept chunk index of archive ${archive.name} is damaged and will be made anew.`,
        );
        this.damaged = true;
        this.drop(idHex);
        return undefined;
      }
    }
    return undefined;
  }

  save(idHex: string, index: ChunkIndex): void {
    const name = `${idHex}.compact`;
    // An index file without its digests is read unverified, one with another's digests is refused: so the old digests
    // go first and the new ones come last.
    this.#unlink(`${name}.integrity`);
    const integrity = index.saveCompact(this.#files, `${ARCHIVES_DIR}/${name}`);
    this.#files.writeAtomic(`${ARCHIVES_DIR}/${name}.integrity`, Buffer.from(integrity, "latin1"), {
      mode: 0o600,
    });
    this.#names.add(name).add(`${name}.integrity`);
  }

  drop(idHex: string): void {
    for (const name of [idHex, `${idHex}.compact`]) {
      this.#unlink(name);
      this.#unlink(`${name}.integrity`);
    }
  }

  #integrity(name: string): string | undefined {
    if (!this.#names.has(`${name}.integrity`)) return undefined;
    return Buffer.from(this.#files.read(`${ARCHIVES_DIR}/${name}.integrity`)).toString("utf8");
  }

  #unlink(name: string): void {
    if (this.#names.delete(name)) this.#files.unlink(`${ARCHIVES_DIR}/${name}`);
  }
}

/** Archive ids with a kept index, for `info` and for tests. */
export function keptArchives(files: Storage): Uint8Array[] {
  return [...new Kept(files, files.exists(ARCHIVES_DIR), () => {}).ids()].map((hex) => fromHex(hex));
}
