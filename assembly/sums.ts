// Sums over the buckets of a chunks cache (src/cache/chunks.ts), whole or as far as one archive uses it.

/** A bucket: the id, then how many references there are, size and compressed size. */
const BUCKET: usize = 44;
const REFERENCES: usize = 32;
const SIZE: usize = 36;
const CSIZE: usize = 40;
/** Marks of buckets that hold nothing begin here. */
const DELETED: u32 = 0xfffffffe;

/**
 * Adds n buckets at p to six 64-bit sums: size and compressed size of all references, size and compressed size of each
 * chunk that counts as unique, references, unique chunks. Without counts (0) all references are meant, and each chunk
 * counts as unique; else counts has 32 bits a bucket, of the references that are meant, and those chunks are unique that
 * nobody else refers to. Sums are modulo 2^64.
 */
export function sumChunks(p: usize, n: usize, counts: usize, sums: usize): void {
  let size: u64 = load<u64>(sums);
  let csize: u64 = load<u64>(sums, 8);
  let uniqueSize: u64 = load<u64>(sums, 16);
  let uniqueCsize: u64 = load<u64>(sums, 24);
  let references: u64 = load<u64>(sums, 32);
  let unique: u64 = load<u64>(sums, 40);
  for (const end = p + n * BUCKET; p < end; p += BUCKET) {
    const all = load<u32>(p, REFERENCES);
    let meant = all < DELETED ? all : 0;
    let isUnique = all < DELETED;
    if (counts) {
      meant = load<u32>(counts);
      counts += 4;
      if (!meant) continue;
      isUnique = meant == all;
    }
    const one: u64 = load<u32>(p, SIZE);
    const stored: u64 = load<u32>(p, CSIZE);
    size += one * meant;
    csize += stored * meant;
    references += meant;
    if (!isUnique) continue;
    uniqueSize += one;
    uniqueCsize += stored;
    unique++;
  }
  store<u64>(sums, size);
  store<u64>(sums, csize, 8);
  store<u64>(sums, uniqueSize, 16);
  store<u64>(sums, uniqueCsize, 24);
  store<u64>(sums, references, 32);
  store<u64>(sums, unique, 40);
}
