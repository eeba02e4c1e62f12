// Extracts an archive: the main thread walks the items, makes directories, links and special files and decides;
// regular files are written by lanes (workers that read the repository's segments themselves, or this thread).
// What replaces something made before waits until every file under way is written. Directory attributes come last,
// deepest first. Borg's do_extract and extract_item.
import {
  AlcoveWarning,
  BackupError,
  BackupHardlinkSource,
  BackupPathTraversal,
  BackupSymlinkParent,
  backupOSError,
  CancelledByUser,
} from "../errors.ts";
import { type Directory, fs, isSystemError } from "../runtime/index.ts";
import type { Archive } from "./archive.ts";
import { isDevice, isDirectory, isFifo, isHardlinkable, isRegular, isSymlink } from "./constants.ts";
import type { RestoreChoice } from "./extract-file.ts";
import { ExtractLanes, type FileLane, InlineLane, RemoteLanes } from "./extract-lanes.ts";
import { ExtractTree, type Place, parentError, placeOf } from "./extract-tree.ts";
import type { ChunkRef, Item } from "./item.ts";
import { itemSize } from "./item-size.ts";
import { createNode, MetadataRestorer } from "./metadata-restore.ts";
import { preloadedBatches } from "./preload.ts";
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
  /** Where a name of it has been extracted, relative to the target. */
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
  #tree: ExtractTree | undefined;
  #current = "";
  readonly #masters: Map<string, Master> | undefined;
  readonly #directories: Item[] = [];
  readonly #underWay = new Set<string>();
  readonly #restorer: MetadataRestorer;
  #lane: FileLane | undefined;

  constructor(archive: Archive, options: ExtractOptions) {
    this.#archive = archive;
    this.#options = options;
    this.#restorer = new MetadataRestorer({
      ...options.restore,
      onProblem: (p) => {
        const w = problemWarning(p, this.#current);
        if (w) options.onWarning?.(w);
      },
      onLimits: (sentence) => options.onLimits?.(sentence),
    });
    this.#masters = options.partial || options.stripComponents > 0 ? new Map() : undefined;
  }

  async run(): Promise<void> {
    const { matches, stripComponents, parts, signal, dryRun, stdout, workers } = this.#options;
    try {
      if (!dryRun && !stdout) this.#tree = new ExtractTree(this.#options.root);
      const encoded = this.#tree !== undefined && ExtractLanes.possible(this.#archive.objects, workers);
      const wanted = (item: Item) => matches(item.path) && strip(item.path, stripComponents) !== "";
      for await (const batch of preloadedBatches(this.#archive, { parts, encoded }, wanted)) {
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
      this.#tree?.close();
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
    this.#options.onItem?.(item.path);
    const tree = this.#tree;
    if (!tree) {
      await this.#contents(item);
      return;
    }
    this.#current = item.path;
    const place = placeOf(item.path);
    if (this.#underWay.has(place.path)) await this.#drain();
    const { mode } = item;
    const parent = tree.makeDirectory(place.parent, item.path);
    if (isDirectory(mode)) {
      await this.#directory(tree, place, parent, item);
      return;
    }
    // What else is in a plain file's way is removed when the file is made, by whoever makes it.
    const plain = isRegular(mode) && item.source === undefined;
    if (!plain || tree.knows(place.path)) {
      if (tree.knows(place.path)) await this.#drain();
      tree.remove(place, parent);
    }
    if (plain) {
      await this.#file(place, item);
      this.#extracted(item, original, place.path);
    } else if (isSymlink(mode)) {
      fs.symlink(item.source ?? "", place.name, parent);
      this.#restore(tree, place, parent, item);
    } else if (isRegular(mode) || isFifo(mode) || isDevice(mode)) {
      if (await this.#link(tree, place, item)) return;
      if (isRegular(mode)) await this.#file(place, item);
      else {
        createNode(place.name, item, parent);
        this.#restore(tree, place, parent, item);
      }
      this.#extracted(item, original, place.path);
    } else throw new BackupError(original, `Unknown archive item type 0o${mode.toString(8)}`);
  }

  /** Reads and verifies contents without writing files. */
  async #contents(item: Item): Promise<void> {
    const { stdout, onBytes } = this.#options;
    if (!item.chunks) return;
    let size = 0;
    for await (const data of this.#archive.objects.getMany(
      item.chunks.map((c) => c.id),
      true,
    )) {
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

  async #directory(tree: ExtractTree, place: Place, parent: Directory, item: Item): Promise<void> {
    const { name, path } = place;
    try {
      fs.mkdir(name, 0o700, parent);
    } catch (e) {
      if (!isSystemError(e, "EEXIST")) throw e;
      // An empty directory of before is made anew, as in Borg: nothing of its attributes stays.
      if (!tree.knows(path)) {
        await this.#drain();
        tree.remove(place, parent);
      }
      if (!this.#isDirectory(tree, name, parent)) fs.mkdir(name, 0o700, parent);
    }
    tree.remember(path);
    item.chunks = item.encoded = undefined;
    this.#directories.push(item);
  }

  #isDirectory(tree: ExtractTree, name: string, parent: Directory): boolean {
    try {
      return tree.isDirectory(name, parent);
    } catch (e) {
      if (isSystemError(e, "ENOENT")) return false;
      throw e;
    }
  }

  /** Links to what was extracted before, or gives the item the chunks of a master that was not. */
  async #link(tree: ExtractTree, place: Place, item: Item): Promise<boolean> {
    if (item.source === undefined) return false;
    let source: Place;
    let from: Directory;
    try {
      source = placeOf(strip(item.source, this.#options.stripComponents));
      const master = this.#masters?.get(item.source) ?? { chunks: undefined, link: source.path };
      if (master.link === undefined) {
        item.chunks = master.chunks;
        return false;
      }
      source = placeOf(master.link);
      if (this.#underWay.has(source.path)) await this.#drain();
      from = tree.directory(source.parent);
    } catch (e) {
      if (e instanceof BackupPathTraversal || parentError("", e) instanceof BackupSymlinkParent)
        throw new BackupHardlinkSource(item.path);
      throw e;
    }
    fs.link(source.name, place.name, from, tree.directory(place.parent));
    return true;
  }

  #extracted(item: Item, original: string, path: string): void {
    if (this.#masters && (item.source !== undefined || isMaster(item))) {
      this.#masters.set(item.source ?? original, { chunks: undefined, link: path });
    }
  }

  async #file({ path }: Place, item: Item): Promise<void> {
    this.#lane ??= this.#makeLane();
    this.#underWay.add(path);
    await this.#lane.write(item);
  }

  #makeLane(): FileLane {
    const { sparse, restore, workers, onWarning, onBytes, stripComponents } = this.#options;
    const options = { sparse, restore };
    const done = (path: string, bytes: number, warnings: readonly AlcoveWarning[]): void => {
      this.#underWay.delete(placeOf(path).path);
      onBytes?.(bytes, path);
      for (const w of warnings) onWarning?.(w);
    };
    const { objects } = this.#archive;
    const inline = () => new InlineLane(objects, this.#tree!, options, done);
    if (!ExtractLanes.possible(objects, workers)) return inline();
    const lanes = new ExtractLanes(objects, this.#options.root, options, {
      workers,
      renames: stripComponents > 0,
      done,
    });
    return objects.repository.isRemote ? new RemoteLanes(lanes, inline()) : lanes;
  }

  async #drain(): Promise<void> {
    if (this.#underWay.size > 0) await this.#lane!.drain();
  }

  #restore(tree: ExtractTree, { path, name }: Place, dir: Directory, item: Item): void {
    this.#restorer.restoreAttrs({ path: tree.absolute(path), dir, name }, item);
  }

  // Times and modes of directories last: what is made inside would change the one and be forbidden by the other.
  async #finishDirectories(): Promise<void> {
    const tree = this.#tree;
    const total = this.#directories.length;
    let done = 0;
    for (let item = this.#directories.pop(); tree && item; item = this.#directories.pop()) {
      const directory = item;
      this.#current = directory.path;
      await this.#guarded(directory.path, async () => {
        const place = placeOf(directory.path);
        let open: Directory;
        try {
          open = tree.directory(place.path);
        } catch (e) {
          throw parentError(directory.path, e);
        }
        // The open directory itself, not its name: that may have been given to something else.
        this.#restore(tree, { ...place, name: "." }, open, directory);
      });
      this.#options.onDirectory?.(++done, total);
    }
    this.#current = "";
    this.#restorer.flush();
  }
}
