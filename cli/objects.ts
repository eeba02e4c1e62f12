// For debug commands that look at every object: the key found without a manifest, and the objects in on-disk order.
import { MANIFEST_ID } from "../src/archive/manifest.ts";
import type { Objects } from "../src/archive/objects.ts";
import type { Repository } from "../src/repository/types.ts";
import type { Args } from "./args.ts";
import type { Context } from "./context.ts";
import { type Opened, type RepositorySpec, withRepository } from "./repository.ts";

const SCAN_LIMIT = 100_000;

export interface OpenedObjects extends Opened {
  objects: Objects;
}

/** Opens a repository whose manifest may be gone: any object tells which key is needed. */
export async function withObjects<T>(
  ctx: Context,
  args: Args,
  spec: RepositorySpec,
  work: (opened: OpenedObjects) => Promise<T>,
): Promise<T> {
  return withRepository(ctx, args, spec, async (opened) => {
    const [first] = await opened.repository.list(1);
    const objects = await objectsFor(opened, await opened.repository.get(first ?? MANIFEST_ID));
    return work({ ...opened, objects });
  });
}

/** Objects of a repository, with the key that the given stored object asks for. */
export async function objectsFor(opened: Opened, blob: Uint8Array): Promise<Objects> {
  const [{ Objects }, { openKey }, { loadCore }] = await Promise.all([
    import("../src/archive/objects.ts"),
    import("../src/crypto/keys.ts"),
    import("../src/core/index.ts"),
  ]);
  const core = loadCore();
  const key = await openKey(opened.repository, blob, opened.environment, core);
  return new Objects(opened.repository, key, core, { name: "lz4" });
}

export async function* scanObjects(
  repository: Repository,
): AsyncGenerator<{ id: Uint8Array; blob: Uint8Array }> {
  let marker: unknown;
  for (;;) {
    const { ids, marker: next } = await repository.scan(SCAN_LIMIT, marker);
    if (ids.length === 0) return;
    marker = next;
    for (const id of ids) yield { id, blob: await repository.get(id) };
  }
}
