// Borg's file flags (`bsdflags`, the st_flags of the BSDs) and a few facts about file systems that decide how
// many system calls reading the metadata of a file takes.
import { statfsSync } from "node:fs";
import { nodePath } from "../runtime/pathbytes.ts";

export const UF_NODUMP = 0x1;
export const UF_IMMUTABLE = 0x2;
export const UF_APPEND = 0x4;

/** ext2/3/4, xfs, btrfs, tmpfs, f2fs, overlay: listxattr names POSIX ACLs there (linux/magic.h). */
const listing = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994, 0xf2f52010, 0x794c7630]);

const byDevice = new Map<number, boolean>();

/**
 * Whether a file whose attribute list is empty surely has no ACL. On the common file systems of Linux it is so;
 * elsewhere (NFS, FUSE, …) libacl's way has to be gone: ask for both ACLs by name. Remembered for each device; not for symlinks, as statfs follows them.
 */
export function aclNamesAreListed(dev: number, at: { readonly path: string }): boolean {
  let answer = byDevice.get(dev);
  if (answer === undefined) {
    try {
      answer = listing.has(Number(statfsSync(nodePath(at.path)).type) >>> 0);
    } catch {
      return false; // nothing learned: the file may just have gone
    }
    byDevice.set(dev, answer);
  }
  return answer;
}
