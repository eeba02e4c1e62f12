// Borg's file flags (`bsdflags`, the st_flags of the BSDs) and a few facts about file systems that decide how
// many system calls reading the metadata of a file takes.
import { statfsSync } from "node:fs";
import { release } from "node:os";
import { nodePath } from "../runtime/pathbytes.ts";

export const UF_NODUMP = 0x1;
export const UF_IMMUTABLE = 0x2;
export const UF_APPEND = 0x4;

const EXT = 0xef53;
const XFS = 0x58465342;
const BTRFS = 0x9123683e;
const TMPFS = 0x01021994;
const F2FS = 0xf2f52010;
const OVERLAY = 0x794c7630;
/** listxattr names POSIX ACLs there (linux/magic.h). */
const listing = new Set([EXT, XFS, BTRFS, TMPFS, F2FS, OVERLAY]);
/** Setting or removing an attribute or an ACL sets ctime there: tried for all kinds of attributes, on what a machine has
 *  mounted by test/interop/bare-files.test.ts, on xfs and btrfs by hand (Linux 6.18). */
const timing = new Set([EXT, XFS, BTRFS]);
/** tmpfs does so in newer Linux only; that is relied on from here on. */
const TIMING_TMPFS = [6, 6];

/** A status tells the size that reading finds, and not what another machine or program has said some time ago. */
const sizing = new Set([EXT, XFS, BTRFS, TMPFS, F2FS]);

const byDevice = new Map<number, number>();

/**
 * Whether a file whose attribute list is empty surely has no ACL. On the common file systems of Linux it is so;
 * elsewhere (NFS, FUSE, …) libacl's way has to be gone: ask for both ACLs by name. Remembered for each device; not for symlinks, as statfs follows them.
 */
export function aclNamesAreListed(dev: number, at: { readonly path: string }): boolean {
  return listing.has(fileSystemOf(dev, at));
}

/** Whether a file whose ctime is as it was surely has the attributes it had. */
export function changeTimeTellsOfAttributes(dev: number, at: { readonly path: string }): boolean {
  const type = fileSystemOf(dev, at);
  return timing.has(type) || (type === TMPFS && isAtLeast(release(), TIMING_TMPFS));
}

/** Whether a file of which as many bytes were read as its status says afterwards has ended there. */
export function sizesAreTrue(dev: number, at: { readonly path: string }): boolean {
  return sizing.has(fileSystemOf(dev, at));
}

function isAtLeast(version: string, [major, minor]: readonly number[]): boolean {
  const [a = 0, b = 0] = version.split(".").map((n) => Number.parseInt(n, 10));
  return a > major! || (a === major && b >= minor!);
}

/** A device's file system by its number; 0 where it cannot be told. */
function fileSystemOf(dev: number, at: { readonly path: string }): number {
  let type = byDevice.get(dev);
  if (type === undefined) {
    try {
      type = Number(statfsSync(nodePath(at.path)).type) >>> 0;
    } catch {
      return 0; // nothing learned: the file may just have gone
    }
    byDevice.set(dev, type);
  }
  return type;
}
