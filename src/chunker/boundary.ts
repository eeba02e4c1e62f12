// Where a long stream can be divided so that its parts are cut into chunks by themselves, at the same points.
//
// Borg's cuts follow from each other: each search begins `min` behind the last cut. But let p and q be two positions one
// after the other whose window's hash has the zero bits, q < p, and
//     min + window ≤ p − q ≤ max − min − window.
// Then p is a cut whatever came before. Let c be the last cut before p.
//   c < q, and q was too near (q < c + min): the first such position from c + min on is p, and p < c + max − window.
//   c < q, and q was too far (q ≥ c + max − window): a cut would be forced at c + max ≤ q + window < p, behind c.
//   c = q: p is the next one, and neither too near nor too far.
//   c > q: it was forced, max behind a cut c − max, so q was too near or too far for that one. If too near, c > q + max −
//   min > p. If too far, c ≤ q + window, and p is the next one, at least min behind c and less than max − window.
// A part that ends at p may be cut as if the stream ended there: between q and p is nothing that could be a cut.
// Three of four pairs are such pairs with Borg's usual parameters, so that a few megabytes tell.

import type { ChunkerParams } from "./params.ts";

/** Positions looked at before a search is given up: data in which every position fits has no boundary. */
const MOST_POSITIONS = 4096;

/** Distances of two neighbouring positions that make the second one a boundary. */
export function boundaryDistances(params: { minSize: number; maxSize: number; windowSize: number }): {
  least: number;
  most: number;
} {
  const { minSize, maxSize, windowSize } = params;
  return { least: minSize + windowSize, most: maxSize - minSize - windowSize };
}

/** Whether a stream that is cut with these parameters can be divided, within a few megabytes of where one wants to. */
export function hasBoundaries(params: ChunkerParams): boolean {
  if (params.algo !== "buzhash") return false;
  const { minExp, maxExp, maskBits, windowSize } = params;
  const { least, most } = boundaryDistances({ minSize: 2 ** minExp, maxSize: 2 ** maxExp, windowSize });
  return most - least >= 2 ** (maskBits - 2);
}

/** A search through a buffer that grows at its end. */
export class BoundarySearch {
  /** The position to be looked at next. */
  at = 0;
  #last = -1;
  #seen = 0;

  /** Takes the next position whose hash has the zero bits. @returns whether it is a boundary */
  take(position: number, least: number, most: number): boolean {
    const distance = position - this.#last;
    const found = this.#last >= 0 && distance >= least && distance <= most;
    this.#last = position;
    this.at = position + 1;
    this.#seen++;
    return found;
  }

  get isHopeless(): boolean {
    return this.#seen >= MOST_POSITIONS;
  }
}
