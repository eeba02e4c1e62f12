// Makes an archive from files: drives the walk, asks the files cache, sends changed files through the pipeline,
// and writes items in the walk's order as they become complete. Borg's FilesystemObjectProcessors and
// ChunksProcessor in effect; what Borg does one file after the other is here a queue whose head must be done
// before it leaves, so the archive is the same whatever the number of workers.
import type { FilesCache } from "../cache/files.ts";
import { hasBoundaries } from "../chunker/index.ts";
import { choose } from "../core/choose.ts";
import { backupOSError, CancelledByUser, FileChangedWarning } from "../errors.ts";
import { fsEncode } from "../format/bytes.ts";
import { normPath } from "../format/paths.ts";
import { fs, libc, Stat } from "../runtime/index.ts";
import type { ChunkStore } from "./chunk-store.ts";
import { isDirectory, S_IFREG } from "./constants.ts";
import {
  type Entry,
  largestChunk,
  largestEntry,
  newEntry,
  partFiles,
  pendingFile,
  pieceBytes,
  slotBytes,
  statIfThere,
} from "./create-entry.ts";
import type { CreateOptions } from "./create-options.ts";
import { EntryQueue } from "./entry-queue.ts";
import type { ChunkRef, Item } from "./item.ts";
import { ItemMaker } from "./item-maker.ts";
import { knownFile } from "./known-files.ts";
import { MetadataCollector } from "./metadata-capture.ts";
import { stripPrefixOf } from "./paths.ts";
import { FileRun } from "./pipeline/file-run.ts";
import { CHANGED } from "./pipeline/messages.ts";
import { type PendingFile, problemOf } from "./pipeline/pending-file.ts";
import { CreatePipeline } from "./pipeline/pipeline.ts";
import { ScanAhead } from "./pipeline/scan-ahead.ts";
import { type ScanEvent, ScanReader } from "./pipeline/scan-channel.ts";
import { walkHere } from "./pipeline/scan-events.ts";
import { KNOWN, PlainFiles, TO_READ } from "./plain-files.ts";
import type { PlainFile } from "./plain-item.ts";
import { ReadAgain, wasRaced } from "./read-again.ts";
import type { Statistics } from "./stats.ts";
import { inodeKey, type WalkEvent, Walker } from "./walker.ts";
import type { ArchiveWriter } from "./writer.ts";

const MAX_QUEUE = 4096;
const SCAN_AHEAD_FILES = 4096;
/** Unchanged files between two looks at the clock. */
const UNCLOCKED_FILES = 32;
/** Bytes that are read in the main thread where most files are known, before workers are started for the rest: what a
 *  usual day changes. Two threads cost as much as this. */
const READ_HERE = 24 << 20;
/** All there are but E and C. */
const STATUSES = [..."AMUdhsfbcix-"];

export class Creator {
  readonly #writer: ArchiveWriter;
  readonly #store: ChunkStore;
  readonly #files: FilesCache | undefined;
  readonly #options: CreateOptions;
  readonly #pipeline: CreatePipeline;
  readonly #collector: MetadataCollector;
  readonly #queue = new EntryQueue();
  /** Unchanged files since the clock was last looked at. */
  #unclocked = 0;
  readonly #spareRuns: FileRun[] = [];
  readonly #tellsUnchanged: boolean;
  /** Nobody wants to be told of single files. */
  readonly #quiet: boolean;
  readonly #maker: ItemMaker;
  readonly #again: ReadAgain;
  #begun: ScanAhead | undefined;
  /** Unchanged files go into the item stream many at a time. */
  #direct = false;
  #lastCheckpoint = performance.now();
  #currentPath = "";

  constructor(writer: ArchiveWriter, files: FilesCache | undefined, options: CreateOptions) {
    this.#writer = writer;
    this.#store = writer.store;
    this.#files = files;
    this.#options = options;
    this.#collector = new MetadataCollector(options.capture);
    const unchanged = files && ((entry: Entry, item: Item, stat: Stat) => this.#unchanged(entry, item, stat));
    this.#maker = new ItemMaker(this.#collector, options.readSpecial, unchanged);
    const tells = options.onStatus ? (options.tells ?? (() => true)) : () => false;
    this.#tellsUnchanged = tells("U");
    this.#quiet = !STATUSES.some(tells);
    this.#begun = options.begun;
    this.#again = new ReadAgain(
      this.#maker,
      (entry) => this.#readNow(entry),
      (entry, item, file) => this.#complete(entry, item, file),
    );
    const { material } = writer.manifest.key;
    const { chunker, compression } = options;
    this.#pipeline = new CreatePipeline({
      workers: options.workers,
      sink: this.#store,
      signal: options.signal,
      asyncSink: writer.manifest.objects.repository.isRemote,
      entryBytes: slotBytes(chunker, compression),
      prepared: options.prepared,
      setup: {
        material,
        compression,
        chunker,
        index: this.#store.index.share(),
        filesChanged: options.filesChanged,
        sparse: options.sparse ?? false,
        choice: choose(),
        pieceBytes: options.workers > 1 && hasBoundaries(chunker) ? pieceBytes(chunker) : 0,
        largestBlob: largestEntry(chunker, compression) - 1024,
        bufferBytes: Math.max(largestChunk(chunker) * 2 + 65536, 4 << 20),
      },
      between: () => this.#maybeCheckpoint(),
      readHere: this.#knowsMost() ? READ_HERE : 0,
      onChunk: () => options.onProgress?.(this.#store.stats, this.#currentPath),
    });
  }

  get stats(): Statistics {
    return this.#store.stats;
  }

  /** Archives everything under the roots, in their order. */
  async addPaths(roots: readonly string[]): Promise<void> {
    const { walk } = this.#options;
    if (this.#files && !walk.dryRun && libc()) return this.#addFrom(roots, this.#files);
    const walker = new Walker(walk);
    for (const root of roots) {
      const prefix = stripPrefixOf(root);
      // Unchanged files, nearly all of most backups, never wait: an await each would cost more than their lookup.
      for (const event of walker.walk(normPath(root))) {
        const wait = this.#event(event, prefix);
        if (wait) await wait;
      }
    }
  }

  /** Most files will be found unchanged. */
  #knowsMost(): boolean {
    return (this.#files?.size ?? 0) >= (this.#options.scanAhead ?? SCAN_AHEAD_FILES);
  }

  /** A walk whose events come in slots: those of plain files are taken as the bytes they are. */
  async #addFrom(roots: readonly string[], files: FilesCache): Promise<void> {
    const { walk, workers, cwd } = this.#options;
    const paths = roots.map(normPath);
    const prefixes = roots.map(stripPrefixOf);
    const xattrs = this.#collector.asksForNames;
    // A thread of its own is worth its start where most files will be found unchanged. Where they have to be read, the
    // workers have enough to do.
    const ahead =
      this.#begun ?? (workers > 0 && this.#knowsMost() ? new ScanAhead(walk, paths, xattrs) : undefined);
    this.#begun = undefined;
    // Those of plain files are listed here, where the files cache does not know already that they have none.
    const all = !files.isMostlyBare;
    if (all) ahead?.listAll();
    this.#direct = !this.#tellsUnchanged && prefixes.every((prefix) => prefix === undefined);
    const plain = new PlainFiles(files, this.#store, this.#collector, cwd, this.#quiet);
    const stat = new Stat();
    try {
      for await (const slot of ahead ? ahead.slots() : walkHere(walk, paths, xattrs, all)) {
        plain.begin(slot);
        const reader = new ScanReader(slot);
        for (let wait = this.#take(reader, plain, prefixes, stat); wait; ) {
          await wait;
          wait = this.#take(reader, plain, prefixes, stat);
        }
      }
    } finally {
      plain.close();
      await ahead?.close();
    }
    if (!ahead) return;
    // The thread has skipped roots that were given twice; later ones must be too.
    for (const path of paths) {
      const root = statIfThere(path, stat);
      if (root) walk.skipInodes.add(inodeKey(root));
    }
  }

  /** Takes the events of a slot in; undefined at its end, a promise where something has to be waited for first. (Loops of
   *  asynchronous functions are not compiled as other loops are: in this one that was a tenth of the main thread's work.) */
  #take(
    reader: ScanReader,
    plain: PlainFiles,
    prefixes: readonly (string | undefined)[],
    stat: Stat,
  ): Promise<void> | undefined {
    for (;;) {
      this.#throwIfAborted();
      const items = this.#direct ? plain.known(reader) : undefined;
      if (items) {
        const wait = this.#allKnown(items, plain.taken, reader);
        if (wait) return wait;
        continue;
      }
      if (!reader.next()) return undefined;
      const prefix = prefixes[reader.root];
      const kind = prefix === undefined && !this.#tellsUnchanged ? plain.look(reader) : undefined;
      const wait =
        kind === KNOWN
          ? this.#known(plain.file, reader)
          : kind === TO_READ && this.#quiet && !this.#pipeline.splits(reader.size)
            ? this.#toRead(plain, reader)
            : this.#event(reader.event(stat), prefix, kind === undefined ? undefined : plain.pathHash);
      if (wait) return wait;
    }
  }

  /** Archives single paths, without descending into directories (--paths-from-stdin). */
  async addPath(given: string): Promise<void> {
    const path = normPath(given);
    let event: WalkEvent;
    try {
      event = { type: "entry", path, stat: fs.lstat(path, new Stat()), directory: undefined, name: path };
    } catch (e) {
      event = { type: "problem", path, problem: backupOSError(path, e as NodeJS.ErrnoException) };
    }
    await this.#event(event, stripPrefixOf(given));
    if (event.type === "entry" && isDirectory(event.stat.mode))
      await this.#event({ type: "status", path, status: "d" }, undefined);
  }

  /** Archives a stream as a regular file. */
  async addStream(item: Item, pieces: AsyncIterable<Uint8Array>): Promise<void> {
    this.#options.onStatus?.("i", item.path);
    const entry = newEntry(item.path);
    entry.item = item;
    item.hardlink_master ??= false;
    const file = pendingFile(item.path, { size: 0, ino: 0, mode: S_IFREG, ctimeSec: 0, ctimeNsec: 0 }, true);
    entry.file = file;
    await this.finish();
    this.#queue.push(entry);
    await this.#pipeline.stream(file, pieces);
    await this.finish();
  }

  /** Waits until everything that was added is in the item stream. */
  async finish(): Promise<void> {
    await this.#pipeline.drain();
    await this.#advance();
    if (!this.#queue.isEmpty) throw new Error("create: the pipeline ended with files still open");
  }

  async close(): Promise<void> {
    await this.#pipeline.close();
  }

  /** Unchanged plain files, encoded, of which the reader is at the last. A promise where something has to be waited for. */
  #allKnown(items: Uint8Array, count: number, reader: ScanReader): Promise<void> | undefined {
    const { onProgress } = this.#options;
    if (onProgress) this.#progress(reader.path);
    if (this.#queue.isEmpty) return this.#writer.addEncoded(items) ?? this.#maybeCheckpoint();
    this.#run().between(count).append(items);
    this.#queue.grewBy(count);
    return this.#afterQueued();
  }

  /** An unchanged plain file. A promise where something has to be waited for. */
  #known(file: PlainFile, reader: ScanReader): Promise<void> | undefined {
    const { onProgress } = this.#options;
    if (onProgress) this.#progress(reader.path);
    if (this.#queue.isEmpty) {
      const wait = this.#writer.addPlain(file);
      // A look at the clock costs a tenth of all else.
      if (wait || ++this.#unclocked < UNCLOCKED_FILES) return wait;
      this.#unclocked = 0;
      return this.#maybeCheckpoint();
    }
    this.#run().between().plain(file);
    this.#queue.grewBy(1);
    return this.#afterQueued();
  }

  /** A plain file to be read. A promise where something has to be waited for. */
  #toRead(plain: PlainFiles, reader: ScanReader): Promise<void> | undefined {
    const room = this.#pipeline.roomFor(reader.pathLength);
    if (room) return room.then(() => this.#toRead(plain, reader));
    const run = this.#run();
    plain.addTo(run, this.#pipeline.job, reader);
    this.#queue.grewBy(1);
    const sent = this.#pipeline.addedTo(run, reader.size);
    return sent ? sent.then(() => this.#makeRoom()) : this.#afterQueued();
  }

  /** The run at the end of the queue; a new one where the last entry is none that takes more. */
  #run(): FileRun {
    const open = this.#queue.openRun;
    if (open) return open;
    const entry = newEntry("");
    const context = { files: this.#files!, stats: this.stats, collector: this.#collector };
    entry.run = this.#spareRuns.pop()?.reset() ?? new FileRun(context);
    this.#queue.push(entry);
    return entry.run;
  }

  #progress(path: string): void {
    this.#currentPath = path;
    this.#options.onProgress?.(this.stats, path);
  }

  #throwIfAborted(): void {
    if (this.#options.signal?.aborted) throw this.#options.signal.reason ?? new CancelledByUser();
  }

  /** A promise where something has to be waited for. @param pathHash if it is known already */
  #event(
    event: WalkEvent | ScanEvent,
    prefix: string | undefined,
    pathHash?: Uint8Array,
  ): Promise<void> | undefined {
    this.#throwIfAborted();
    if (event.type === "status" && this.#quiet) return undefined;
    const entry = newEntry(event.path);
    entry.pathHash = pathHash;
    if (event.type === "status") entry.status = event.status;
    else if (event.type === "problem") entry.problem = event.problem;
    else if (this.#options.walk.dryRun) entry.status = isDirectory(event.stat.mode) ? undefined : "-";
    else {
      try {
        this.#maker.make(entry, event, prefix);
      } catch (e) {
        if (!(e as NodeJS.ErrnoException).code) throw e;
        entry.problem = backupOSError(event.path, e as NodeJS.ErrnoException);
        entry.item = undefined;
        entry.file = undefined;
      }
    }
    // A directory, say: complete, and nothing will refer to it.
    if (this.#quiet && entry.item && !entry.file && !entry.master && entry.item.hardlink_master !== true) {
      const run = this.#queue.openRun;
      if (run) {
        run.between().encode(entry.item);
        this.#queue.grewBy(1);
        return this.#afterQueued();
      }
    }
    this.#queue.push(entry);
    const sent = entry.file && !entry.file.done ? this.#pipeline.submit(entry.file) : undefined;
    if (sent) return sent.then(() => this.#makeRoom());
    return this.#afterQueued();
  }

  /** Most entries leave at once: nothing waits before them. */
  #afterQueued(): Promise<void> | undefined {
    return this.#queue.count > MAX_QUEUE ? this.#makeRoom() : this.#advance();
  }

  async #makeRoom(): Promise<void> {
    await this.#advance();
    while (this.#queue.count > MAX_QUEUE) {
      await this.#pipeline.flush(true);
      await this.#advance();
    }
  }

  /** Takes the chunks from the files cache if the file is unchanged and all its chunks are still there. */
  #unchanged(entry: Entry, item: Item, stat: Stat): boolean {
    if (!entry.pathHash) {
      const full = entry.path.startsWith("/") ? entry.path : `${this.#options.cwd}/${entry.path}`;
      entry.pathHash = this.#store.objects.id(fsEncode(full));
    }
    const hasAttributes = item.xattrs !== undefined || item.acl_access !== undefined;
    const { status, chunks } = knownFile(this.#files!, this.#store, entry.pathHash, stat, hasAttributes);
    entry.status = status;
    if (!chunks) return false;
    item.chunks = chunks;
    item.size = chunks.reduce((sum, c) => sum + c.size, 0);
    this.stats.nfiles++;
    return true;
  }

  /** Lets everything go that is complete, in order. A promise where something has to be waited for. */
  #advance(): Promise<void> | undefined {
    let any = false;
    for (let entry = this.#queue.first; entry; entry = this.#queue.first) {
      if (entry.file ? !entry.file.done : entry.run && !entry.run.isDone) break;
      if (wasRaced(entry)) return this.#again.entry(entry).then(() => this.#advance());
      if (entry.master?.failed && !entry.file) return this.#carry(entry).then(() => this.#advance());
      const wait = this.#finish(entry);
      any = true;
      this.#queue.shift();
      if (wait) return wait.then(() => this.#advance());
    }
    return any ? this.#maybeCheckpoint() : undefined;
  }

  /** Reads an entry's file before anything else. It is in the queue, where a checkpoint finds it. */
  async #readNow(entry: Entry): Promise<void> {
    await this.#queue.withFirst(entry, async () => {
      await this.#pipeline.submit(entry.file!);
      await this.#pipeline.drain();
    });
  }

  /** A hard link whose first name could not be read carries the contents itself. */
  async #carry(entry: Entry): Promise<void> {
    entry.item!.source = undefined;
    entry.master = undefined;
    entry.item!.hardlink_master = true;
    entry.file = pendingFile(entry.path, { ...entry.facts!, mode: entry.item!.mode }, false);
    await this.#pipeline.submit(entry.file);
    await this.#pipeline.drain();
  }

  /** Gives the item to the writer, and tells. A promise where the writer has to write. */
  #finish(entry: Entry): Promise<void> | undefined {
    const { onStatus, onWarning } = this.#options;
    const { item, file, run } = entry;
    if (run) return this.#finishRun(run);
    const parts: Item[] = [];
    if (file) {
      if (file.error) entry.problem = problemOf(entry.path, file.error);
      else {
        // The rest is a part, too, where there are parts: together they are the file, as in Borg.
        if (entry.parts > 0) for (const { part } of partFiles(entry)) parts.push(part);
        this.#complete(entry, item!, file);
      }
    }
    if (entry.problem) {
      entry.failed = true;
      onWarning?.(entry.problem);
      onStatus?.("E", entry.path);
      return undefined;
    }
    let wait: Promise<void> | undefined;
    if (item) {
      this.#progress(item.path);
      wait = this.#writer.add(...parts, item);
      // The chunk list is in the stream now; hard links need the path only.
      item.chunks = undefined;
    }
    if (file && file.flags & CHANGED) {
      if (entry.status) onStatus?.(entry.status, entry.path);
      onWarning?.(new FileChangedWarning(entry.path));
      entry.status = "C";
    }
    if (entry.status) onStatus?.(entry.status, entry.path);
    return wait;
  }

  #finishRun(run: FileRun): Promise<void> | undefined {
    const { onStatus, onWarning, onProgress } = this.#options;
    run.close();
    if (onProgress) this.#progress(run.lastPath);
    for (const { path, warning } of run.told) {
      onWarning?.(warning);
      onStatus?.(warning instanceof FileChangedWarning ? "C" : "E", path);
    }
    run.memorize();
    // Copied here; what is written is written of the copy.
    const wait = this.#writer.addEncoded(run.items());
    this.#spareRuns.push(run);
    return wait;
  }

  #complete(entry: Entry, item: Item, file: PendingFile): void {
    item.chunks = file.chunks;
    let size = 0;
    for (const c of file.chunks) size += c.size;
    item.size = size;
    this.stats.nfiles++;
    if (file.fresh && !file.request.special) {
      const s = file.fresh;
      Object.assign(item, this.#collector.statSimpleAttrs(Object.assign(new Stat(), s)));
      if (entry.facts) entry.facts = { ...s, ino: entry.facts.ino };
    }
    if (entry.parts > 0) {
      // The parts have referenced every chunk; the whole file references them once more.
      for (const c of file.chunks) this.#store.reference(c.id, c.size, this.stats, true);
      this.stats.nfilesParts += entry.parts;
    }
    if (entry.pathHash && entry.facts && !(file.flags & CHANGED)) {
      const ids = new Uint8Array(file.chunks.length * 32);
      for (let i = 0; i < file.chunks.length; i++) ids.set(file.chunks[i]!.id, i * 32);
      this.#files!.memorize(entry.pathHash, 0, entry.facts, ids, file.chunks.length);
    }
  }

  #maybeCheckpoint(): Promise<void> | undefined {
    const { checkpointInterval } = this.#options;
    if (!checkpointInterval || performance.now() - this.#lastCheckpoint < checkpointInterval * 1000) return;
    // It comes when no large file has chunks behind a gap, as part files are pieces of a file in order.
    return this.#pipeline.hold() ? this.checkpoint() : undefined;
  }

  /** Commits what there is as NAME.checkpoint. Files still being read go in as part files, so that every chunk
   *  stored so far is referenced by the archive that is committed. */
  async checkpoint(): Promise<void> {
    await this.#store.release(this.#pipeline.dropLoose());
    const twice: ChunkRef[] = [];
    for (const entry of this.#queue) {
      for (const { part, whole } of partFiles(entry)) {
        await this.#writer.add(part);
        if (!whole) continue;
        twice.push(...part.chunks!);
        this.stats.nfilesParts++;
      }
    }
    await this.#writer.checkpoint(this.stats);
    // The items they belong to come later, and reference them once more.
    for (const c of twice) this.#store.reference(c.id, c.size, this.stats, true);
    this.#lastCheckpoint = performance.now();
    this.#pipeline.resume();
  }

  /** Keeps what was stored so far as a checkpoint, where there is anything to keep. What workers still have is lost. */
  async keepCheckpoint(): Promise<boolean> {
    if (this.#options.walk.dryRun || this.stats.usize === 0) return false;
    await this.checkpoint();
    return true;
  }
}
