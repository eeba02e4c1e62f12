// The answer to READDIR and READDIRPLUS: entries of a directory as struct fuse_dirent, with the attributes before each
// where they are asked for. An offset is 0 for ".", 1 for "..", and behind them the number of the node before, plus 2.
import { ENTRY_OUT, OUT_HEADER, S_IFDIR } from "./constants.ts";
import { type FileSystem, FsError } from "./filesystem.ts";
import { direntSize, writeDirent, writeEntryOut } from "./protocol.ts";
import { ROOT } from "./tree.ts";

const DOT = Uint8Array.of(0x2e);
const DOT_DOT = Uint8Array.of(0x2e, 0x2e);

export interface ListingRange {
  directory: number;
  offset: number;
  /** Most bytes of entries. */
  size: number;
  /** With attributes, which the kernel may believe for so many seconds. */
  plus: boolean;
  validSeconds: number;
}

/** Writes entries behind the out header. The directory is ready (FileSystem.ready).
 *  @returns their bytes; −1 for an offset that is none; a promise where the first entry's metadata has to be fetched */
export function writeEntries(
  fs: FileSystem,
  buffer: Uint8Array,
  view: DataView,
  { directory, offset, size, plus, validSeconds }: ListingRange,
): number | Promise<void> {
  const { tree } = fs;
  const head = plus ? ENTRY_OUT : 0;
  let used = 0;
  const put = (inode: number, cookie: number, mode: number, name: Uint8Array): void => {
    writeDirent(buffer, view, OUT_HEADER + used + head, inode, cookie, mode >>> 12, name);
    used += direntSize(name.length, plus);
  };
  const dots = (name: Uint8Array, inode: number, cookie: number): void => {
    // A zero node id: the kernel has these two already.
    if (plus) writeEntryOut(view, OUT_HEADER + used, 0, undefined, 0);
    put(inode, cookie, S_IFDIR, name);
  };
  if (offset === 0) dots(DOT, directory, 1);
  if (offset <= 1) dots(DOT_DOT, directory === ROOT ? ROOT : tree.parent(directory), 2);
  let node: number;
  if (offset <= 2) node = tree.firstChild(directory);
  else {
    const previous = offset - 2;
    if (!tree.exists(previous) || tree.parent(previous) !== directory) return -1;
    node = tree.nextSibling(previous);
  }
  for (; node; node = tree.nextSibling(node)) {
    const name = tree.name(node);
    if (used + direntSize(name.length, plus) > size) break;
    const inode = tree.inode(node);
    let mode = tree.mode(node);
    if (plus) {
      let a: ReturnType<FileSystem["attributes"]> | undefined;
      try {
        a = fs.attributes(inode);
      } catch (e) {
        if (!(e instanceof FsError)) throw e;
      }
      if (a instanceof Promise) {
        // Metadata has to be fetched: send what there is, or begin again when it is here.
        if (used > 0) break;
        return a.then(
          () => undefined,
          () => undefined,
        );
      }
      if (a) mode = a.mode;
      writeEntryOut(view, OUT_HEADER + used, a ? inode : 0, a, validSeconds);
    }
    put(inode, node + 2, mode, name);
  }
  return used;
}
