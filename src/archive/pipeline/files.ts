// The engine's way to files: descriptors opened without following a final symlink and without touching atime
// where that is allowed, and the metadata of an open file with full nanoseconds.
import type { Core } from "../../core/index.ts";
import { fsDecodeRange } from "../../format/bytes.ts";
import { fs, holes, MemoryReader, Stat } from "../../runtime/index.ts";
import { sizesAreTrue } from "../metadata-flags.ts";
import type { FileSource } from "./engine-setup.ts";

/** @param core into whose memory files are read */
export function fileSource(core: Core): FileSource {
  const reader = new MemoryReader(() => core.u8);
  const stats = [new Stat(), new Stat()] as const;
  const plain = { follow: false, blocking: false };
  const special = { follow: true, blocking: true };
  let asked = -1;
  let answer = false;
  return {
    open: ({ bytes, pathAt, pathEnd, special: isSpecial }) => {
      const options = isSpecial ? special : plain;
      return (
        fs.openReadBytes(bytes, pathAt, pathEnd, options) ??
        fs.openRead(fsDecodeRange(bytes, pathAt, pathEnd), options)
      );
    },
    fstat: (fd, which) => fs.fstat(fd, stats[which]),
    endsAtSize: (dev, { bytes, pathAt, pathEnd }) => {
      if (dev !== asked) {
        answer = sizesAreTrue(dev, { path: fsDecodeRange(bytes, pathAt, pathEnd) });
        asked = dev;
      }
      return answer;
    },
    read: (fd, at, n, position) => reader.read(fd, at, n, position),
    close: fs.closeFd,
    ranges: (fd, from) => holes.fileRanges(fd, from),
    seek: (fd, position) => holes.seekTo(fd, position),
  };
}
