// Digests of index and cache files, as Borg's crypto/file_integrity.py makes them: XXH64 over the file's base name,
// its bytes, and, at the end of each named part, the part's name and the position. Kept as JSON beside the file
// (name.integrity) or in the cache's config. XXH64 is no protection against people, only against bad disks.

import { createHash } from "node:crypto";
import { Xxh64 } from "../core/index.ts";
import { FileIntegrityError } from "../errors.ts";
import { fsEncode } from "../format/bytes.ts";

interface Hasher {
  update(data: Uint8Array): void;
  hex(): string;
}

const ALGORITHMS: Record<string, () => Hasher> = {
  XXH64: () => {
    const h = new Xxh64();
    return { update: (data) => void h.update(data), hex: () => h.digestHex() };
  },
  SHA512: () => {
    const h = createHash("sha512");
    return { update: (data) => void h.update(data), hex: () => h.copy().digest("hex") };
  },
};

const PIECE = 1 << 20;
/** Bytes of a hash index file that form the part "HashHeader". */
export const HASH_HEADER_SIZE = 18;

export interface IntegrityData {
  algorithm: string;
  digests: Record<string, string>;
}

/** Digests while a file's bytes pass by, from its start to its end. */
export class FileHasher {
  readonly #hasher: Hasher;
  readonly #algorithm: string;
  #position = 0;
  readonly digests: Record<string, string> = {};

  constructor(baseName: string, algorithm = "XXH64") {
    this.#algorithm = algorithm;
    this.#hasher = ALGORITHMS[algorithm]!();
    this.#label(baseName);
  }

  update(data: Uint8Array): void {
    // In pieces, because the core keeps a staging region as large as the largest it was ever given.
    for (let at = 0; at < data.length; at += PIECE) this.#hasher.update(data.subarray(at, at + PIECE));
    this.#position += data.length;
  }

  /** Ends a part here; the last one is "final". Returns its digest. */
  part(name: string): string {
    this.#label(name);
    this.#hasher.update(Buffer.from(String(this.#position), "latin1"));
    const digest = this.#hasher.hex();
    this.digests[name] = digest;
    return digest;
  }

  /** The JSON text that Borg stores. */
  data(): string {
    const digests = Object.entries(this.digests).map(
      ([k, v]) => `${JSON.stringify(k)}: ${JSON.stringify(v)}`,
    );
    return `{"algorithm": ${JSON.stringify(this.#algorithm)}, "digests": {${digests.join(", ")}}}`;
  }

  #label(text: string): void {
    const bytes = fsEncode(text);
    this.#hasher.update(Buffer.from(String(bytes.length).padStart(10), "latin1"));
    this.#hasher.update(bytes);
  }
}

/** The JSON of a file's digests. Undefined for an algorithm that is not known (nothing can be verified then).
 *  @throws FileIntegrityError where it is not such JSON */
export function parseIntegrityData(path: string, text: string): IntegrityData | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new FileIntegrityError(path);
  }
  const { algorithm, digests } = (json ?? {}) as Partial<IntegrityData>;
  if (typeof algorithm !== "string") throw new FileIntegrityError(path);
  if (!Object.hasOwn(ALGORITHMS, algorithm)) return undefined;
  if (typeof digests !== "object" || digests === null || typeof digests["final"] !== "string") {
    throw new FileIntegrityError(path);
  }
  return { algorithm, digests };
}

/** The integrity JSON of a whole file. hashIndex: it has the part "HashHeader". */
export function integrityOf(baseName: string, chunks: Iterable<Uint8Array>, hashIndex: boolean): string {
  return hashed(baseName, chunks, hashIndex, "XXH64").data();
}

function hashed(
  baseName: string,
  chunks: Iterable<Uint8Array>,
  hashIndex: boolean,
  algorithm: string,
): FileHasher {
  const hasher = new FileHasher(baseName, algorithm);
  let header = hashIndex ? HASH_HEADER_SIZE : 0;
  for (const chunk of chunks) {
    if (header > 0) {
      const head = chunk.subarray(0, header);
      hasher.update(head);
      header -= head.length;
      if (header > 0) continue;
      hasher.part("HashHeader");
      if (head.length < chunk.length) hasher.update(chunk.subarray(head.length));
    } else hasher.update(chunk);
  }
  hasher.part("final");
  return hasher;
}

/** Compares a file's bytes with its digests; text undefined verifies nothing.
 *  @throws FileIntegrityError */
export function verifyIntegrity(
  path: string,
  baseName: string,
  bytes: Uint8Array,
  text: string | undefined,
  hashIndex: boolean,
): void {
  if (text === undefined) return;
  const data = parseIntegrityData(path, text);
  if (data === undefined) return;
  const { digests } = hashed(baseName, [bytes], hashIndex, data.algorithm);
  for (const [part, digest] of Object.entries(digests)) {
    if (data.digests[part] !== digest) throw new FileIntegrityError(path);
  }
}
