// Extracts an archive: the main thread walks the items, makes directories, links and special files and decides;
// regular files are written by lanes (workers that read the repository's segments themselves, or this thread).
// Whatever could change where a path leads (a symlink, the replacement of a directory) waits until every file
// under way is written. Directory attributes come last, deepest first. Borg's do_extract and extract_item.
import { linkSync, lstatSync, mkdirSync, rmdirSync, symlinkSync, unlinkSync } from "node:fs";
import {
  AlcoveWarning,
  BackupError,
  BackupHardlinkSource,
  BackupSymlinkParent,
  backupOSError,
  CancelledByUser,
} from "../errors.ts";
import { nodePath } from "../runtime/pathbytes.ts";
import type { Archive } from "./archive.ts";
import { isDevice, isDirectory, isFifo, isHardlinkable, isRegular, isSymlink } from "./constants.ts";
import type { RestoreChoice } from "./extract-file.ts";
import { ExtractGuard } from "./extract-guard.ts";
import { ExtractLanes, type FileLane, InlineLane } from "./extract-lanes.ts";
import type { ChunkRef, Item } from "./item.ts";
import { itemSize } from "./item-size.ts";
import { createNode, MetadataRestorer } from "./metadata-restore.ts";
import { problemWarning } from "./restore-warnings.ts";

export interface ExtractOptions {
  /** Absolute path of the directory to extract into. */
  root: string;
  /** Whether an item is selected (patterns and paths). */
  matches: (path: string) => boolean;
  /** True if not simply everything is selected. */
  partial: boolean;
  stripComponents: number;
  sparse: boolean;
  dryRun: boolean;
  restore: RestoreChoice;
  parts: boolean;
  workers: number;
  /** Contents go here instead of into files. */
  stdout?: (data: Uint8Array) => void;
  signal?: AbortSignal;
  onItem?: (path: string) => void;
  onWarning?: (warning: AlcoveWarning) => void;
  /** Told at most once: what this machine cannot restore at all. */
  onLimits?: (sentence: string) => void;
  /** Bytes of contents done; the total is known if `totalSize` was asked for before. */
  onBytes?: (bytes: number, path: string) => void;
  onDirectory?: (done: number, total: number) => void;
}

interface Master {
  chunks: ChunkRef[] | undefined;
  link: string | undefined;
}

/** Bytes of contents that extracting would write: for progress. */
export async function extractedSize(
  archive: Archive,
  options: Pick<ExtractOptions, "matches" | "parts" | "stripComponents">,
): Promise<number> {
  const wanted = new Set(["mode", "size", "chunks", "source", "hardlink_master"]);
  const masters = new Map<string, ChunkRef[] | undefined>();
  let total = 0;
  for await (const batch of archive.itemBatches({ wanted, parts: options.parts })) {
    for (const item of batch) {
      if (!options.matches(item.path) || strip(item.path, options.stripComponents) === "") {
        if (isMaster(item)) masters.set(item.path, item.chunks);
        continue;
      }
      total += itemSize(item, masters);
    }
  }
  return total;
}

const isMaster = (item: Item): boolean =>
  isHardlinkable(item.mode) && item.hardlink_master !== false && item.source === undefined;

function strip(path: string, components: number): string {
  return components > 0 ? path.split("/").slice(components).join("/") : path;
}

export class Extractor {
  readonly #archive: Archive;
  readonly #options: ExtractOptions;
  readonly #guard: ExtractGuard;
  readonly #masters: Map<string, Master> | undefined;
  readonly #directories: Item[] = [];
  readonly #underWay = new Set<string>();
  readonly #restorer: MetadataRestorer;
  #lane: FileLane | undefined;

  constructor(archive: Archive, options: ExtractOptions) {
    this.#archive = archive;
    this.#options = options;
    this.#guard = new ExtractGuard(options.root);
    this.#restorer = new MetadataRestorer({
      ...options.restore,
      onProblem: (p) => {
        const w = problemWarning(p);
        if (w) options.onWarning?.(w);
      },
      onLimits: (sentence) => options.onLimits?.(sentence),
    });
    this.#masters = options.partial || options.stripComponents > 0 ? new Map() : undefined;
  }

  async run(): Promise<void> {
    const { matches, stripComponents, parts, signal } = this.#options;
    try {
      for await (const batch of this.#archive.itemBatches({ parts })) {
        for (const item of batch) {
          if (signal?.aborted) throw signal.reason ?? new CancelledByUser();
          const path = matches(item.path) ? strip(item.path, stripComponents) : "";
          if (path === "") {
            if (this.#masters && isMaster(item))
              this.#masters.set(item.path, { chunks: item.chunks, link: undefined });
            continue;
          }
          const original = item.path;
          item.path = path;
          await this.#guarded(original, () => this.#one(item, original));
        }
      }
      await this.#lane?.drain();
      await this.#finishDirectories();
    } finally {
      await this.#lane?.close();
    }
  }

  async #guarded(path: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (e) {
      if (e instanceof AlcoveWarning) this.#options.onWarning?.(e);
      else if ((e as NodeJS.ErrnoException).code)
        this.#options.onWarning?.(backupOSError(path, e as NodeJS.ErrnoException));
      else throw e;
    }
  }

  async #one(item: Item, original: string): Promise<void> {
    const { dryRun, stdout, onItem } = this.#options;
    onItem?.(item.path);
    if (dryRun || stdout) {
      await this.#contents(item);
      return;
    }
    const path = this.#guard.target(item.path);
    if (this.#underWay.has(path)) await this.#drain();
    if (isDirectory(item.mode)) {
      await this.#directory(path, item);
      return;
    }
    await this.#remove(path);
    this.#guard.makeParent(path);
    if (isRegular(item.mode)) {
      if (!(await this.#link(path, item))) {
        await this.#file(path, item);
        this.#extracted(item, original, path);
      }
    } else if (isSymlink(item.mode)) {
      await this.#drain();
      symlinkSync(nodePath(item.source ?? ""), nodePath(path));
      this.#restore(path, item);
    } else if (isFifo(item.mode) || isDevice(item.mode)) {
      if (!(await this.#link(path, item))) {
        createNode(path, item);
        this.#restore(path, item);
        this.#extracted(item, original, path);
      }
    } else throw new BackupError(original, `Unknown archive item type 0o${item.mode.toString(8)}`);
  }

  /** Reads and verifies contents without writing files. */
  async #contents(item: Item): Promise<void> {
    const { stdout, onBytes } = this.#options;
    if (!item.chunks) return;
    let size = 0;
    for await (const data of this.#archive.objects.getMany(item.chunks.map((c) => c.id))) {
      onBytes?.(data.length, item.path);
      stdout?.(data);
      size += data.length;
    }
    if (item.size !== undefined && item.size !== size) {
      throw new BackupError(item.path, `Size inconsistency detected: size ${item.size}, chunks size ${size}`);
    }
    if (item.chunks_healthy)
      throw new BackupError(
        item.path,
        "File has damaged (all-zero) chunks. Try running borg check --repair.",
      );
  }

  async #directory(path: string, item: Item): Promise<void> {
    const there = lstatSync(nodePath(path), { throwIfNoEntry: false });
    if (there && !there.isDirectory()) await this.#remove(path);
    this.#guard.makeParent(path);
    if (!there?.isDirectory()) mkdirSync(nodePath(path), 0o700);
    this.#guard.remember(path);
    item.chunks = undefined;
    this.#directories.push(item);
  }

  /** Makes room at the path. Like Borg, what cannot be removed shows when the new thing is created. */
  async #remove(path: string): Promise<void> {
    const there = lstatSync(nodePath(path), { throwIfNoEntry: false });
    if (!there) return;
    await this.#drain();
    this.#guard.forget(path);
    try {
      if (there.isDirectory()) rmdirSync(nodePath(path));
      else unlinkSync(nodePath(path));
    } catch (e) {
      if (!(e as NodeJS.ErrnoException).code) throw e;
    }
  }

  /** Links to what was extracted before, or gives the item the chunks of a master that was not. */
  async #link(path: string, item: Item): Promise<boolean> {
    if (item.source === undefined) return false;
    const components = item.source.split("/").slice(this.#options.stripComponents).join("/");
    let target: string;
    try {
      target = this.#guard.target(components);
    } catch (e) {
      if (e instanceof BackupSymlinkParent || e instanceof AlcoveWarning)
        throw new BackupHardlinkSource(item.path);
      throw e;
    }
    const master = this.#masters?.get(item.source) ?? { chunks: undefined, link: target };
    if (master.link !== undefined) {
      if (this.#underWay.has(master.link)) await this.#drain();
      linkSync(nodePath(master.link), nodePath(path));
      return true;
    }
    item.chunks = master.chunks;
    return false;
  }

  #extracted(item: Item, original: string, path: string): void {
    if (this.#masters && (item.source !== undefined || isMaster(item))) {
      this.#masters.set(item.source ?? original, { chunks: undefined, link: path });
    }
  }

  async #file(path: string, item: Item): Promise<void> {
    this.#lane ??= this.#makeLane();
    this.#underWay.add(path);
    await this.#lane.write({ path, item });
  }

  #makeLane(): FileLane {
    const { sparse, restore, workers, onWarning, onBytes } = this.#options;
    const options = { sparse, restore };
    const done = (path: string, item: Item, bytes: number, warnings: AlcoveWarning[]): void => {
      this.#underWay.delete(path);
      onBytes?.(bytes, item.path);
      for (const w of warnings) onWarning?.(w);
    };
    const { objects } = this.#archive;
    return ExtractLanes.possible(objects, workers)
      ? new ExtractLanes(objects, options, workers, done)
      : new InlineLane(objects, options, done);
  }

  async #drain(): Promise<void> {
    if (this.#underWay.size > 0) await this.#lane!.drain();
  }

  #restore(path: string, item: Item): void {
    this.#restorer.restoreAttrs({ path }, item);
  }

  // Times and modes of directories last: what is made inside would change the one and be forbidden by the other.
  async #finishDirectories(): Promise<void> {
    const total = this.#directories.length;
    let done = 0;
    for (let item = this.#directories.pop(); item; item = this.#directories.pop()) {
      const directory = item;
      await this.#guarded(directory.path, async () => {
        const path = this.#guard.target(directory.path);
        const there = lstatSync(nodePath(path));
        if (!there.isDirectory()) throw new BackupSymlinkParent(directory.path);
        this.#restore(path, directory);
      });
      this.#options.onDirectory?.(++done, total);
    }
    this.#restorer.flush();
  }
}
