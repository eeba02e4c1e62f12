// Paths in the mounted tree, for what speaks of files by path (WebDAV, SFTP) instead of by inode.
import { S_IFLNK, S_IFMT } from "./constants.ts";
import type { FileSystem } from "./filesystem.ts";
import { ROOT } from "./tree.ts";

const SLASH = 0x2f;
/** As many links in a row as Linux follows. */
const MAX_HOPS = 40;

export const isDots = (name: Uint8Array): boolean =>
  name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));

/** The names of a path, without empty ones and ".". */
export function splitPath(path: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let from = 0; from < path.length; ) {
    let to = path.indexOf(SLASH, from);
    if (to < 0) to = path.length;
    if (to > from && !(to === from + 1 && path[from] === 0x2e)) parts.push(path.slice(from, to));
    from = to + 1;
  }
  return parts;
}

/** Inode of an absolute path, 0 if there is none. No link is followed. @throws FsError */
export async function findPath(fs: FileSystem, path: Uint8Array): Promise<number> {
  let node = ROOT;
  for (const name of splitPath(path)) {
    if (!fs.tree.isDirectory(node)) return 0;
    node = await fs.lookup(node, name);
    if (!node) return 0;
  }
  return node;
}

/** Where a symlink leads: 0 if not into this tree. Absolute targets lead nowhere: what they mean, only the machine
 *  that was backed up knows. @throws FsError */
export async function followLink(fs: FileSystem, link: number): Promise<number> {
  const { tree } = fs;
  let node = link;
  let directory = tree.parent(link);
  let left: Uint8Array[] = [];
  for (let hops = 0; hops < MAX_HOPS; ) {
    if ((tree.mode(node) & S_IFMT) === S_IFLNK) {
      hops++;
      const text = (await fs.readlink(node)).slice();
      if (text[0] === SLASH) return 0;
      left = [...splitPath(text), ...left];
      node = directory;
    }
    const part = left.shift();
    if (!part) return node;
    if (!tree.isDirectory(node)) return 0;
    directory = node;
    node = await fs.lookup(node, part);
    if (!node) return 0;
    if (tree.isDirectory(node)) directory = node;
  }
  return 0;
}
