// Files on their way through the pipeline: what the main thread keeps of them until they are complete.
import { type AlcoveWarning, BackupRaceCondition, backupOSError } from "../../errors.ts";
import type { ChunkRef } from "../item.ts";
import { type FileRequest, type FreshStat, RACE } from "./messages.ts";

/** A file on its way through the pipeline, or waiting in the archive's order for its turn. */
export interface PendingFile {
  request: FileRequest;
  chunks: ChunkRef[];
  done: boolean;
  flags: number;
  /** Metadata as found at opening, where it differs from the walk's. */
  fresh: FreshStat | undefined;
  error: ReadError | undefined;
  /** Leading chunks that part files reference: kept even if the file fails. */
  written: number;
}

/** Why a file could not be read. */
export interface ReadError {
  code: string;
  syscall: string;
  message: string;
}

/** Files of one job that are told of one after the other, without an object for each. */
export interface RunOfFiles {
  /** No more files are added: it is on its way. */
  close(): void;
  isDone: boolean;
  /** A chunk of the next file. @param idAt where its id lies in `bytes` */
  chunk(bytes: Uint8Array, idAt: number, size: number, csize: number): void;
  /** The next file is complete. @returns chunks whose references are to be given back */
  end(flags: number, fresh: FreshStat | undefined): ChunkRef[] | undefined;
  /** The next file could not be read. @returns its chunks, whose references are to be given back */
  fail(error: ReadError): ChunkRef[];
  /** Where the next piece of the same file begins. @returns bytes that this one has more than was thought */
  boundary?(offset: number): number;
}

export function problemOf(path: string, error: ReadError): AlcoveWarning {
  if (error.code === RACE) return new BackupRaceCondition(path);
  return backupOSError(
    path,
    Object.assign(new Error(error.message), { code: error.code, syscall: error.syscall }),
  );
}
