// The key that the objects of a repository ask for, while its manifest may be lost or damaged. Borg's make_key in
// ArchiveChecker.

import type { HashIndex } from "../core/hashindex.ts";
import type { Core } from "../core/index.ts";
import type { Environment } from "../crypto/environment.ts";
import { openKey } from "../crypto/keys.ts";
import { IntegrityError, ObjectNotFound } from "../errors.ts";
import type { Repository } from "../repository/types.ts";
import { MANIFEST_ID } from "./manifest.ts";
import type { Objects } from "./objects.ts";
import { makeObjects } from "./session.ts";

/** Objects looked at to find out what kind of key the repository has. */
const KEY_SAMPLE = 99;

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
  const byType = new Map<number, Uint8Array[]>();
  let tried = 0;
  for (const id of ids) {
    if (tried++ === KEY_SAMPLE) break;
    try {
      const blob = await repository.get(id);
      if (blob.length === 0) continue;
      const samples = byType.get(blob[0]!);
      if (samples) samples.push(blob);
      else byType.set(blob[0]!, [blob]);
    } catch (e) {
      if (!(e instanceof IntegrityError) && !(e instanceof ObjectNotFound)) throw e;
    }
  }
  const [samples] = [...byType.values()].sort((a, b) => b.length - a.length);
  if (!samples) throw new IntegrityError("No object can be read that tells which key the repository has.");
  // The manifest is the first, if it is sound: its counters are the latest.
  const longest =
    samples[0]!.length > 40 ? samples[0]! : samples.reduce((a, b) => (b.length > a.length ? b : a));
  return makeObjects(repository, await openKey(repository, longest, environment, core), core);
}
