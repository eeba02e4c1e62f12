// Writes one regular file of an archive: created exclusively and without following symlinks, contents chunk by
// chunk (all-zero chunks as holes with --sparse), attributes through the open descriptor. Used by the workers and
// by the main thread alike.
import { closeSync, constants, ftruncateSync, openSync, unlinkSync, writeSync } from "node:fs";
import { AlcoveError, type AlcoveWarning, BackupError, backupOSError } from "../errors.ts";
import { nodePath } from "../runtime/pathbytes.ts";
import type { Item } from "./item.ts";
import type { MetadataRestorer, RestoreOptions } from "./metadata-restore.ts";

const FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);

/** Which attributes are restored; serialisable. */
export type RestoreChoice = Pick<RestoreOptions, "numericIds" | "flags" | "xattrs" | "acls">;

export interface FileOptions {
  sparse: boolean;
  restore: RestoreChoice;
}

/** A file being extracted. System errors become warnings for this one path. */
export class ExtractedFile {
  readonly #path: string;
  readonly #item: Item;
  readonly #options: FileOptions;
  readonly #fd: number;
  readonly #restorer: MetadataRestorer;
  #position = 0;
  #holeAtEnd = false;

  /** @param path absolute, its parent verified. @throws the backupOSError family */
  constructor(path: string, item: Item, options: FileOptions, restorer: MetadataRestorer) {
    this.#restorer = restorer;
    this.#path = path;
    this.#item = item;
    this.#options = options;
    this.#fd = guarded(item.path, () => openSync(nodePath(path), FLAGS, 0o600));
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
      this.#restorer.restoreAttrs({ path: this.#path, fd: this.#fd }, this.#item);
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

  /** Closes and removes what was begun. */
  abort(): void {
    closeSync(this.#fd);
    try {
      unlinkSync(nodePath(this.#path));
    } catch (e) {
      throw new AlcoveError(
        `${this.#path}: the incomplete file could not be removed: ${(e as Error).message}`,
      );
    }
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
