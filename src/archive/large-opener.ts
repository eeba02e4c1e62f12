// Opens large objects of a repository one after the other, in the core's memory from decryption to the check of the id:
// nothing is allocated for an object, whose buffers of megabytes would have to be filled with pages each time.
import { type Compressor, createCompressor, defaultCompression } from "../compress/index.ts";
import type { Core } from "../core/index.ts";
import { type KeyMaterial, Sealer } from "../crypto/material.ts";
import { MAX_OBJECT_SIZE } from "../repository/constants.ts";
import { MAX_DATA_SIZE } from "./constants.ts";

const NONE = 0;
const LZ4 = 1;

/** Addresses of regions of the largest size there is: what is never written to takes no memory. 0 for none yet. */
interface Regions {
  packed: number;
  plain: number;
}

// The same for all openers of a core, whose memory is never given back.
const regions = new WeakMap<Core, Regions>();
function regionsOf(core: Core): Regions {
  const known = regions.get(core) ?? { packed: 0, plain: 0 };
  regions.set(core, known);
  return known;
}

export class LargeOpener {
  readonly #core: Core;
  readonly #sealer: Sealer;
  readonly #codec: Compressor;
  readonly #encrypted: boolean;
  readonly #regions: Regions;

  constructor(material: KeyMaterial, core: Core) {
    this.#core = core;
    this.#regions = regionsOf(core);
    this.#sealer = new Sealer(material, core);
    this.#codec = createCompressor(defaultCompression, core);
    this.#encrypted = this.#sealer.info.encrypted;
  }

  /** The object's plaintext, authenticated: a view that stays valid until the next one is opened with the same core.
   *  @throws IntegrityError, DecompressionError */
  open(blob: Uint8Array, id: Uint8Array): Uint8Array {
    const content = this.#decompress(this.#open(blob, id));
    this.#sealer.checkId(id, content);
    return content;
  }

  #open(blob: Uint8Array, id: Uint8Array): Uint8Array {
    if (!this.#encrypted) return this.#sealer.open(blob, id);
    return this.#sealer.openInto(blob, id, (length) => {
      this.#regions.packed ||= this.#core.alloc(MAX_OBJECT_SIZE);
      return this.#core.u8.subarray(this.#regions.packed, this.#regions.packed + length);
    });
  }

  #decompress(packed: Uint8Array): Uint8Array {
    const core = this.#core;
    if (packed.buffer === core.memory.buffer && packed.length > 2 && packed[1] === 0) {
      if (packed[0] === NONE && packed.length - 2 <= MAX_DATA_SIZE) return packed.subarray(2);
      if (packed[0] === LZ4) {
        const [at, length] = [packed.byteOffset + 2, packed.length - 2];
        this.#regions.plain ||= core.alloc(MAX_DATA_SIZE);
        const size = core.lz4Decompress(at, length, this.#regions.plain, MAX_DATA_SIZE);
        if (size >= 0) return core.u8.subarray(this.#regions.plain, this.#regions.plain + size);
        // The codec says what is wrong; growing may have moved the memory.
        return this.#codec.decompress(core.u8.slice(at - 2, at + length), MAX_DATA_SIZE);
      }
    }
    return this.#codec.decompress(packed, MAX_DATA_SIZE);
  }
}
