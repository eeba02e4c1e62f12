// check --verify-data where the repository part has not done it on the way (check-joint.ts): every object is read,
// authenticated, decrypted, decompressed and compared with its id. In a local repository objects are taken in the order
// of the segments, by worker threads; behind ssh as the server sends them. Borg's ArchiveChecker.verify_data.
import type { HashIndex } from "../core/hashindex.ts";
import { IntegrityError, ObjectNotFound } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import type { Repository } from "../repository/types.ts";
import { checkPieces, PIECE_BYTES, PIECE_OBJECTS } from "./check-lanes.ts";
import { isManifest, type Piece } from "./check-piece.ts";
import type { Objects } from "./objects.ts";

/** An object that is not what its id says. `stored`: it is there, and a repair has to delete it. */
export interface Defect {
  id: Uint8Array;
  message: string;
  stored: boolean;
}
export interface Verified {
  objects: number;
  defects: Defect[];
}
export interface VerifyOptions {
  workers: number;
  progress: (done: number) => void;
  signal?: AbortSignal | undefined;
}

/** A local repository: its index says where objects are. */
interface IndexedRepository {
  readonly index: HashIndex;
  segmentPath(segment: number): string;
}

const BATCH = 100;

/** Reads and verifies every object of a repository. */
export async function verifyObjects(objects: Objects, options: VerifyOptions): Promise<Verified> {
  const { repository } = objects;
  if (!("segmentPath" in repository && "index" in repository)) return verifyRemote(objects, options);
  await repository.count();
  const { core, key } = objects;
  const pieces = objectPieces(repository as unknown as IndexedRepository);
  const lanes = await checkPieces(pieces, { core, material: key.material, ...options });
  const tally = new Tally();
  try {
    for (let next = await lanes.next(); next; next = await lanes.next()) {
      tally.add(next.result);
      options.progress(tally.objects);
    }
  } finally {
    await lanes.close();
  }
  return tally.sorted();
}

/** Sums up results. */
export class Tally implements Verified {
  objects = 0;
  readonly defects: Defect[] = [];

  add(result: { objects: number; defects: readonly { id: Uint8Array; message: string }[] }): void {
    this.objects += result.objects;
    for (const { id, message } of result.defects) this.defects.push({ id, message, stored: true });
  }

  /** By ids: the order of the disk means nothing to anybody. */
  sorted(): this {
    this.defects.sort((a, b) => Buffer.compare(a.id, b.id));
    return this;
  }
}

/** The slots of an index in the order of the disk. 4 bytes of memory an object. */
export function diskOrder(index: HashIndex): Uint32Array {
  const order = new Uint32Array(index.size);
  for (let slot = index.next(-1), n = 0; slot >= 0; slot = index.next(slot)) order[n++] = slot;
  return order.sort((a, b) => index.word(a, 0) - index.word(b, 0) || index.word(a, 1) - index.word(b, 1));
}

/** The objects of the index, in pieces of segments. */
function* objectPieces(repository: IndexedRepository): Generator<Piece> {
  const { index } = repository;
  const order = diskOrder(index);
  for (let from = 0; from < order.length; ) {
    const segment = index.word(order[from]!, 0);
    const start = index.word(order[from]!, 1);
    const inSegment = (i: number): boolean => i < order.length && index.word(order[i]!, 0) === segment;
    let to = from + 1;
    while (inSegment(to) && to - from < PIECE_OBJECTS && index.word(order[to]!, 1) - start <= PIECE_BYTES)
      to++;
    const offsets = new Uint32Array(to - from);
    const ids = new Uint8Array(32 * offsets.length);
    for (let i = from; i < to; i++) {
      offsets[i - from] = index.word(order[i]!, 1);
      index.copyKey(order[i]!, ids, 32 * (i - from));
    }
    const end = inSegment(to) ? index.word(order[to]!, 1) : -1;
    yield { segment, file: repository.segmentPath(segment), from: start, to: end, offsets, ids };
    from = to;
  }
}

/** Through the repository's own reading: behind ssh, several objects are under way at a time. */
async function verifyRemote(objects: Objects, options: VerifyOptions): Promise<Verified> {
  const repository: Repository = objects.repository;
  const result: Verified = { objects: 0, defects: [] };
  let marker: unknown;
  for (;;) {
    const batch = await repository.scan(BATCH, marker);
    if (batch.ids.length === 0) return result;
    marker = batch.marker;
    for (let from = 0; from < batch.ids.length; ) {
      const rest = batch.ids.slice(from);
      let at = 0;
      try {
        for await (const blob of repository.getMany(rest)) {
          const id = rest[at]!;
          if (!blob) throw new ObjectNotFound(toHex(id), repository.displayPath);
          if (isManifest(id)) objects.unpackUnidentified(blob);
          else objects.unpack(id, blob);
          at++;
        }
      } catch (e) {
        if (!(e instanceof IntegrityError) && !(e instanceof ObjectNotFound)) throw e;
        result.defects.push({ id: rest[at++]!, message: e.message, stored: e instanceof IntegrityError });
      }
      from += at;
    }
    result.objects += batch.ids.length;
    options.progress(result.objects);
    options.signal?.throwIfAborted();
  }
}
