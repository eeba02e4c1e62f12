// The engine's way to files: descriptors opened without following a final symlink and without touching atime
// where that is allowed, and the metadata of an open file with full nanoseconds.
import { closeSync, readSync } from "node:fs";
import { fs } from "../../runtime/index.ts";
import type { FileSource } from "./engine.ts";

export function fileSource(): FileSource {
  return {
    open: (path, special) => fs.openRead(path, { follow: special, blocking: special }),
    fstat: (fd) => fs.fstat(fd),
    read: (fd, into) => readSync(fd, into),
    close: (fd) => closeSync(fd),
  };
}
