// The engine's way to files: descriptors opened without following a final symlink and without touching atime
// where that is allowed, and the metadata of an open file with full nanoseconds.
import { closeSync, readSync } from "node:fs";
import { fs, holes, Stat } from "../../runtime/index.ts";
import type { FileSource } from "./engine-setup.ts";

export function fileSource(): FileSource {
  const stats = [new Stat(), new Stat()] as const;
  const plain = { follow: false, blocking: false };
  const special = { follow: true, blocking: true };
  return {
    open: (path, isSpecial) => fs.openRead(path, isSpecial ? special : plain),
    fstat: (fd, which) => fs.fstat(fd, stats[which]),
    read: (fd, into, position) =>
      position === undefined ? readSync(fd, into) : readSync(fd, into, 0, into.length, position),
    close: (fd) => closeSync(fd),
    ranges: (fd, from) => holes.fileRanges(fd, from),
    seek: (fd, position) => holes.seekTo(fd, position),
  };
}
