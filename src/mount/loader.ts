// Turns the item stream of an archive into nodes of the tree. The stream is passed over once, chunk by chunk;
// of each item only its place is kept: the number of the metadata chunk and the offset in it. Chunks are numbered
// across archives, because archives of the same files share most of them.
import { createHash } from "node:crypto";
import { fsDecode } from "../format/bytes.ts";
import type { ChunkCache } from "./chunk-cache.ts";
import { idKey } from "./chunk-cache.ts";
import { FUSE_NAME_MAX, S_IFDIR, S_IFLNK, S_IFMT } from "./constants.ts";
import { decrypted, tidySoon } from "./garbage.ts";
import { ItemFormatError, ItemReader } from "./item-reader.ts";
import { newScannedItem, readParts, type ScannedItem, scanItem } from "./items.ts";
import type { MountArchive, MountSource } from "./source.ts";
import { SYNTHETIC, type Tree } from "./tree.ts";

/** Bit of a slot: the item spans chunks and was copied; the rest of the slot numbers the copy. */
const SPANNING = 0x80000000;
const SLASH = 0x2f;
/** The event loop gets a turn after so many milliseconds, so that other requests are answered meanwhile. */
const TURN_MS = 15;
/** Longest path that is shown: sixteen times what Linux takes in one call. */
const MAX_PATH = 65536;
/** Metadata chunks asked for in one go: about 1 MiB. */
const BATCH = 8;

export interface LoadOptions {
  /** Decides over an item's path as stored; absent: all. */
  filter?: (path: string) => boolean;
  stripComponents?: number;
  considerPartFiles?: boolean;
  versions?: boolean;
  log?: (level: "debug" | "warning", message: string) => void;
}

interface Place {
  slot: number;
  offset: number;
}

const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
const fromLatin1 = (text: string): Uint8Array => Buffer.from(text, "latin1");

/** Path without its first n components, undefined if nothing is left. */
function strip(path: Uint8Array, n: number): Uint8Array | undefined {
  let from = 0;
  for (; n > 0; n--) {
    const slash = path.indexOf(SLASH, from);
    if (slash < 0) return undefined;
    from = slash + 1;
  }
  return path.subarray(from);
}

/** name.ext → name.00001.ext, as Borg names the versions of a file. */
function versionedName(name: string, version: number): string {
  const dot = name.lastIndexOf(".");
  const hasExtension = dot > 0 && !/^\.*$/.test(name.slice(0, dot));
  const number = `.${String(version).padStart(5, "0")}`;
  return hasExtension ? name.slice(0, dot) + number + name.slice(dot) : name + number;
}

export class Loader {
  readonly #source: MountSource;
  readonly #tree: Tree;
  readonly #metadata: ChunkCache;
  readonly #options: LoadOptions;
  readonly #slotIds: Uint8Array[] = [];
  readonly #slotOf = new Map<string, number>();
  readonly #spanning: Uint8Array[] = [];
  /** Inodes whose chunk list is in another item: hard links whose first name was not selected. */
  readonly chunksFrom = new Map<number, Place>();
  /** Versions view: newest version of each path, with a digest of its chunk ids. */
  readonly #versions = new Map<string, { version: number; digest: string }>();
  #versionDirectories: Map<string, number> | undefined;
  readonly #reader = new ItemReader();
  readonly #partsReader = new ItemReader();

  constructor(source: MountSource, tree: Tree, metadata: ChunkCache, options: LoadOptions) {
    this.#source = source;
    this.#tree = tree;
    this.#metadata = metadata;
    this.#options = options;
  }

  get statistics(): { metadataChunks: number; copiedItems: number; copiedBytes: number } {
    let copiedBytes = 0;
    for (const item of this.#spanning) copiedBytes += item.length;
    return { metadataChunks: this.#slotIds.length, copiedItems: this.#spanning.length, copiedBytes };
  }

  /** Bytes that hold the item at its offset; undefined where the metadata chunk is gone. */
  bytes(slot: number): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    if (slot >= SPANNING) return this.#spanning[slot - SPANNING];
    const id = this.#slotIds[slot];
    return id && this.#metadata.get(id);
  }

  #slot(id: Uint8Array): number {
    const key = idKey(id);
    let slot = this.#slotOf.get(key);
    if (slot === undefined) {
      slot = this.#slotIds.length;
      this.#slotIds.push(id.slice());
      this.#slotOf.set(key, slot);
    }
    return slot;
  }

  /** Adds the archive's items below the directory `top`. On an error nothing of it stays. */
  async load(archive: MountArchive, top: number): Promise<void> {
    const begun = performance.now();
    try {
      await this.#load(archive, top);
    } catch (e) {
      if (!this.#options.versions) this.#tree.clear(top);
      throw e;
    }
    tidySoon();
    const took = ((performance.now() - begun) / 1000).toFixed(2);
    this.#options.log?.("debug", `mount: loaded archive ${archive.name} in ${took} s`);
  }

  async #load(archive: MountArchive, top: number): Promise<void> {
    const ids = await this.#source.itemChunks(archive);
    const build = new Build(this.#tree, top, this.#options, this);
    if (this.#options.versions) {
      this.#versionDirectories ??= build.directories;
      build.directories = this.#versionDirectories;
    }
    const reader = this.#reader;
    const scanned = newScannedItem();
    let rest: Uint8Array | undefined;
    let turn = performance.now();
    for (let from = 0; from < ids.length; from += BATCH) {
      const batch = ids.slice(from, from + BATCH);
      const chunks = await this.#source.getChunks(batch);
      for (let i = 0; i < batch.length; i++) {
        const data = chunks[i];
        if (!data) throw new ItemFormatError(`metadata of archive ${archive.name} is missing`);
        decrypted(data.length);
        rest = this.#scanChunk(build, reader, scanned, data, this.#slot(batch[i]!), rest);
      }
      if (performance.now() - turn > TURN_MS) {
        await new Promise((resolve) => setImmediate(resolve));
        turn = performance.now();
      }
    }
    if (rest) throw new ItemFormatError(`the item stream of archive ${archive.name} ends within an item`);
    reader.reset(new Uint8Array(0));
  }

  /** Scans the items that end in this chunk; gives back the beginning of one that does not. */
  #scanChunk(
    build: Build,
    reader: ItemReader,
    scanned: ScannedItem,
    data: Uint8Array,
    slot: number,
    rest: Uint8Array | undefined,
  ): Uint8Array | undefined {
    let position = 0;
    try {
      if (rest) {
        // One item over two (or more) chunks: it is kept as a copy.
        const joined = new Uint8Array(rest.length + data.length);
        joined.set(rest);
        joined.set(data, rest.length);
        reader.reset(joined);
        const before = rest.length;
        scanItem(reader, scanned);
        const copy = joined.slice(0, reader.position);
        position = reader.position - before;
        this.#spanning.push(copy);
        build.item(copy, scanned, { slot: SPANNING + this.#spanning.length - 1, offset: 0 });
        rest = undefined;
      }
      reader.reset(data, position);
      while (reader.position < data.length) {
        position = reader.position;
        scanItem(reader, scanned);
        build.item(data, scanned, { slot, offset: position });
      }
      return undefined;
    } catch (e) {
      if (!ItemReader.isTruncated(e)) throw e;
      if (!rest) return data.slice(position);
      const joined = new Uint8Array(rest.length + data.length);
      joined.set(rest);
      joined.set(data, rest.length);
      return joined;
    }
  }

  /** Version of a file in the versions view: one more whenever its contents differ from the last archive's. */
  version(path: string, bytes: Uint8Array, place: Place): number {
    this.#partsReader.reset(bytes, place.offset);
    const ids = readParts(this.#partsReader, true).chunks?.ids ?? new Uint8Array(0);
    const digest = createHash("sha256").update(ids).digest("base64");
    const known = this.#versions.get(path);
    if (known?.digest === digest) return known.version;
    const version = (known?.version ?? 0) + 1;
    this.#versions.set(path, { version, digest });
    return version;
  }
}

/** One archive under construction: what is only needed until its last item. */
class Build {
  readonly #tree: Tree;
  readonly #top: number;
  readonly #options: LoadOptions;
  readonly #loader: Loader;
  readonly #strip: number;
  /** Directories by path (latin1), for finding parents. */
  directories = new Map<string, number>();
  #lastParentPath: Uint8Array = new Uint8Array(0);
  #lastParent: number;
  /** Inodes that hard links may name, by path as stored. */
  readonly #masters = new Map<string, number>();
  /** First names of hard links that the filter left out. */
  readonly #unselected = new Map<string, Place>();

  constructor(tree: Tree, top: number, options: LoadOptions, loader: Loader) {
    this.#tree = tree;
    this.#top = top;
    this.#lastParent = top;
    this.#options = options;
    this.#loader = loader;
    this.#strip = options.stripComponents ?? 0;
  }

  item(bytes: Uint8Array, scanned: ScannedItem, place: Place): void {
    if (scanned.isPart && !this.#options.considerPartFiles) return;
    const stored = bytes.subarray(scanned.pathFrom, scanned.pathFrom + scanned.pathLength);
    const type = scanned.mode & S_IFMT;
    const linkable = type !== S_IFDIR && type !== S_IFLNK;
    const { filter } = this.#options;
    let path: Uint8Array | undefined = stored;
    if (stored.length > MAX_PATH) {
      this.#skip(stored.subarray(0, 200), "its path is too long");
      return;
    }
    if (filter && !filter(fsDecode(stored))) path = undefined;
    if (path && this.#strip) path = strip(path, this.#strip);
    if (!path) {
      if (linkable && scanned.sourceFrom < 0 && scanned.hardlinkMaster !== false) {
        this.#unselected.set(latin1(stored), place);
      }
      return;
    }
    if (type === S_IFDIR) {
      this.#directory(path, scanned.mode, place);
      return;
    }
    if (path.includes(0)) {
      this.#skip(path, "its name has a NUL in it");
      return;
    }
    const slash = path.lastIndexOf(SLASH);
    const name = path.subarray(slash + 1);
    if (name.length === 0 || name.length > FUSE_NAME_MAX || isDots(name)) {
      this.#skip(path, "it has no possible name");
      return;
    }
    const parent = slash < 0 ? this.#top : this.#parent(path.subarray(0, slash));
    if (parent < 0) {
      this.#skip(path, "its path is not possible");
      return;
    }
    const link = linkable && scanned.sourceFrom >= 0;
    const source = link
      ? latin1(bytes.subarray(scanned.sourceFrom, scanned.sourceFrom + scanned.sourceLength))
      : "";
    if (this.#options.versions) {
      this.#versionedLeaf(bytes, { path, name, parent, stored: latin1(stored), source }, scanned, place);
      return;
    }
    if (!link) {
      const node = this.#tree.add(parent, name, scanned.mode, place.slot, place.offset);
      if (linkable && scanned.hardlinkMaster) this.#masters.set(latin1(stored), node);
      return;
    }
    const target = this.#linkTarget(source);
    if (target) {
      this.#tree.addLink(parent, name, target);
      return;
    }
    const unselected = this.#unselected.get(source);
    if (!unselected) {
      this.#skip(path, "the file it is a hard link to is not there");
      return;
    }
    // The first selected name takes the place of the one that was left out.
    const node = this.#tree.add(parent, name, scanned.mode, place.slot, place.offset);
    this.#loader.chunksFrom.set(node, unselected);
    this.#masters.set(source, node);
  }

  #linkTarget(source: string): number {
    const known = this.#masters.get(source);
    if (known) return known;
    // Archives of old versions do not mark the first name: look the path up.
    const path = this.#strip ? strip(fromLatin1(source), this.#strip) : fromLatin1(source);
    if (!path || this.#unselected.has(source)) return 0;
    let node = this.#top;
    for (const part of latin1(path).split("/")) {
      if (!this.#tree.isDirectory(node)) return 0;
      node = this.#tree.find(node, fromLatin1(part));
      if (!node) return 0;
    }
    node = this.#tree.inode(node);
    return this.#tree.isDirectory(node) ? 0 : node;
  }

  #directory(path: Uint8Array, mode: number, place: Place): void {
    const node = this.#parent(path);
    if (node < 0) this.#skip(path, "its path is not possible");
    else this.#tree.describe(node, mode, place.slot, place.offset);
  }

  /** Node of the directory with that path, made where it is not there yet; −1 for an impossible path. */
  #parent(path: Uint8Array): number {
    const last = this.#lastParentPath;
    if (path.length === last.length) {
      let i = 0;
      while (i < last.length && last[i] === path[i]) i++;
      if (i === last.length) return this.#lastParent;
    }
    const node = this.#find(latin1(path));
    if (node >= 0) {
      this.#lastParentPath = path.slice();
      this.#lastParent = node;
    }
    return node;
  }

  #find(path: string): number {
    if (path === "" || path === ".") return this.#top;
    const known = this.directories.get(path);
    if (known) return known;
    // Iterative: a hostile path may have more parts than the stack has frames.
    let node = this.#top;
    let at = 0;
    while (at <= path.length) {
      let end = path.indexOf("/", at);
      if (end < 0) end = path.length;
      const part = path.slice(at, end);
      if (part !== "" && part !== ".") {
        if (part === ".." || part.length > FUSE_NAME_MAX || part.includes("\0")) return -1;
        const prefix = path.slice(0, end);
        let next = this.directories.get(prefix);
        if (!next) {
          next = this.#tree.add(node, fromLatin1(part), S_IFDIR | 0o755, SYNTHETIC, 0);
          this.directories.set(prefix, next);
        }
        node = next;
      }
      at = end + 1;
    }
    return node;
  }

  /** Versions view: a directory with the file's name, and in it one entry for each different content. */
  #versionedLeaf(
    bytes: Uint8Array,
    at: { path: Uint8Array; name: Uint8Array; parent: number; stored: string; source: string },
    scanned: ScannedItem,
    place: Place,
  ): void {
    const key = latin1(at.path);
    let directory = this.directories.get(key);
    if (!directory) {
      directory = this.#tree.add(at.parent, at.name, S_IFDIR | 0o755, SYNTHETIC, 0);
      this.directories.set(key, directory);
    }
    if (at.source) {
      const target = this.#masters.get(at.source);
      if (target) this.#tree.addLink(directory, at.name, target);
      else this.#skip(at.path, "the file it is a hard link to is not there");
      return;
    }
    let leaf = at.name;
    if (scanned.hasChunks) {
      const version = this.#loader.version(key, bytes, place);
      leaf = fromLatin1(versionedName(latin1(at.name), version));
    }
    const node = this.#tree.add(directory, leaf, scanned.mode, place.slot, place.offset);
    if (scanned.hardlinkMaster) this.#masters.set(at.stored, node);
  }

  #skip(path: Uint8Array, why: string): void {
    this.#options.log?.("warning", `mount: ${JSON.stringify(fsDecode(path))} is not shown: ${why}`);
  }
}

function isDots(name: Uint8Array): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
}
