// Writes one regular file of an archive: created exclusively in its open parent, contents chunk by chunk (all-zero
// chunks as holes with --sparse), attributes through the open descriptor. What is in the way is removed first. Used
// by the workers and by the main thread alike.
import { closeSync, ftruncateSync, writeSync } from "node:fs";
import { AlcoveWarning, BackupError, BackupOSError, backupOSError, describeSystemError } from "../errors.ts";
import { type Directory, fs, isSystemError } from "../runtime/index.ts";
import { type ExtractTree, type Place, parentError, placeOf } from "./extract-tree.ts";
import type { Item } from "./item.ts";
import type { MetadataRestorer, RestoreOptions } from "./metadata-restore.ts";

/** Which attributes are restored; serialisable. */
export type RestoreChoice = Pick<RestoreOptions, "numericIds" | "flags" | "xattrs" | "acls">;

export interface FileOptions {
  sparse: boolean;
  restore: RestoreChoice;
}

/** A file being extracted. System errors become warnings for this one path. */
export class ExtractedFile {
  readonly #item: Item;
  readonly #options: FileOptions;
  readonly #tree: ExtractTree;
  readonly #place: Place;
  readonly #fd: number;
  readonly #restorer: MetadataRestorer;
  #dir: Directory | undefined;
  #position = 0;
  #holeAtEnd = false;

  /** @throws BackupSymlinkParent, the backupOSError family */
  constructor(tree: ExtractTree, item: Item, options: FileOptions, restorer: MetadataRestorer) {
    this.#restorer = restorer;
    this.#tree = tree;
    this.#item = item;
    this.#options = options;
    this.#place = placeOf(item.path);
    this.#fd = this.#create();
  }

  #create(): number {
    const { parent, name } = this.#place;
    for (let again = 2; ; again--) {
      try {
        this.#dir = this.#tree.directory(parent);
      } catch (e) {
        throw parentError(this.#item.path, e);
      }
      try {
        const dir = this.#dir;
        return this.#tree.withDescriptor(() => fs.createExclusive(name, 0o600, dir));
      } catch (e) {
        if (!isSystemError(e)) throw e;
        // A directory may have been replaced since it was opened; the new one has to be opened then.
        if (again > 0 && e.code === "ENOENT" && parent !== "") this.#tree.forget(parent);
        else if (again === 0 || e.code !== "EEXIST" || !this.#tree.remove(this.#place, this.#dir))
          throw backupOSError(this.#item.path, e);
      }
    }
  }

  write(data: Uint8Array): void {
    if (this.#options.sparse && isZero(data)) {
      this.#position += data.length;
      this.#holeAtEnd = true;
      return;
    }
    guarded(this.#item.path, () => {
      let done = 0;
      while (done < data.length) {
        done += writeSync(this.#fd, data, done, data.length - done, this.#position + done);
      }
    });
    this.#position += data.length;
    this.#holeAtEnd = false;
  }

  /** Ends the file, sets its attributes, closes it. What could not be set goes to the restorer's onProblem.
   *  @returns warnings about the contents */
  finish(): AlcoveWarning[] {
    const warnings: AlcoveWarning[] = [];
    try {
      guarded(this.#item.path, () => {
        if (this.#holeAtEnd) ftruncateSync(this.#fd, this.#position);
      });
      const { path, name } = this.#place;
      const target = { path: this.#tree.absolute(path), fd: this.#fd, dir: this.#dir!, name };
      this.#restorer.restoreAttrs(target, this.#item);
    } finally {
      closeSync(this.#fd);
    }
    const { size, path, chunks_healthy } = this.#item;
    if (size !== undefined && size !== this.#position) {
      warnings.push(
        new BackupError(path, `Size inconsistency detected: size ${size}, chunks size ${this.#position}`),
      );
    }
    if (chunks_healthy) {
      warnings.push(
        new BackupError(path, "File has damaged (all-zero) chunks. Try running borg check --repair."),
      );
    }
    return warnings;
  }

  /** Closes and removes what was begun: half a file would pass for a whole one. @returns what to throw for `cause` */
  abort(cause: unknown): unknown {
    closeSync(this.#fd);
    try {
      fs.unlink(this.#place.name, this.#tree.directory(this.#place.parent));
    } catch (e) {
      if (!isSystemError(e)) throw e;
      // A file system that takes no more changes is the trouble of this one file too; the next ones are tried.
      if (cause instanceof AlcoveWarning) {
        const text = `${cause.args.at(-1)}; the incomplete file could not be removed: ${describeSystemError(e)}`;
        return new BackupOSError(this.#item.path, text);
      }
    }
    return cause;
  }
}

export function isZero(data: Uint8Array): boolean {
  if (data.length === 0 || data[0] !== 0) return false;
  const words = data.byteOffset % 8 === 0 ? data.length >> 3 : 0;
  const wide = new BigUint64Array(data.buffer, words ? data.byteOffset : 0, words);
  for (let i = 0; i < words; i++) if (wide[i] !== 0n) return false;
  for (let i = words * 8; i < data.length; i++) if (data[i] !== 0) return false;
  return true;
}

function guarded<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code) throw backupOSError(path, e as NodeJS.ErrnoException);
    throw e;
  }
}
