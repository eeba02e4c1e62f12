// Replacing a file all or nothing (borg's SaveFile), in terms of a storage's own operations, so that every storage, the
// ones of the tests included, goes through the same steps: temporary file, write, fsync, rename, fsync of the directory.
import { randomBytes } from "node:crypto";
import type { Storage } from "./types.ts";

/** See Storage.writeAtomic. */
export function writeAtomically(
  storage: Storage,
  name: string,
  chunks: Uint8Array | Iterable<Uint8Array>,
  options: { mode?: number; durable?: boolean } = {},
): void {
  const durable = options.durable !== false;
  const temporary = `${name}-${randomBytes(6).toString("hex")}.tmp`;
  const handle = storage.openWrite(temporary, options.mode === undefined ? {} : { mode: options.mode });
  try {
    try {
      for (const chunk of chunks instanceof Uint8Array ? [chunks] : chunks) handle.write(chunk);
      if (durable) handle.sync();
    } finally {
      handle.close();
    }
    storage.rename(temporary, name);
  } catch (error) {
    try {
      storage.unlink(temporary);
    } catch {
      // It is the first error that counts; at worst a temporary file stays behind.
    }
    throw error;
  }
  if (durable) storage.syncDir(parentOf(name));
}

const TEMPORARY = /-[0-9a-f]{12}\.tmp$/;

/** Removes what writes that were broken off (a kill, a loss of power) left in a directory: a files cache's can be large.
 *  For whoever holds the lock that keeps other writers out of it. */
export function removeTemporaries(storage: Storage, dir = ""): void {
  for (const name of storage.list(dir))
    if (TEMPORARY.test(name)) storage.unlink(dir === "" ? name : `${dir}/${name}`);
}

/** The directory a name is in; "" is the root. */
export function parentOf(name: string): string {
  const slash = name.lastIndexOf("/");
  return slash < 0 ? "" : name.slice(0, slash);
}
