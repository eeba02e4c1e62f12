// Opens large objects of a repository one after the other, in the core's memory from decryption to the check of the id:
// nothing is allocated for an object, whose buffers of megabytes would have to be filled with pages each time.
import { BLOB_HEADER, LZ4, NONE } from "../compress/in-core.ts";
import { type Compressor, createCompressor, defaultCompression } from "../compress/index.ts";
import type { Core } from "../core/index.ts";
import { type KeyMaterial, Sealer } from "../crypto/material.ts";
import { MAX_OBJECT_SIZE } from "../repository/constants.ts";
import { MAX_DATA_SIZE } from "./constants.ts";

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
    const content = this.openUnidentified(blob, id);
    this.#sealer.checkId(id, content);
    return content;
  }

  /** As open(), of the manifest, whose id is no hash. */
  openUnidentified(blob: Uint8Array, id: Uint8Array): Uint8Array {
    return this.#decompress(this.#open(blob, id));
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
    if (packed.buffer === core.memory.buffer && packed.length > BLOB_HEADER && packed[1] === 0) {
      const length = packed.length - BLOB_HEADER;
      if (packed[0] === NONE && length <= MAX_DATA_SIZE) return packed.subarray(BLOB_HEADER);
      if (packed[0] === LZ4) {
        const at = packed.byteOffset + BLOB_HEADER;
        this.#regions.plain ||= core.alloc(MAX_DATA_SIZE);
        const size = core.lz4Decompress(at, length, this.#regions.plain, MAX_DATA_SIZE);
        if (size >= 0) return core.u8.subarray(this.#regions.plain, this.#regions.plain + size);
        // The codec says what is wrong; growing may have moved the memory.
        return this.#codec.decompress(core.u8.slice(at - BLOB_HEADER, at + length), MAX_DATA_SIZE);
      }
    }
    return this.#codec.decompress(packed, MAX_DATA_SIZE);
  }
}
