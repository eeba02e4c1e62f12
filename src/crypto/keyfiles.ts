// Where the key files of keyfile modes are: BORG_KEY_FILE, or the file in the keys directory that names the
// repository. A file is looked at closely before it counts as a key: a key that cannot be read later is worse than
// one that is refused now. Borg's docs/internals/data-structures.rst, "Key files".

import { basename, dirname, join, resolve } from "node:path";
import { AlcoveError, KeyfileInvalid, KeyfileMismatch, KeyfileNotFound } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import { decodeBlob, KEY_FILE_ID, keyFileText } from "./blob.ts";
import type { Environment } from "./environment.ts";

/** The repository a key is looked for, and how errors name it. */
export interface KeyOwner {
  readonly id: Uint8Array;
  readonly canonicalPath: string;
}

/** What a new key file is named after. */
export interface KeyLocation {
  proto: string;
  host?: string | undefined;
  path: string;
}

// A key is about 600 bytes; what is larger lies there by mistake.
const MAX_SIZE = 1 << 20;

/** The repository's key file. @throws KeyfileNotFound, KeyfileInvalid, KeyfileMismatch */
export function findKeyFile(e: Environment, owner: KeyOwner): string {
  const named = keyFileFromEnvironment(e);
  if (named !== undefined) {
    readKeyFile(e, named, owner);
    return named;
  }
  const found = searchKeysDir(e, owner);
  if (found !== undefined) return found;
  throw new KeyfileNotFound(owner.canonicalPath, e.keysDir());
}

/** Where an imported key goes: over the one there is, else to a new name. */
export function existingOrNewKeyFile(e: Environment, owner: KeyOwner, location: KeyLocation): string {
  return keyFileFromEnvironment(e) ?? searchKeysDir(e, owner) ?? newName(e, location);
}

/** Where a new repository's key goes. */
export function newKeyFile(e: Environment, location: KeyLocation): string {
  return keyFileFromEnvironment(e) ?? newName(e, location);
}

function keyFileFromEnvironment(e: Environment): string | undefined {
  const path = e.env["BORG_KEY_FILE"];
  return path ? resolve(path) : undefined;
}

function searchKeysDir(e: Environment, owner: KeyOwner): string | undefined {
  const dir = e.keysDir();
  for (const name of e.storage(dir).list("").sort()) {
    const path = join(dir, name);
    try {
      readKeyFile(e, path, owner);
      return path;
    } catch (error) {
      // Anything else that lies in the directory: other repositories' keys, notes, directories.
      if (error instanceof KeyfileInvalid || error instanceof KeyfileMismatch) continue;
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "EISDIR" && code !== "EACCES" && code !== "ENOENT") throw error;
    }
  }
  return undefined;
}

function newName(e: Environment, location: KeyLocation): string {
  const clean = (text: string) => text.replace(/[^\p{L}\p{N}_]/gu, "_");
  let name = clean(location.path).replace(/^_+|_+$/g, "");
  if (location.proto !== "file") name = `${clean(location.host ?? "")}__${name}`;
  name = [...name].slice(0, 100).join("");
  const dir = e.keysDir();
  const storage = e.storage(dir);
  let free = name;
  for (let i = 2; storage.exists(free); i++) free = `${name}.${i}`;
  return join(dir, free);
}

/** The base64 text in a key file that belongs to this repository.
 *  @throws KeyfileInvalid, KeyfileMismatch, or the system's error */
export function readKeyFile(e: Environment, path: string, owner: KeyOwner): string {
  const invalid = () => new KeyfileInvalid(owner.canonicalPath, path);
  const storage = e.storage(dirname(path));
  const { kind, size } = storage.stat(basename(path));
  if (kind === "dir" || kind === "other" || size > MAX_SIZE) throw invalid();
  const text = Buffer.from(storage.read(basename(path))).toString("utf8");
  const prefix = `${KEY_FILE_ID} `;
  if (!text.startsWith(prefix)) throw invalid();
  const id = toHex(owner.id);
  if (!text.startsWith(prefix + id)) throw new KeyfileMismatch(owner.canonicalPath, path);
  const end = text.indexOf("\n");
  if (end < 0 || text.slice(0, end).trimEnd().length > prefix.length + id.length) throw invalid();
  const blob = text.slice(end + 1);
  if (decodeBlob(blob) === undefined) throw invalid();
  return blob;
}

/** Writes a key file, readable by its owner only. create: refuses to replace one (BORG_KEY_FILE set carelessly). */
export function writeKeyFile(
  e: Environment,
  path: string,
  id: Uint8Array,
  blob: string,
  create: boolean,
): void {
  const storage = e.storage(dirname(path));
  if (create && storage.exists(basename(path))) {
    throw new AlcoveError(`There is already a key in "${path}": it is not replaced.`);
  }
  storage.writeAtomic(basename(path), Buffer.from(keyFileText(id, blob), "utf8"), { mode: 0o600 });
}
