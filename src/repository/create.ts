// Making a new, empty repository directory, and the rules where one may be made: Borg refuses non-empty directories and
// places inside of another repository (its quota could be bypassed there, and its files confused).
import { mkdirSync, readdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import {
  ParentPathDoesNotExist,
  PathAlreadyExists,
  PathPermissionDenied,
  RepositoryAlreadyExists,
} from "../errors.ts";
import { nodePath } from "../runtime/pathbytes.ts";
import { PosixStorage } from "../storage/posix.ts";
import { README, RepositoryConfig } from "./config.ts";

const code = (error: unknown) => (error as NodeJS.ErrnoException).code;

/** Whether a directory has the README of a repository. */
export function isRepository(path: string): boolean {
  try {
    const handle = new PosixStorage(path).openRead("README");
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

/** @throws RepositoryAlreadyExists, PathAlreadyExists, PathPermissionDenied */
function checkPlace(path: string): void {
  try {
    const st = statSync(nodePath(path));
    if (isRepository(path)) throw new RepositoryAlreadyExists(path);
    if (!st.isDirectory() || readdirSync(nodePath(path)).length > 0) throw new PathAlreadyExists(path);
  } catch (error) {
    if (code(error) === "EACCES" || code(error) === "EPERM") throw new PathPermissionDenied(path);
    if (code(error) !== "ENOENT") throw error;
  }
  for (let child = path, parent = dirname(path); parent !== child; child = parent, parent = dirname(parent)) {
    if (isRepository(parent)) throw new RepositoryAlreadyExists(parent);
  }
}

export interface CreateRepositoryOptions {
  appendOnly?: boolean;
  /** Bytes; 0 for none. */
  storageQuota?: number;
  makeParentDirs?: boolean;
}

/** @throws RepositoryAlreadyExists, PathAlreadyExists, PathPermissionDenied, ParentPathDoesNotExist */
export function createRepository(location: string, options: CreateRepositoryOptions = {}): void {
  const path = resolve(location);
  checkPlace(path);
  try {
    if (options.makeParentDirs) mkdirSync(nodePath(dirname(path)), { recursive: true });
    try {
      mkdirSync(nodePath(path));
    } catch (error) {
      if (code(error) !== "EEXIST") throw error;
    }
  } catch (error) {
    if (code(error) === "ENOENT") throw new ParentPathDoesNotExist(path);
    if (code(error) === "EACCES" || code(error) === "EPERM") throw new PathPermissionDenied(path);
    throw error;
  }
  const storage = new PosixStorage(path);
  storage.writeAtomic("README", new TextEncoder().encode(README));
  storage.mkdir("data");
  RepositoryConfig.create(path, options).save(storage);
}
