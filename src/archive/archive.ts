// An archive that exists: its metadata, and its items as a stream decoded from the chunks they are stored in.
import { ArchiveDoesNotExist, IntegrityError } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import { parseTimestamp } from "../format/time.ts";
import type { Item } from "./item.ts";
import { ItemDecoder, type Wanted } from "./item-decoder.ts";
import { itemPieces } from "./item-pieces.ts";
import type { Manifest } from "./manifest.ts";
import { type ArchiveMetadata, decodeArchiveMetadata } from "./metadata.ts";
import type { Objects } from "./objects.ts";

export interface ItemOptions {
  /** Include checkpoint part files (--consider-part-files). */
  parts?: boolean;
  /** Decode these fields only (path is always there). */
  wanted?: Wanted;
  /** Items have their encoded form, too. */
  encoded?: boolean;
  /** Called with each chunk of the stream that is done, of how many. */
  progress?: (done: number, total: number) => void;
}

export class Archive {
  readonly manifest: Manifest;
  readonly id: Uint8Array;
  readonly name: string;
  readonly metadata: ArchiveMetadata;
  /** Whether the metadata's authentication did verify. */
  readonly tamVerified: boolean;
  /** The salt of a TAM that verified, reused when the metadata is written again. */
  readonly tamSalt: Uint8Array | undefined;

  constructor(
    manifest: Manifest,
    id: Uint8Array,
    metadata: ArchiveMetadata,
    tamVerified: boolean,
    tamSalt?: Uint8Array,
  ) {
    this.manifest = manifest;
    this.id = id;
    this.name = metadata.name;
    this.metadata = metadata;
    this.tamVerified = tamVerified;
    this.tamSalt = tamSalt;
  }

  /** @throws ArchiveDoesNotExist, IntegrityError */
  static async open(manifest: Manifest, name: string): Promise<Archive> {
    const info = manifest.archives.get(name);
    if (!info) throw new ArchiveDoesNotExist(name);
    return Archive.load(manifest, info.id);
  }

  /** By the id of its metadata object. An archive without TAM can be read (Borg before 1.2.5 wrote none). */
  static async load(manifest: Manifest, id: Uint8Array): Promise<Archive> {
    const data = await manifest.objects.get(id);
    const { metadata, verified, salt } = manifest.key.unpackAndVerifyArchive(data, {
      forceNotRequired: true,
    });
    return new Archive(manifest, id, decodeArchiveMetadata(metadata), verified, salt);
  }

  get objects(): Objects {
    return this.manifest.objects;
  }

  /** Hex of the id: what Borg calls the archive's fingerprint. */
  get fingerprint(): string {
    return toHex(this.id);
  }

  /** Start and end in microseconds since the epoch. */
  get start(): number {
    return parseTimestamp(this.metadata.time);
  }

  get end(): number {
    return parseTimestamp(this.metadata.timeEnd);
  }

  /** The items in archive order, in batches: one chunk of the stream each, to keep awaits off the hot path. */
  async *itemBatches(options: ItemOptions = {}): AsyncGenerator<Item[]> {
    // Part files are told by their "part", so that is always decoded.
    const wanted = options.wanted && new Set([...options.wanted, "part"]);
    const total = this.metadata.items.length;
    let done = 0;
    for await (const decoder of this.decoders(wanted)) {
      const batch: Item[] = [];
      // One copy for all items of the batch.
      const encoded = options.encoded ? decoder.bytes.slice() : undefined;
      for (let from = decoder.position; ; from = decoder.position) {
        const item = decoder.next();
        if (!item) break;
        if (item.part !== undefined && !options.parts) continue;
        if (encoded) item.encoded = encoded.subarray(from, decoder.position);
        batch.push(item);
      }
      options.progress?.(++done, total);
      yield batch;
    }
  }

  /** Decoders that have been fed the stream's next piece, for readers that look at the bytes themselves. All items
   *  that are complete must be taken before going on. */
  async *decoders(wanted?: Wanted): AsyncGenerator<ItemDecoder> {
    const decoder = new ItemDecoder(wanted);
    for await (const data of itemPieces(this.objects, this.metadata.items)) {
      decoder.feed(data);
      yield decoder;
      decoder.keepRest();
    }
    if (decoder.pending > 0)
      throw new IntegrityError(`The item stream of archive ${this.name} ends inside an item.`);
  }

  /** The items in archive order. */
  async *items(options: ItemOptions = {}): AsyncGenerator<Item> {
    for await (const batch of this.itemBatches(options)) yield* batch;
  }
}
