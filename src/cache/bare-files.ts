// What a files cache may say of files without extended attributes ("bare"). Whatever changes attributes or an ACL changes the
// file's ctime too, so a file whose ctime and inode are those of its entry has the attributes it had then: none, if they were
// listed and there were none. That saves a system call for nearly every file of a backup (a tenth of one in which nothing
// has changed). It holds on file systems that keep ctime so (changeTimeTellsOfAttributes in src/archive/metadata-flags.ts), and
// for a process that sees no more attributes than the one that looked. Entries that are as new as the newest file are not
// kept at all (FilesCache.save), so a change within one tick of the clock is seen as one of contents is.
import { type AttributeSight, attributeSight } from "../runtime/attribute-sight.ts";
import type { CacheConfig } from "./config.ts";

/** Whether entries may get such marks, and whether those that have one are believed. */
export interface BareMarks {
  readonly make: boolean;
  readonly trust: boolean;
}

/** For the files cache of a name; `sight` is what has to be kept with its marks. */
export function bareMarks(
  config: CacheConfig,
  name: string,
): BareMarks & { sight: AttributeSight | undefined } {
  const sight = attributeSight();
  const before = config.sightOf(name);
  return {
    sight,
    make: sight !== undefined,
    trust: sight !== undefined && (before === "all" || before === sight),
  };
}
