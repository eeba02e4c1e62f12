// Deterministic test data: bytes of several kinds from a small generator, so that a failure can be repeated.

/** xorshift32; numbers in [0, 2^32). */
export function generator(seed: number): () => number {
  let x = seed | 0 || 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

export type Kind = "random" | "text" | "zeros" | "runs" | "mixed";

export const kinds: readonly Kind[] = ["random", "text", "zeros", "runs", "mixed"];

/** `size` bytes of a kind: incompressible, word-like, zeros, short runs of equal bytes, or stretches of each. */
export function bytes(size: number, kind: Kind, seed = 1): Uint8Array {
  const next = generator(seed);
  const out = new Uint8Array(size);
  if (kind === "random") {
    const words = new Uint32Array(out.buffer, 0, size >> 2);
    for (let i = 0; i < words.length; i++) words[i] = next();
    for (let i = words.length * 4; i < size; i++) out[i] = next();
  } else if (kind === "text") {
    const words = Array.from({ length: 500 }, () =>
      next()
        .toString(36)
        .slice(0, 1 + (next() % 7)),
    );
    const encoder = new TextEncoder();
    for (let at = 0; at < size; ) {
      const { written } = encoder.encodeInto(words[next() % (1 + (next() % 500))]! + " ", out.subarray(at));
      at += written || 1;
    }
  } else if (kind === "runs") {
    for (let at = 0; at < size; ) {
      const n = 1 + (next() % 40);
      out.fill(next() % 8, at, at + n);
      at += n;
    }
  } else if (kind === "mixed") {
    for (let at = 0; at < size; ) {
      const n = Math.min(size - at, 1 + (next() % 300_000));
      out.set(bytes(n, kinds[next() % 4]!, next()), at);
      at += n;
    }
  }
  return out;
}

/** Sizes around the block boundaries of every kernel. */
export const edgeSizes: readonly number[] = [
  ...Array.from({ length: 140 }, (_, i) => i),
  191,
  192,
  193,
  255,
  256,
  257,
  383,
  384,
  385,
  511,
  512,
  513,
  1000,
  4095,
  4096,
  4097,
  65535,
  65536,
  65537,
];
