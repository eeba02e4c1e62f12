// check of one archive: its metadata and its authentication, the item stream, and the chunks of every file. A repair
// writes the items that are left, with their changes, as a new stream, and new metadata that points to it.
// Borg's ArchiveChecker.rebuild_refcounts.
import { itemsChunkerParams } from "../chunker/index.ts";
import { IntegrityError } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import { type CheckLog, checkFileChunks, Replacements } from "./check-files.ts";
import { RobustItems } from "./check-items.ts";
import type { CheckObjects } from "./check-objects.ts";
import type { Item } from "./item.ts";
import { ItemEncoder } from "./item-encoder.ts";
import type { ArchiveInfo, Manifest } from "./manifest.ts";
import { type ArchiveMetadata, decodeArchiveMetadata } from "./metadata.ts";
import type { Objects } from "./objects.ts";
import { StreamChunker } from "./stream-chunker.ts";

export interface ArchiveCheckContext {
  repair: boolean;
  log: CheckLog;
  /** Logs an error and makes the check fail. */
  problem: (message: string) => void;
  signal?: AbortSignal | undefined;
}

interface Opened {
  metadata: ArchiveMetadata;
  verified: boolean;
  salt?: Uint8Array | undefined;
}

const PIECE_BYTES = 1 << 20;

export class ArchiveCheck {
  /** Archives that are not authentic; a repair takes them out of the manifest. */
  readonly notAuthentic: string[] = [];
  readonly #manifest: Manifest;
  readonly #objects: Objects;
  readonly #known: CheckObjects;
  readonly #context: ArchiveCheckContext;
  readonly #replacements: Replacements;
  #chunker: StreamChunker | undefined;

  constructor(manifest: Manifest, known: CheckObjects, context: ArchiveCheckContext) {
    this.#manifest = manifest;
    this.#objects = manifest.objects;
    this.#known = known;
    this.#context = context;
    this.#replacements = new Replacements(this.#objects, known, context.repair);
  }

  async run(info: ArchiveInfo): Promise<void> {
    const opened = await this.#open(info);
    if (!opened) {
      this.#manifest.archives.delete(info.name);
      return;
    }
    const known = this.#known;
    const { items } = opened.metadata;
    let changed = !opened.verified && this.#objects.key.tamRequired;
    const lost = { files: 0, bytes: 0 };
    const report = (message: string) => {
      changed = true;
      this.#context.problem(`${info.name}: ${message}`);
    };
    for await (const item of this.#items(items, report)) {
      const verdict = await this.#file(item, `${info.name}: ${item.path}`, this.#context.log);
      changed ||= verdict.changed;
      if (!verdict.damaged) continue;
      lost.files++;
      lost.bytes += verdict.zeroed;
    }
    if (lost.files)
      this.#context.problem(
        `${info.name}: ${lost.files} damaged files, in which ${lost.bytes} bytes are newly lost.`,
      );
    if (changed && this.#context.repair) await this.#rewrite(info, opened);
    else {
      known.use(info.id);
      for (const id of items) known.use(id);
    }
  }

  async #open(info: ArchiveInfo): Promise<Opened | undefined> {
    const { problem, repair } = this.#context;
    const hex = toHex(info.id);
    for await (const { data, error } of this.#known.read(this.#objects, [info.id])) {
      if (error) problem(`Archive metadata block ${hex} of ${info.name} is corrupted: ${error.message}`);
      if (!data) {
        if (!error) problem(`Archive metadata block ${hex} of ${info.name} is missing!`);
        const how = repair ? "is" : "would be";
        this.#context.log("error", `${info.name} cannot be saved: it ${how} removed from the manifest.`);
        return undefined;
      }
      try {
        const { metadata, verified, salt } = this.#objects.key.unpackAndVerifyArchive(data);
        return { metadata: decodeArchiveMetadata(metadata), verified, salt };
      } catch (e) {
        if (!(e instanceof IntegrityError)) throw e;
        problem(`Archive TAM authentication issue for archive ${info.name}: ${e.message}`);
        this.#context.log(
          "error",
          repair
            ? "This archive is *removed* from the manifest, and its data deleted!"
            : "--repair would *remove* and delete this archive! If you trust it, authenticate it first: upgrade --archives-tam.",
        );
        this.notAuthentic.push(info.name);
        return undefined;
      }
    }
    return undefined;
  }

  /** The items that can be read. */
  async *#items(ids: readonly Uint8Array[], report: (message: string) => void): AsyncGenerator<Item> {
    let place = "";
    const stream = new RobustItems(this.#manifest.itemKeys, (what) => report(`${what} ${place}`));
    let number = 0;
    for await (const { id, data, error } of this.#known.read(this.#objects, ids)) {
      this.#context.signal?.throwIfAborted();
      place = `[chunk: ${String(number++).padStart(6, "0")}_${toHex(id)}]`;
      if (data) yield* stream.feed(data);
      else {
        report(error ? `${error.message} ${place}` : `item metadata chunk missing ${place}`);
        stream.gap();
      }
    }
    if (stream.pending) report("The stream of items ends inside an item.");
  }

  async #file(item: Item, where: string, log: CheckLog) {
    return checkFileChunks(item, where, {
      known: this.#known,
      replacements: this.#replacements,
      repair: this.#context.repair,
      log,
    });
  }

  /** The items once more, silently: the replacements are there now, so the result is what was reported. */
  async #rewrite(info: ArchiveInfo, { metadata, salt }: Opened): Promise<void> {
    const { core, key } = this.#objects;
    this.#chunker ??= new StreamChunker(core, itemsChunkerParams, key.chunkSeed);
    const ids: Uint8Array[] = [];
    for await (const piece of this.#chunker.chunks(this.#encoded(metadata.items)))
      ids.push(await this.#put(piece));
    const raw = new Map(metadata.raw);
    raw.set("items", ids);
    const id = await this.#put(key.packAndAuthenticate(raw, "archive", salt));
    for (const old of [info.id, ...metadata.items]) this.#known.supersede(old);
    this.#manifest.archives.set(info.name, id, info.time);
  }

  async *#encoded(ids: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
    const encoder = new ItemEncoder();
    const silent = () => {};
    for await (const item of this.#items(ids, silent)) {
      await this.#file(item, "", silent);
      encoder.encode(item);
      if (encoder.length < PIECE_BYTES) continue;
      yield encoder.bytes();
      encoder.consume(encoder.length);
    }
    yield encoder.bytes();
  }

  async #put(data: Uint8Array): Promise<Uint8Array> {
    const id = this.#objects.id(data);
    if (!this.#known.has(id)) await this.#objects.repository.put(id, await this.#objects.pack(data));
    this.#known.add(id);
    return id;
  }
}
