// A repository in memory for mount tests: archives made from lists of items or from a directory, their item
// streams cut into chunks at awkward places.
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { pack } from "../../../src/format/msgpack.ts";
import type { MountArchive, MountSource } from "../../../src/mount/source.ts";

export type Fields = Record<string, unknown>;

export class SyntheticSource implements MountSource {
  readonly #archives: MountArchive[] = [];
  readonly #streams = new Map<string, Uint8Array[]>();
  readonly chunks = new Map<string, Uint8Array>();
  /** Ids as hex, in the order they were asked for. */
  readonly asked: string[] = [];
  /** Give chunks late, as a remote repository does. */
  slow = false;
  readonly streamChunk: number;

  constructor(streamChunk = 1000) {
    this.streamChunk = streamChunk;
  }

  put(data: Uint8Array): Uint8Array {
    const id = createHash("sha256").update(data).digest();
    this.chunks.set(id.toString("hex"), data);
    return new Uint8Array(id);
  }

  /** Chunk list of contents, cut every `size` bytes. */
  contents(data: Uint8Array, size = 65536): unknown[] {
    const list: unknown[] = [];
    for (let at = 0; at < data.length; at += size) {
      const piece = data.slice(at, at + size);
      list.push([this.put(piece), piece.length, piece.length]);
    }
    return list;
  }

  addArchive(name: string, items: Fields[], timeNs = 1_700_000_000_000_000_000n): MountArchive {
    const stream = Buffer.concat(items.map((item) => pack(new Map(Object.entries(item)))));
    const ids: Uint8Array[] = [];
    for (let at = 0; at < stream.length; at += this.streamChunk) {
      ids.push(this.put(new Uint8Array(stream.subarray(at, at + this.streamChunk))));
    }
    const archive = { name, timeNs };
    this.#archives.push(archive);
    this.#streams.set(name, ids);
    return archive;
  }

  archives(): MountArchive[] {
    return this.#archives;
  }

  async itemChunks(archive: MountArchive): Promise<Uint8Array[]> {
    return this.#streams.get(archive.name) ?? [];
  }

  async getChunks(ids: Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    if (this.slow) await new Promise((resolve) => setTimeout(resolve, 2));
    return ids.map((id) => {
      const key = Buffer.from(id).toString("hex");
      this.asked.push(key);
      return this.chunks.get(key);
    });
  }
}

/** Items of a directory tree, as create would store them (without xattrs and ACLs). */
export function itemsOf(source: SyntheticSource, root: string, chunkSize = 65536): Fields[] {
  const items: Fields[] = [];
  const links = new Map<string, Uint8Array>();
  const list = (path: Buffer): Buffer[] => readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare);
  const slash = Buffer.from("/");
  const walk = (relative: Buffer): void => {
    const path = Buffer.concat([Buffer.from(root), slash, relative]);
    const st = lstatSync(path, { bigint: true });
    const item: Fields = {
      path: new Uint8Array(relative),
      mode: Number(st.mode),
      user: null,
      group: null,
      uid: Number(st.uid),
      gid: Number(st.gid),
      mtime: st.mtimeNs,
      atime: st.atimeNs,
      ctime: st.ctimeNs,
    };
    items.push(item);
    if (st.isDirectory()) {
      for (const name of list(path)) walk(Buffer.concat([relative, slash, name]));
      return;
    }
    if (st.isSymbolicLink()) {
      item["source"] = new Uint8Array(readlinkSync(path, { encoding: "buffer" }));
      return;
    }
    const key = `${st.dev}:${st.ino}`;
    const first = links.get(key);
    if (first) {
      item["source"] = first;
      return;
    }
    if (st.nlink > 1n) {
      links.set(key, new Uint8Array(relative));
      item["hardlink_master"] = true;
    }
    if (st.isFile()) {
      item["chunks"] = source.contents(new Uint8Array(readFileSync(path)), chunkSize);
      item["size"] = Number(st.size);
    } else item["rdev"] = st.rdev;
  };
  for (const name of list(Buffer.from(root))) walk(name);
  return items;
}
