// An opened repository as what a mount needs of it. A local repository is read at once, without a promise for
// each chunk; a remote one gets its requests in batches, pipelined.
import { crc32 } from "node:zlib";
import { Archive } from "../../src/archive/archive.ts";
import { BatchOpener } from "../../src/archive/batch-opener.ts";
import { MAX_DATA_SIZE } from "../../src/archive/constants.ts";
import type { ArchiveInfo, Manifest } from "../../src/archive/manifest.ts";
import { decompress } from "../../src/compress/index.ts";
import { IntegrityError, ObjectNotFound } from "../../src/errors.ts";
import { toHex } from "../../src/format/bytes.ts";
import type { MountArchive, MountSource } from "../../src/mount/source.ts";
import { MAX_OBJECT_SIZE } from "../../src/repository/constants.ts";
import { HEADER_SIZE, ID_SIZE, PUT_HEADER_SIZE, TAG_PUT, u32 } from "../../src/repository/entry.ts";
import { LocalRepository } from "../../src/repository/local.ts";
import { Segments } from "../../src/repository/segments.ts";
import { releaseBuffer } from "../../src/runtime/heap.ts";

export interface RepositoryArchive extends MountArchive {
  info: ArchiveInfo;
}

export function mountArchive(info: ArchiveInfo): RepositoryArchive {
  return { name: info.name, timeNs: BigInt(info.micros) * 1000n, info };
}

/** @param warn told of chunks that are missing or damaged */
export async function repositorySource(
  manifest: Manifest,
  archives: readonly ArchiveInfo[],
  warn: (message: string) => void,
): Promise<MountSource> {
  const { objects } = manifest;
  const { repository } = objects;
  const shown = archives.map(mountArchive);
  /** Data whose id was checked; undefined, and said, where it is damaged. */
  const checked = (id: Uint8Array, open: () => Uint8Array): Uint8Array | undefined => {
    try {
      const data = open();
      objects.key.checkId(id, data);
      return data;
    } catch (e) {
      if (!(e instanceof IntegrityError)) throw e;
      warn(`chunk ${toHex(id)}: ${e.message}`);
      return undefined;
    }
  };
  const unpack = (id: Uint8Array, blob: Uint8Array): Uint8Array | undefined =>
    checked(id, () => {
      const packed = objects.key.decrypt(blob, id);
      // Stored as it is, and decrypted to memory of its own: not copied once more. Large files are mostly of this kind.
      const plain = objects.key.info.encrypted && packed[0] === 0 && packed[1] === 0;
      return plain ? packed.subarray(2) : decompress(packed, MAX_DATA_SIZE, objects.core);
    });
  let scratch = new Uint8Array(0);
  /** The same, where `take` gives memory for chunks: stored as they are they are decrypted to where they stay. */
  const unpackInto = (
    id: Uint8Array,
    blob: Uint8Array,
    take: (size: number) => Uint8Array,
  ): Uint8Array | undefined => {
    if (!objects.key.info.encrypted) return unpack(id, blob);
    return checked(id, () => {
      let stored = false;
      const packed = objects.key.decryptInto(blob, id, (length, head) => {
        stored = head[0] === 0 && head[1] === 0;
        if (stored) return take(length);
        if (scratch.length < length) scratch = new Uint8Array(Math.ceil(length * 1.25));
        return scratch.subarray(0, length);
      });
      return stored ? packed.subarray(2) : decompress(packed, MAX_DATA_SIZE, objects.core);
    });
  };
  const missing = (id: Uint8Array): undefined => {
    warn(`chunk ${toHex(id)} is missing in the repository`);
    return undefined;
  };
  const itemChunks = async (archive: MountArchive): Promise<Uint8Array[]> =>
    (await Archive.load(manifest, (archive as RepositoryArchive).info.id)).metadata.items;

  if (repository instanceof LocalRepository) {
    await repository.prepare();
    const blobs = new Blobs(repository);
    const chunk = (id: Uint8Array, take?: (size: number) => Uint8Array): Uint8Array | undefined => {
      let blob: Uint8Array;
      try {
        blob = blobs.get(id);
      } catch (e) {
        if (e instanceof ObjectNotFound) return missing(id);
        if (!(e instanceof IntegrityError)) throw e;
        warn(`chunk ${toHex(id)}: ${e.message}`);
        return undefined;
      }
      return take ? unpackInto(id, blob, take) : unpack(id, blob);
    };
    let batch: BatchOpener | undefined;
    /** Several at a time; whatever is not sound goes the way of single ones, which says what is wrong with it. */
    const getChunksNow = (
      ids: readonly Uint8Array[],
      take?: (size: number) => Uint8Array,
    ): (Uint8Array | undefined)[] => {
      if (ids.length === 1) return [chunk(ids[0]!, take)];
      batch ??= new BatchOpener(objects.key.material, objects.core);
      const found = batch.open(ids, blobs.inWindow(ids), take);
      return found.map((data, i) => data ?? chunk(ids[i]!, take));
    };
    return {
      archives: () => shown,
      itemChunks,
      getChunksNow,
      getChunks: async (ids) => getChunksNow(ids),
    };
  }
  return {
    archives: () => shown,
    itemChunks,
    async getChunks(ids) {
      const chunks: (Uint8Array | undefined)[] = [];
      for await (const blob of repository.getMany(ids, { missing: "skip" })) {
        const id = ids[chunks.length]!;
        chunks.push(blob ? unpack(id, blob) : missing(id));
      }
      return chunks;
    },
  };
}

const WINDOW_BYTES = 256 << 10;
/** Objects up to this size are read into the same memory again and again: most chunks have 2 MiB, the largest 8. */
const REUSED_BYTES = 4 << 20;

/** Objects of a local repository: those of neighbouring files lie behind each other in a segment, so one read of
 *  the segment serves several. */
class Blobs {
  readonly #repository: LocalRepository;
  readonly #segments: Segments;
  readonly #window = new Uint8Array(WINDOW_BYTES);
  readonly #header = new Uint8Array(PUT_HEADER_SIZE);
  #reused = new Uint8Array(0);
  /** The last object that was too large for it. */
  #own: Uint8Array | undefined;
  #filled = 0;
  #segment = -1;
  #base = 0;

  constructor(repository: LocalRepository) {
    this.#repository = repository;
    this.#segments = new Segments(repository.storage, repository.config.segmentsPerDir);
  }

  /** A view that is valid until the next object is asked for. @throws ObjectNotFound, IntegrityError */
  get(id: Uint8Array): Uint8Array {
    if (this.#own) releaseBuffer(this.#own);
    this.#own = undefined;
    const at = this.#repository.objectLocation(id);
    if (!at) return this.#repository.getSync(id);
    const known = at.segment === this.#segment ? this.#cut(at.offset, id) : undefined;
    return known ?? this.#large(at.segment, at.offset, id) ?? this.#repository.getSync(id);
  }

  /** Objects one after the other, as far as they are small enough for the window, into which they are read where they
   *  are not yet; undefined for the others, and for whatever get() throws an error for. */
  *inWindow(ids: readonly Uint8Array[]): Generator<Uint8Array | undefined> {
    for (const id of ids) {
      let blob: Uint8Array | undefined;
      try {
        blob = this.#windowed(id);
      } catch {
        blob = undefined; // get() says what is wrong
      }
      yield blob;
    }
  }

  #windowed(id: Uint8Array): Uint8Array | undefined {
    const at = this.#repository.objectLocation(id);
    if (!at) return undefined;
    const known = at.segment === this.#segment ? this.#cut(at.offset, id) : undefined;
    if (known) return known;
    this.#segment = -1;
    this.#filled = this.#segments.handle(at.segment).read(this.#window, at.offset);
    this.#segment = at.segment;
    this.#base = at.offset;
    return this.#cut(at.offset, id);
  }

  #cut(offset: number, id: Uint8Array): Uint8Array | undefined {
    const from = offset - this.#base;
    return from < 0 || from >= this.#filled ? undefined : soundObject(this.#window, from, this.#filled, id);
  }

  /** An object of some size, read into memory that the next one is read into again. */
  #large(segment: number, offset: number, id: Uint8Array): Uint8Array | undefined {
    const handle = this.#segments.handle(segment);
    const header = this.#header;
    if (handle.read(header, offset) < PUT_HEADER_SIZE) return undefined;
    const size = u32(header, 4);
    if (size > MAX_OBJECT_SIZE) return undefined;
    if (size > REUSED_BYTES) this.#own = new Uint8Array(size);
    else if (this.#reused.length < size) {
      releaseBuffer(this.#reused);
      this.#reused = new Uint8Array(Math.min(REUSED_BYTES, Math.ceil(size * 1.25)));
    }
    const memory = this.#own ?? this.#reused;
    return handle.read(memory.subarray(0, size), offset) < size
      ? undefined
      : soundObject(memory, 0, size, id);
  }
}

/** The data of the intact PUT of this id that begins at `from`, a view; undefined for anything else, of which
 *  getSync() says what is wrong. */
function soundObject(buffer: Uint8Array, from: number, end: number, id: Uint8Array): Uint8Array | undefined {
  if (end - from < PUT_HEADER_SIZE || buffer[from + HEADER_SIZE - 1] !== TAG_PUT) return undefined;
  const size = u32(buffer, from + 4);
  if (size < PUT_HEADER_SIZE || size > end - from) return undefined;
  for (let i = 0; i < ID_SIZE; i++) if (buffer[from + HEADER_SIZE + i] !== id[i]) return undefined;
  if (crc32(buffer.subarray(from + 4, from + size)) !== u32(buffer, from)) return undefined;
  return buffer.subarray(from + PUT_HEADER_SIZE, from + size);
}
