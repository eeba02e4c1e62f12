// The key that the objects of a repository ask for, while its manifest may be lost or damaged. Borg's make_key in
// ArchiveChecker.

import type { HashIndex } from "../core/hashindex.ts";
import type { Core } from "../core/index.ts";
import type { Environment } from "../crypto/environment.ts";
import { openKey } from "../crypto/keys.ts";
import { ENVELOPE_SIZE } from "../crypto/material.ts";
import { IntegrityError, ObjectNotFound } from "../errors.ts";
import type { Repository } from "../repository/types.ts";
import { MANIFEST_ID } from "./manifest.ts";
import type { Objects } from "./objects.ts";
import { makeObjects } from "./session.ts";

/** Objects looked at to find out what kind of key the repository has: so many, or as many as have so many bytes, but some. */
const KEY_SAMPLE = 99;
const SAMPLE_BYTES = 16 << 20;
const FEWEST_SAMPLES = 9;

/** Every id of an index, the manifest's first: it is the object that names the key's last counter. */
export function* indexIds(index: HashIndex): Generator<Uint8Array> {
  if (index.has(MANIFEST_ID)) yield MANIFEST_ID;
  for (let slot = index.next(-1); slot >= 0; slot = index.next(slot)) {
    const id = index.key(slot);
    if (id.some((byte) => byte !== 0)) yield id;
  }
}

/**
 * The type that most of a sample have is believed, since with a wrong one nothing would verify, and a repair would
 * delete what it could not read.
 * @throws IntegrityError where no object can be read, and the errors of keys
 */
export async function openCheckedObjects(
  repository: Repository,
  ids: Iterable<Uint8Array>,
  environment: Environment,
  core: Core,
): Promise<Objects> {
  // Of each type how many there are, and the first whose envelope is complete, else the longest. The manifest is the first of all, if it
  // is sound: its counters are the latest.
  const byType = new Map<number, { count: number; sample: Uint8Array }>();
  let tried = 0;
  let bytes = 0;
  for (const id of ids) {
    if (tried === KEY_SAMPLE || (tried >= FEWEST_SAMPLES && bytes >= SAMPLE_BYTES)) break;
    tried++;
    try {
      const blob = await repository.get(id);
      if (blob.length === 0) continue;
      bytes += blob.length;
      const known = byType.get(blob[0]!);
      const better = !known || Math.min(blob.length, ENVELOPE_SIZE) > known.sample.length;
      byType.set(blob[0]!, { count: (known?.count ?? 0) + 1, sample: better ? blob : known.sample });
    } catch (e) {
      if (!(e instanceof IntegrityError) && !(e instanceof ObjectNotFound)) throw e;
    }
  }
  const [most] = [...byType.values()].sort((a, b) => b.count - a.count);
  if (!most) throw new IntegrityError("No object can be read that tells which key the repository has.");
  return makeObjects(repository, await openKey(repository, most.sample, environment, core), core);
}
