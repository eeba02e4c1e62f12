// Random choices that can be repeated: mulberry32.
export interface Seeded {
  /** 0 … n − 1. */
  below(n: number): number;
  pick<T>(list: readonly T[]): T;
  bytes(n: number): Uint8Array;
}

export function seeded(seed: number): Seeded {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const below = (n: number) => next() % n;
  return {
    below,
    pick: (list) => list[below(list.length)]!,
    bytes: (n) => Uint8Array.from({ length: n }, () => next() & 255),
  };
}
