// Runs on every runtime, bundled: copies a tree by way of items, as a backup and a restore do with the metadata,
// and writes what it captured as JSON. `driver copy SOURCE DESTINATION JSON [path]`; with "path" everything goes by
// path instead of relative to open directories.
import { closeSync, ftruncateSync, readSync, writeFileSync, writeSync } from "node:fs";
import process from "node:process";
import type { Item } from "../../src/archive/item.ts";
import { MetadataCollector } from "../../src/archive/metadata-capture.ts";
import { createNode, MetadataRestorer } from "../../src/archive/metadata-restore.ts";
import {
  type Directory,
  fs,
  fsEncode,
  holes,
  hostId,
  isDirectory,
  isRegular,
  isSocket,
  isSymlink,
  libc,
  runtime,
  Stat,
} from "../../src/runtime/index.ts";
import { askLibc } from "../../src/runtime/users.ts";

const [, , , source, destination, json, way] = process.argv as string[];
const byPath = way === "path" || !libc();
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const problems: string[] = [];
const captured: Record<string, unknown> = {};
const collector = new MetadataCollector({
  atime: true,
  onProblem: (path, what, error) => problems.push(`${path}: ${what}: ${error.message}`),
  onLimits: (text) => problems.push(text),
});
const restorer = new MetadataRestorer({
  onProblem: (p) => {
    if (!(p.quiet && p.what === "owner")) problems.push(`${p.path}: ${p.what}: ${p.error.message}`);
  },
  onLimits: (text) => problems.push(text),
});
const links = new Map<string, string>();
const stat = new Stat();

function plain(item: Item): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(item).map(([key, value]) => {
      if (value instanceof Uint8Array) return [key, hex(value)];
      if (value instanceof Map) {
        return [key, Object.fromEntries([...value].map(([k, v]) => [hex(fsEncode(k)), v && hex(v)]))];
      }
      return [key, typeof value === "bigint" ? value.toString() : value];
    }),
  );
}

function copyData(from: number, to: number, size: number): void {
  const buffer = new Uint8Array(1 << 16);
  for (let at = 0; at < size; ) {
    let end = size;
    if (holes.canSeekHoles()) {
      const data = holes.seekData(from, at);
      if (data === undefined) break;
      at = data;
      end = holes.seekHole(from, at) ?? size;
    }
    while (at < end) {
      const n = readSync(from, buffer, 0, Math.min(buffer.length, end - at), at);
      if (n === 0) break;
      if (holes.canSeekHoles() || buffer.subarray(0, n).some((b) => b !== 0)) writeSync(to, buffer, 0, n, at);
      at += n;
    }
  }
  ftruncateSync(to, size);
}

function visit(from: Directory, to: Directory): void {
  for (const { name } of from.entries()) {
    const path = `${from.path}/${name}`;
    const target = `${to.path}/${name}`;
    from.lstat(name, stat);
    if (isSocket(stat.mode)) continue;
    const dir = byPath ? undefined : to;
    const place = byPath ? { path: target } : { path: target, dir: to, name };
    const at = byPath ? target : name;
    const key = `${stat.dev}:${stat.ino}`;
    const first = stat.nlink > 1 && !isDirectory(stat.mode) ? links.get(key) : undefined;
    if (stat.nlink > 1) links.set(key, target);
    const item: Item = { path, mode: stat.mode };
    const { size, rdev, mode } = stat;
    if (first !== undefined && !isSymlink(mode)) {
      fs.link(first, at, undefined, dir);
      continue;
    }
    if (isRegular(mode)) {
      const fd = fs.openRead(byPath ? path : name, {}, byPath ? undefined : from);
      fs.fstat(fd, stat);
      Object.assign(item, collector.statAttrs(stat, path, fd));
      const out = fs.createExclusive(at, 0o600, dir);
      copyData(fd, out, size);
      restorer.restoreAttrs({ ...place, fd: out }, item);
      closeSync(fd);
      closeSync(out);
    } else if (isDirectory(mode)) {
      fs.mkdir(at, 0o700, dir);
      const inner = byPath ? fs.openDirectory(path) : from.openDirectory(name);
      Object.assign(
        item,
        collector.statAttrs(inner.fstat(stat).copy(), path, inner.fd >= 0 ? inner.fd : undefined),
      );
      const made = byPath ? fs.openDirectory(target) : to.openDirectory(name);
      visit(inner, made);
      restorer.restoreAttrs(made.fd >= 0 ? { ...place, fd: made.fd } : place, item);
      inner.close();
      made.close();
    } else {
      Object.assign(item, collector.statAttrs(stat, path));
      if (isSymlink(mode)) {
        item.source = fs.readlink(byPath ? path : name, byPath ? undefined : from);
        fs.symlink(item.source, at, dir);
      } else {
        item.rdev = rdev;
        createNode(at, item, dir);
      }
      restorer.restoreAttrs(place, item);
    }
    captured[hex(fsEncode(path.slice(source!.length + 1)))] = plain(item);
  }
}

fs.mkdir(destination!, 0o700);
const [from, to] = [fs.openDirectory(source!), fs.openDirectory(destination!)];
visit(from, to);
const top: Item = { path: "", ...collector.statAttrs(fs.lstat(source!), source!) };
restorer.restoreAttrs({ path: destination! }, top);
restorer.flush();
restorer.restoreAttrs({ path: destination! }, top);
restorer.flush();
from.close();
to.close();
const c = libc();
const ffi = c?.ffi.name ?? "none";
// What depends on the layout of the C library's structures: names by its name service, the canonical name of the
// host, the addresses of the interfaces.
const identity = c && {
  hostId: hostId(),
  names: [
    askLibc(c, "passwd", "root"),
    askLibc(c, "group", "tty"),
    askLibc(c, "passwd", "65534", 65534),
    askLibc(c, "group", "6", 6),
    askLibc(c, "passwd", "no-such-user") ?? null,
    askLibc(c, "group", "987654", 987654) ?? null,
  ],
};
const { name, version, arch } = runtime;
writeFileSync(
  json!,
  JSON.stringify({ runtime: `${name} ${version}`, arch, ffi, problems, identity, captured }),
);
