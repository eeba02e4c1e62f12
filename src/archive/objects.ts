// Repository objects as plaintext: compress and seal on the way in; open, decompress and verify the id on the
// way out. Everything that reads or writes single objects (manifest, archive metadata, item stream) goes here;
// file contents in bulk go through the pipelines, with the same parts.
import { type CompressionSpec, type Compressor, createCompressor } from "../compress/index.ts";
import type { Core } from "../core/index.ts";
import type { Key } from "../crypto/keys.ts";
import { IntegrityError } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import type { Repository } from "../repository/types.ts";
import { MAX_DATA_SIZE } from "./constants.ts";
import { LargeOpener } from "./large-opener.ts";

export class Objects {
  readonly repository: Repository;
  readonly key: Key;
  readonly core: Core;
  readonly #compressor: Compressor;
  #opener: LargeOpener | undefined;

  /** @param compression for what is written; everything can be read. Its codecs must be prepared. */
  constructor(repository: Repository, key: Key, core: Core, compression: CompressionSpec) {
    this.repository = repository;
    this.key = key;
    this.core = core;
    this.#compressor = createCompressor(compression, core);
  }

  id(data: Uint8Array): Uint8Array {
    return this.key.idHash(data);
  }

  /** Plaintext to the stored form. */
  async pack(data: Uint8Array): Promise<Uint8Array> {
    return this.key.encrypt(this.#compressor.compress(data));
  }

  /** The stored form to plaintext, its id verified. @throws IntegrityError, DecompressionError */
  unpack(id: Uint8Array, blob: Uint8Array): Uint8Array {
    const data = this.#plain(blob, id);
    this.key.checkId(id, data);
    return data;
  }

  /** Opens object after object in the same memory. */
  get opener(): LargeOpener {
    this.#opener ??= new LargeOpener(this.key.material, this.core);
    return this.#opener;
  }

  /** The manifest's id is fixed, not a hash: its authentication is the TAM's. */
  unpackUnidentified(blob: Uint8Array): Uint8Array {
    return this.#plain(blob);
  }

  // A plain Uint8Array whatever the host gave: a Buffer's slice() is a view, which no caller expects.
  #plain(blob: Uint8Array, id?: Uint8Array): Uint8Array {
    const data = this.#compressor.decompress(this.key.decrypt(blob, id), MAX_DATA_SIZE);
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }

  /** @throws ObjectNotFound, IntegrityError */
  async get(id: Uint8Array): Promise<Uint8Array> {
    return this.unpack(id, await this.repository.get(id));
  }

  /** Plaintexts in the order of the ids. */
  async *getMany(ids: readonly Uint8Array[], preloaded = false): AsyncGenerator<Uint8Array> {
    let i = 0;
    for await (const blob of this.repository.getMany(ids, { preloaded })) {
      const id = ids[i++]!;
      if (blob === undefined) throw new IntegrityError(`Chunk ${toHex(id)} is missing in the repository.`);
      yield this.unpack(id, blob);
    }
  }
}
