// Data and holes of sparse files, and hints about the page cache.
import {
  POSIX_FADV_DONTNEED,
  SEEK_DATA,
  SEEK_HOLE,
  SEEK_SET,
  SYNC_FILE_RANGE_WAIT_AFTER,
  SYNC_FILE_RANGE_WAIT_BEFORE,
  SYNC_FILE_RANGE_WRITE,
} from "./constants.ts";
import { isSystemError, systemError } from "./errno.ts";
import { descriptorsAreReal, fstat } from "./fs.ts";
import { libc } from "./libc.ts";
import { Stat } from "./stat.ts";

const ENXIO = 6;

/** True where holes can be asked for; else a sparse file is read as if it had none. */
export function canSeekHoles(): boolean {
  return libc()?.find("lseek") !== undefined && descriptorsAreReal();
}

/**
 * Offset of the first data at or after `offset`, of an open file; undefined if there is only a hole up to its
 * end. Moves the file position: read with explicit positions, or seek back.
 */
export function seekData(fd: number, offset: number): number | undefined {
  return seek(fd, offset, SEEK_DATA);
}

/** Offset of the first hole at or after `offset`; the end of the file counts as one. */
export function seekHole(fd: number, offset: number): number | undefined {
  return seek(fd, offset, SEEK_HOLE);
}

/** A stretch of a file: data, or a hole. */
export interface FileRange {
  size: number;
  data: boolean;
}

/**
 * The ranges of an open file from `from` to its end, data first if there is any at `from`; undefined where they cannot
 * be told (no FFI, a device, a pipe, a file system without the calls). Leaves the file position at the start.
 */
export function fileRanges(fd: number, from: number): FileRange[] | undefined {
  if (!canSeekHoles()) return undefined;
  try {
    const ranges: FileRange[] = [];
    let at = from;
    for (let data = true; ; data = !data) {
      let end = data ? seekHole(fd, at) : seekData(fd, at);
      const last = end === undefined;
      // A hole that lasts to the end has no data behind it.
      if (last && !data) end = fstat(fd, ended).size;
      if (end !== undefined && end > at) ranges.push({ size: end - at, data });
      if (end === undefined || last) break;
      at = end;
    }
    seekTo(fd, 0);
    return ranges;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return undefined;
  }
}

const ended = new Stat();

/** Sets the file position, as for a descriptor that is then read without positions. */
export function seekTo(fd: number, offset: number): void {
  seek(fd, offset, SEEK_SET);
}

function seek(fd: number, offset: number, whence: number): number | undefined {
  const c = libc();
  if (!c) throw systemError("lseek", 38 /* ENOSYS */);
  const found = c.get("lseek")(fd, offset, whence);
  if (found >= 0) return found;
  const errno = c.ffi.errno();
  if (errno === ENXIO && whence !== SEEK_SET) return undefined;
  throw systemError("lseek", errno);
}

/** Tells the kernel what is going to be (not) needed; only a hint, so a failure means nothing. Length 0: to the end. */
export function fadvise(
  fd: number,
  offset: number,
  length: number,
  advice: number = POSIX_FADV_DONTNEED,
): void {
  if (descriptorsAreReal()) libc()?.find("posix_fadvise")?.(fd, offset, length, advice);
}

/**
 * Starts writing dirty pages of a range (multiples of the page size) to the disk, or with `wait` waits until they
 * are there; false where that is not possible. No substitute for fsync.
 */
export function syncFileRange(fd: number, offset: number, length: number, wait = false): boolean {
  const f = descriptorsAreReal() ? libc()?.find("sync_file_range") : undefined;
  const flags = wait
    ? SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WAIT_AFTER
    : SYNC_FILE_RANGE_WRITE;
  return f?.(fd, offset, length, flags) === 0;
}
