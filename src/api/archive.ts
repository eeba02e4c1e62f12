// An archive for readers: what it is, its items, and the contents of its files.
import type { Archive as StoredArchive } from "../archive/archive.ts";
import { Extractor } from "../archive/extract.ts";
import { AlcoveError, ArgumentError, IntegrityError } from "../errors.ts";
import { runtime } from "../runtime/index.ts";
import { buildMatcher } from "../select/index.ts";
import { itemOut } from "./entries.ts";
import type { ArchiveInfo, ArchiveItem, ExtractOptions, ItemsOptions } from "./types.ts";

/** An archive of an open repository; made by {@link Repository.archive}. */
export class Archive {
  /** Name, times and origin. */
  readonly info: ArchiveInfo;
  readonly #archive: StoredArchive;

  /** @internal */
  constructor(archive: StoredArchive) {
    this.#archive = archive;
    const { metadata } = archive;
    this.info = {
      name: metadata.name,
      id: archive.fingerprint,
      start: new Date(archive.start / 1000),
      end: new Date(archive.end / 1000),
      comment: metadata.comment,
      hostname: metadata.hostname,
      username: metadata.username,
      commandLine: metadata.cmdline,
    };
  }

  /** The items in the order they were archived. */
  async *items(options: ItemsOptions = {}): AsyncGenerator<ArchiveItem> {
    const matcher = buildMatcher([], options.paths ?? []);
    const everything = !options.paths?.length;
    for await (const batch of this.#archive.itemBatches()) {
      for (const item of batch) {
        options.signal?.throwIfAborted();
        if (everything || matcher.match(item.path) === true) yield itemOut(item);
      }
    }
  }

  /** The item of this very path; undefined if there is none. Reads the items up to it. */
  async item(path: string): Promise<ArchiveItem | undefined> {
    for await (const batch of this.#archive.itemBatches()) {
      for (const item of batch) if (item.path === path) return itemOut(item);
    }
    return undefined;
  }

  /**
   * The contents of a regular file, decrypted and verified, one chunk at a time (8 MiB at most by default).
   * @param file an item, or its path
   * @throws (while reading) AlcoveError if there is no such file, ObjectNotFound, IntegrityError
   */
  async *read(
    file: ArchiveItem | string,
    options: { signal?: AbortSignal } = {},
  ): AsyncGenerator<Uint8Array> {
    let item = typeof file === "string" ? await this.item(file) : file;
    // A further name of a hard-linked file: the contents are with the first one.
    if (item?.hardlinkOf !== undefined && !item.chunks) item = await this.item(item.hardlinkOf);
    if (!item) {
      throw new AlcoveError(
        `Archive ${this.info.name} has no ${typeof file === "string" ? file : file.path}.`,
      );
    }
    if (item.type !== "file") throw new ArgumentError(`${item.path} is no regular file.`);
    let done = 0;
    for await (const data of this.#archive.objects.getMany((item.chunks ?? []).map((c) => c.id))) {
      options.signal?.throwIfAborted();
      done += data.length;
      yield data;
    }
    if (done !== item.size)
      throw new IntegrityError(`${item.path} has ${done} bytes instead of ${item.size}.`);
  }

  /** The same as a web stream. */
  stream(file: ArchiveItem | string, options: { signal?: AbortSignal } = {}): ReadableStream<Uint8Array> {
    const source = this.read(file, options);
    return new ReadableStream<Uint8Array>({
      async pull(controller) {
        const next = await source.next();
        if (next.done) controller.close();
        else controller.enqueue(next.value);
      },
      async cancel() {
        await source.return(undefined);
      },
    });
  }

  /** Restores files with all their attributes below a directory, which exists. */
  async extract(directory: string, options: ExtractOptions = {}): Promise<void> {
    const { resolve } = await import("node:path");
    const matcher = buildMatcher([], options.paths ?? []);
    const partial = !!options.paths?.length;
    let current = 0;
    await new Extractor(this.#archive, {
      root: resolve(directory),
      matches: (path) => !partial || matcher.match(path) === true,
      partial,
      stripComponents: options.stripComponents ?? 0,
      sparse: options.sparse ?? false,
      dryRun: false,
      parts: false,
      workers: options.workers ?? Math.min(runtime.cores, 4),
      restore: { numericIds: false, flags: true, acls: true, xattrs: true },
      ...(options.signal ? { signal: options.signal } : {}),
      onWarning: (w) => options.onWarning?.(w),
      onBytes: (bytes, path) => {
        current += bytes;
        options.onProgress?.({ operation: "extract", current, path });
      },
    }).run();
  }
}
