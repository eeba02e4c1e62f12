// Both parts of check at one read: while the repository part asks for the entries of the segments, one after the other,
// workers read them ahead, verify every CRC, and with verifyData MAC and id of what is an object now. What that found
// out about the data, the archives part takes over. Borg reads everything twice.

import type { HashIndex } from "../core/hashindex.ts";
import type { Core } from "../core/index.ts";
import type { Environment } from "../crypto/environment.ts";
import { AlcoveError } from "../errors.ts";
import type { EntryArrays, SegmentReader } from "../repository/check-entries.ts";
import type { Repository } from "../repository/types.ts";
import { indexIds, openCheckedObjects } from "./check-key.ts";
import { type Checked, checkPieces, type Lanes, PIECE_BYTES, PIECE_OBJECTS } from "./check-lanes.ts";
import type { Piece } from "./check-piece.ts";
import { Tally, type Verified } from "./check-verify.ts";
import type { Objects } from "./objects.ts";

export interface JointOptions {
  core: Core;
  environment: Environment;
  /** MACs and ids, too. */
  verifyData: boolean;
  workers: number;
  /** Bytes of a segment that are one piece of work; for tests. */
  pieceBytes?: number;
  signal?: AbortSignal | undefined;
}

/** What checkArchives need not do again. */
export interface JointFindings {
  objects?: Objects | undefined;
  verified?: Verified | undefined;
  /** Why the key could not be had. */
  failure?: AlcoveError | undefined;
}

/** To be given to the repository's check; `findings` are complete when that has ended well. */
export class JointCheck implements SegmentReader {
  readonly findings: JointFindings = {};
  readonly #repository: Repository;
  readonly #segmentPath: (segment: number) => string;
  readonly #options: JointOptions;
  #lanes: Lanes | undefined;
  #ahead: Checked | undefined;
  /** Of the objects met so far; undefined once a segment had to be left to the repository's own reading. */
  #tally: Tally | undefined;
  #left = 0;

  private constructor(
    repository: Repository,
    segmentPath: (segment: number) => string,
    options: JointOptions,
  ) {
    this.#repository = repository;
    this.#segmentPath = segmentPath;
    this.#options = options;
  }

  /** Undefined for a repository whose segments are not here. */
  static of(repository: Repository, options: JointOptions): JointCheck | undefined {
    if (!("segmentPath" in repository)) return undefined;
    const local = repository as unknown as { segmentPath(segment: number): string };
    return new JointCheck(repository, (segment) => local.segmentPath(segment), options);
  }

  async start(index: HashIndex, segments: readonly number[]): Promise<void> {
    const { core, environment, verifyData, workers, signal } = this.#options;
    const { findings } = this;
    this.#left = segments.length;
    if (verifyData) {
      try {
        findings.objects = await openCheckedObjects(this.#repository, indexIds(index), environment, core);
      } catch (e) {
        // Told when the archives' turn comes: until then the repository can be checked without a key.
        if (!(e instanceof AlcoveError)) throw e;
        findings.failure = e;
      }
    }
    const material = findings.objects?.key.material;
    if (material) this.#tally = new Tally();
    const pieces = segmentPieces(index, segments, this.#segmentPath, {
      verify: material !== undefined,
      bytes: this.#options.pieceBytes ?? PIECE_BYTES,
    });
    this.#lanes = await checkPieces(pieces, { core, material, workers, signal });
  }

  async next(segment: number): Promise<EntryArrays[] | undefined> {
    const entries: EntryArrays[] = [];
    let intact = true;
    for (;;) {
      this.#ahead ??= await this.#lanes!.next();
      if (this.#ahead?.piece.segment !== segment) break;
      const { result } = this.#ahead;
      this.#ahead = undefined;
      if (result.entries) entries.push(result.entries);
      else intact = false;
      this.#tally?.add(result);
    }
    if (!intact) this.#tally = undefined;
    if (--this.#left === 0) this.findings.verified = this.#tally?.sorted();
    return intact ? entries : undefined;
  }

  async close(): Promise<void> {
    const lanes = this.#lanes;
    this.#lanes = undefined;
    await lanes?.close();
  }
}

/** All of the segments in pieces, which begin at objects of the index. 8 bytes of memory an object. */
function* segmentPieces(
  index: HashIndex,
  segments: readonly number[],
  path: (segment: number) => string,
  { verify, bytes }: { verify: boolean; bytes: number },
): Generator<Piece> {
  // Segment and offset as one number: what is typed is sorted without a call for each comparison.
  const places = new BigUint64Array(index.size);
  const words = new Uint32Array(places.buffer);
  for (let slot = index.next(-1), n = 0; slot >= 0; slot = index.next(slot)) {
    words[n++] = index.word(slot, 1);
    words[n++] = index.word(slot, 0);
  }
  places.sort();
  const segmentOf = (i: number): number => words[2 * i + 1]!;
  const offsetOf = (i: number): number => words[2 * i]!;
  let at = 0;
  for (const segment of segments) {
    // Objects in segments that are not there: the comparison of the indexes will tell.
    while (at < places.length && segmentOf(at) < segment) at++;
    const file = path(segment);
    for (let from = 0; from >= 0; ) {
      const first = at;
      while (
        at < places.length &&
        segmentOf(at) === segment &&
        (at === first || (at - first < PIECE_OBJECTS && offsetOf(at) - from <= bytes))
      )
        at++;
      const to = at < places.length && segmentOf(at) === segment ? offsetOf(at) : -1;
      const offsets = new Uint32Array(verify ? at - first : 0);
      for (let i = 0; i < offsets.length; i++) offsets[i] = offsetOf(first + i);
      yield { segment, file, from, to, offsets };
      from = to;
    }
  }
}
