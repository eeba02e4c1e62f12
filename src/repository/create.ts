// Making a new, empty repository directory, and the rules where one may be made: Borg refuses non-empty directories and
// places inside of another repository (its quota could be bypassed there, and its files confused).
import { mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import {
  ParentPathDoesNotExist,
  PathAlreadyExists,
  PathPermissionDenied,
  RepositoryAlreadyExists,
} from "../errors.ts";
import { nodePath } from "../runtime/pathbytes.ts";
import { PosixStorage } from "../storage/posix.ts";
import type { Storage } from "../storage/types.ts";
import { README, RepositoryConfig } from "./config.ts";

const code = (error: unknown) => (error as NodeJS.ErrnoException).code;

/** Whether a directory has the README of a repository. */
function isRepository(storage: Storage): boolean {
  try {
    const handle = storage.openRead("README");
    try {
      const head = new Uint8Array(100);
      const text = new TextDecoder("latin1").decode(head.subarray(0, handle.read(head, 0)));
      // The second spelling is Borg 1.0's.
      return text.includes("Borg Backup repository") || text.includes("Borg repository");
    } finally {
      handle.close();
    }
  } catch {
    // Not there, not readable, not a directory: no repository that concerns us.
    return false;
  }
}

// All that a repository has before its config, which is written last, makes it one.
const BEFORE_CONFIG = /^(README|data|(README|config)-[0-9a-f]{12}\.tmp)$/;

/** Whether making a repository here was broken off (a crash, a full disk), so that it may be begun anew. Borg, which
 *  writes in the same order, asks for the directory to be removed by hand. */
function isUnfinished(storage: Storage): boolean {
  return storage
    .list("")
    .every((n) => BEFORE_CONFIG.test(n) && (n !== "data" || storage.list(n).length === 0));
}

/** @throws RepositoryAlreadyExists, PathAlreadyExists, PathPermissionDenied */
function checkPlace(path: string, storage: Storage): void {
  try {
    if (storage.stat("").kind !== "dir") throw new PathAlreadyExists(path);
    if (!isUnfinished(storage)) {
      if (isRepository(storage)) throw new RepositoryAlreadyExists(path);
      throw new PathAlreadyExists(path);
    }
  } catch (error) {
    if (code(error) === "EACCES" || code(error) === "EPERM") throw new PathPermissionDenied(path);
    if (code(error) !== "ENOENT") throw error;
  }
  for (let child = path, parent = dirname(path); parent !== child; child = parent, parent = dirname(parent)) {
    if (isRepository(new PosixStorage(parent))) throw new RepositoryAlreadyExists(parent);
  }
}

export interface CreateRepositoryOptions {
  appendOnly?: boolean;
  /** Bytes; 0 for none. */
  storageQuota?: number;
  makeParentDirs?: boolean;
  /** The directory to be; the local one where absent. */
  storage?: Storage;
}

/** @throws RepositoryAlreadyExists, PathAlreadyExists, PathPermissionDenied, ParentPathDoesNotExist */
export function createRepository(location: string, options: CreateRepositoryOptions = {}): void {
  const path = resolve(location);
  const storage = options.storage ?? new PosixStorage(path);
  checkPlace(path, storage);
  try {
    if (options.makeParentDirs) mkdirSync(nodePath(dirname(path)), { recursive: true });
    try {
      storage.makeRoot();
    } catch (error) {
      if (code(error) !== "EEXIST") throw error;
    }
  } catch (error) {
    if (code(error) === "ENOENT") throw new ParentPathDoesNotExist(path);
    if (code(error) === "EACCES" || code(error) === "EPERM") throw new PathPermissionDenied(path);
    throw error;
  }
  for (const name of storage.list("")) if (name.endsWith(".tmp")) storage.unlink(name);
  storage.writeAtomic("README", new TextEncoder().encode(README));
  if (!storage.exists("data")) storage.mkdir("data");
  RepositoryConfig.create(path, options).save(storage);
}
