// Keeps extraction inside its target directory: no absolute path, no "..", no symlinked parent. Directories seen
// to be real are remembered, so that each is looked at once. Borg's Archive._check_safe_parent; CVE-2026-62268.
import { lstatSync, mkdirSync } from "node:fs";
import { BackupPathTraversal, BackupSymlinkParent } from "../errors.ts";
import { nodePath } from "../runtime/pathbytes.ts";

export class ExtractGuard {
  readonly #root: string;
  readonly #safe = new Set<string>();

  /** @param root absolute path of the directory extracted into */
  constructor(root: string) {
    this.#root = root === "/" ? "" : root;
  }

  /** The path to write an item to. Its parent is verified, but may not exist yet.
   *  @throws BackupPathTraversal, BackupSymlinkParent */
  target(itemPath: string): string {
    const parts = itemPath.split("/").filter((p) => p !== "" && p !== ".");
    if (itemPath.startsWith("/") || parts.includes("..")) throw new BackupPathTraversal(itemPath);
    let current = this.#root;
    for (let i = 0; i < parts.length - 1; i++) {
      current += `/${parts[i]}`;
      if (this.#safe.has(current)) continue;
      const stat = lstatSync(nodePath(current), { throwIfNoEntry: false });
      // What does not exist yet will be made, as a real directory, below what was just verified.
      if (!stat) break;
      if (!stat.isDirectory()) throw new BackupSymlinkParent(itemPath);
      this.#safe.add(current);
    }
    const path = parts.length === 0 ? this.#root || "/" : `${this.#root}/${parts.join("/")}`;
    return path;
  }

  /** Makes the parent directories of a path that target() gave. */
  makeParent(path: string): void {
    const parent = path.slice(0, path.lastIndexOf("/"));
    if (parent === this.#root || parent === "" || this.#safe.has(parent)) return;
    mkdirSync(nodePath(parent), { recursive: true });
    this.#safe.add(parent);
  }

  /** The path is about to be replaced: whatever it was, it is not known to be a directory any more. */
  forget(path: string): void {
    if (!this.#safe.delete(path)) return;
    const below = `${path}/`;
    for (const p of this.#safe) if (p.startsWith(below)) this.#safe.delete(p);
  }

  /** The path has just been made as a directory. */
  remember(path: string): void {
    this.#safe.add(path);
  }
}
