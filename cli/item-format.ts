// One line for an item of an archive: the keys of Borg's ItemFormatter, as text by a format or as a JSON object.
// Only what a format names is computed; hashes read the file's contents.
import { createHash, getHashes } from "node:crypto";
import type { Archive } from "../src/archive/archive.ts";
import { isSymlink } from "../src/archive/constants.ts";
import { fileMode } from "../src/archive/file-mode.ts";
import type { ChunkRef, Item } from "../src/archive/item.ts";
import { itemCsize, itemSize } from "../src/archive/item-size.ts";
import type { ChunkIndex } from "../src/cache/chunks.ts";
import { Xxh64 } from "../src/core/index.ts";
import { toHex } from "../src/format/bytes.ts";
import { type CompiledFormat, compileFormat, FIXED_KEYS } from "../src/format/formatter.ts";
import { removeSurrogates } from "../src/format/paths.ts";
import { type FormatValue, formatField, parseFormat } from "../src/format/pyformat.ts";
import { OutputTime } from "../src/format/time.ts";
import { type Json, jsonLine } from "./output/json.ts";

const hashNames: Record<string, string> = {
  blake2b: "blake2b512",
  blake2s: "blake2s256",
  md5: "md5",
  sha1: "sha1",
  sha224: "sha224",
  sha256: "sha256",
  sha384: "sha384",
  sha512: "sha512",
  sha3_224: "sha3-224",
  sha3_256: "sha3-256",
  sha3_384: "sha3-384",
  sha3_512: "sha3-512",
};
const hashKeys = ["xxh64", ...Object.keys(hashNames)];
const cacheKeys = ["dsize", "dcsize", "unique_chunks"];
const timeKeys = ["mtime", "ctime", "atime"];
const plainKeys = ["type", "mode", "user", "group", "uid", "gid", "path", "source", "linktarget", "flags"];

/** Every key --format knows for items. */
export const itemKeys: readonly string[] = [
  ...plainKeys,
  "bpath",
  "extra",
  "health",
  "healthy",
  "dataless",
  "size",
  "csize",
  "num_chunks",
  ...cacheKeys,
  ...timeKeys,
  ...timeKeys.map((k) => `iso${k}`),
  ...hashKeys,
  "archivename",
  "archiveid",
];

const TWO = Array.from({ length: 60 }, (_, i) => String(i).padStart(2, "0"));

export class ItemFormatter {
  readonly #archive: Archive;
  readonly #format: CompiledFormat;
  readonly #chunks: ChunkIndex | undefined;
  #item: Item = { path: "", mode: 0 };
  #digests = new Map<string, string>();
  readonly #value = (key: string): FormatValue => this.#valueOf(key);
  // Many neighbouring files have the same second; formatting a local time costs more than all else in a line.
  #lastTime = -1n;
  #lastOutput = OutputTime.ofTimestamp(0);
  readonly #pieces: (string | (() => string))[] | undefined;
  #hour = Number.NaN;
  #hourText: string | undefined;
  readonly #hours = new Map<number, string | undefined>();

  /** @throws InvalidPlaceholder for an unknown key */
  constructor(archive: Archive, format: string, chunks?: ChunkIndex) {
    this.#archive = archive;
    this.#format = compileFormat(format, itemKeys);
    this.#chunks = chunks;
    this.#pieces = this.#compile(format);
  }

  /** Whether a format names keys that need the chunks cache. */
  static needsCache(format: string): boolean {
    const { keys } = compileFormat(format, itemKeys);
    return cacheKeys.some((k) => keys.has(k));
  }

  /** Fields of items that the format needs, for decoding no others. */
  wanted(json: boolean): Set<string> {
    const out = new Set(["mode", "uid", "gid", "user", "group", "source", "bsdflags"]);
    for (const k of this.#format.keys) {
      if (["size", "csize", "num_chunks", ...cacheKeys, ...hashKeys].includes(k))
        out.add("chunks").add("size");
      const time = k.replace("iso", "");
      if (timeKeys.includes(time)) out.add(time).add("mtime");
    }
    // The size is stored; its chunks are needed only for archives of old versions, which have none.
    if (
      this.#format.keys.has("size") &&
      ![...this.#format.keys].some(
        (k) =>
          k !== "size" && out.has("chunks") && ["csize", "num_chunks", ...cacheKeys, ...hashKeys].includes(k),
      )
    ) {
      out.add("size");
      if (this.#archive.metadata.totals) out.delete("chunks");
    }
    if (json || this.#format.keys.has("health") || this.#format.keys.has("healthy"))
      out.add("chunks_healthy");
    return out;
  }

  async line(item: Item): Promise<string> {
    await this.#prepare(item);
    return this.#format.render(this.#value);
  }

  /** True where line() needs no waiting: then lineNow() does. */
  get immediate(): boolean {
    return !hashKeys.some((k) => this.#format.keys.has(k));
  }

  lineNow(item: Item): string {
    this.#item = item;
    if (!this.#pieces) return this.#format.render(this.#value);
    let text = "";
    for (const piece of this.#pieces) text += typeof piece === "string" ? piece : piece();
    return text;
  }

  /** The format as functions, each made for its field: modes, users and groups repeat, so their texts are kept, and
   *  times share all but minutes and seconds with the hour they are in. undefined for formats beyond that. */
  #compile(format: string): (string | (() => string))[] | undefined {
    const pieces: (string | (() => string))[] = [];
    for (const part of parseFormat(format)) {
      if (typeof part === "string") {
        pieces.push(part);
        continue;
      }
      const { name, conversion, spec } = part;
      if (conversion !== "" || spec.includes("{")) return undefined;
      const fixed = FIXED_KEYS[name];
      if (fixed !== undefined) pieces.push(formatField(fixed, "", spec));
      else if (timeKeys.includes(name) && spec === "") {
        const key = name as "mtime";
        pieces.push(() => this.#timeText(this.#item[key] ?? this.#item.mtime ?? 0n));
      } else if (["mode", "type", "user", "group", "uid", "gid"].includes(name)) {
        const texts = new Map<FormatValue, string>();
        pieces.push(() => {
          const value = this.#valueOf(name);
          let text = texts.get(value);
          if (text === undefined) {
            text = formatField(value, "", spec);
            texts.set(value, text);
          }
          return text;
        });
      } else if (/^[1-9]\d?$/.test(spec)) {
        const width = Number(spec);
        pieces.push(() => {
          const value = this.#valueOf(name);
          return typeof value === "number" && Number.isSafeInteger(value)
            ? String(value).padStart(width)
            : formatField(value, "", spec);
        });
      } else if (spec === "") {
        pieces.push(() => {
          const value = this.#valueOf(name);
          return typeof value === "string" ? value : formatField(value, "", "");
        });
      } else pieces.push(() => formatField(this.#valueOf(name), "", spec));
    }
    return pieces;
  }

  #timeText(ns: bigint): string {
    const second = Number(ns / 1_000_000_000n);
    const hour = Math.floor(second / 3600);
    if (hour !== this.#hour) {
      this.#hour = hour;
      this.#hourText = this.hourText(hour);
    }
    if (this.#hourText === undefined) return this.#time(ns).format();
    const rest = second - hour * 3600;
    const minutes = Math.floor(rest / 60);
    return `${this.#hourText}${TWO[minutes]!}:${TWO[rest - minutes * 60]!}`;
  }

  /** What all times of an hour (counted since the epoch) begin with; undefined where they must be formatted one by one:
   *  before 1980 zones are off the minute, the clock may be changed within the hour, or be half an hour off. */
  hourText(hour: number): string | undefined {
    if (this.#hours.has(hour)) return this.#hours.get(hour);
    if (this.#hours.size >= 4096) this.#hours.clear();
    const text = hourText(hour);
    this.#hours.set(hour, text);
    return text;
  }

  async json(item: Item): Promise<string> {
    await this.#prepare(item);
    const out: { [key: string]: Json } = {};
    for (const k of ["archivename", "archiveid"])
      if (this.#format.keys.has(k)) out[k] = this.#valueOf(k) as string;
    for (const k of plainKeys.slice(0, 7)) out[k] = jsonValue(this.#valueOf(k));
    out["healthy"] = item.chunks_healthy === undefined;
    for (const k of plainKeys.slice(7)) out[k] = jsonValue(this.#valueOf(k));
    for (const k of this.#format.keys) {
      if (k in out || k === "bpath" || k === "extra" || k === "health" || k === "healthy") continue;
      out[k] = jsonValue(this.#valueOf(k));
    }
    return `${jsonLine(out)}\n`;
  }

  async #prepare(item: Item): Promise<void> {
    this.#item = item;
    this.#digests.clear();
    const names = hashKeys.filter((k) => this.#format.keys.has(k));
    if (names.length === 0) return;
    if (!item.chunks) {
      for (const n of names) this.#digests.set(n, "");
      return;
    }
    const hashes = names.map((n) => ({ n, h: n === "xxh64" ? new Xxh64() : hostHash(n) }));
    for await (const data of this.#archive.objects.getMany(item.chunks.map((c) => c.id))) {
      for (const { h } of hashes) h.update(data);
    }
    for (const { n, h } of hashes) this.#digests.set(n, h instanceof Xxh64 ? h.digestHex() : h.digest("hex"));
  }

  #valueOf(key: string): FormatValue {
    const item = this.#item;
    switch (key) {
      case "type":
        return fileMode(item.mode)[0]!;
      case "mode": {
        const mode = fileMode(item.mode);
        return item.source && !isSymlink(item.mode) ? `h${mode.slice(1)}` : mode;
      }
      case "user":
        return item.user ? removeSurrogates(item.user) : (item.uid ?? 0);
      case "group":
        return item.group ? removeSurrogates(item.group) : (item.gid ?? 0);
      case "uid":
        return item.uid ?? 0;
      case "gid":
        return item.gid ?? 0;
      case "path":
        return removeSurrogates(item.path);
      case "bpath":
        return item.path;
      case "source":
      case "linktarget":
        return item.source ? removeSurrogates(item.source) : "";
      case "extra":
        if (!item.source) return "";
        return `${isSymlink(item.mode) ? " -> " : " link to "}${removeSurrogates(item.source)}`;
      case "flags":
        return item.bsdflags ?? 0;
      case "dataless":
        return item.bsdflags !== undefined && (item.bsdflags & 0x40000000) !== 0 ? 1 : 0;
      case "health":
        return item.chunks_healthy ? "broken" : "healthy";
      case "healthy":
        return item.chunks_healthy ? "False" : "True";
      case "size":
        return itemSize(item);
      case "csize":
        return itemCsize(item);
      case "num_chunks":
        return item.chunks?.length ?? 0;
      case "dsize":
        return this.#unique((c) => c.size);
      case "dcsize":
        return this.#unique((c) => c.csize);
      case "unique_chunks":
        return this.#unique(() => 1);
      case "mtime":
      case "ctime":
      case "atime":
        return this.#time(item[key] ?? item.mtime ?? 0n);
      case "isomtime":
      case "isoctime":
      case "isoatime":
        return this.#time(item[key.slice(3) as "mtime"] ?? item.mtime ?? 0n).isoformat();
      case "archivename":
        return this.#archive.name;
      case "archiveid":
        return this.#archive.fingerprint;
      default:
        return this.#digests.get(key) ?? "";
    }
  }

  #time(ns: bigint): OutputTime {
    if (ns !== this.#lastTime) {
      this.#lastTime = ns;
      this.#lastOutput = OutputTime.ofFileTime(ns);
    }
    return this.#lastOutput;
  }

  /** Sums over the chunks that nothing but this item references. */
  #unique(figure: (chunk: ChunkRef) => number): number {
    const own = new Map<string, number>();
    for (const c of this.#item.chunks ?? []) own.set(toHex(c.id), (own.get(toHex(c.id)) ?? 0) + 1);
    let sum = 0;
    for (const c of this.#item.chunks ?? [])
      if (this.#chunks?.seen(c.id) === own.get(toHex(c.id))) sum += figure(c);
    return sum;
  }
}

function jsonValue(value: FormatValue): Json {
  return value instanceof OutputTime ? value.isoformat() : (value as Json);
}

function hostHash(key: string): ReturnType<typeof createHash> {
  const name = hashNames[key]!;
  if (getHashes().includes(name) || key !== "sha3_224") return createHash(name);
  return createHash(name.toUpperCase());
}

function hourText(hour: number): string | undefined {
  if (hour < 87_648 || hour >= 1_111_111) return undefined;
  const at = (s: number): string => OutputTime.ofFileTime(BigInt(s) * 1_000_000_000n).format();
  const first = at(hour * 3600);
  const last = at(hour * 3600 + 3599);
  const text = first.slice(0, -5);
  return first.endsWith(":00:00") && last === `${text}59:59` ? text : undefined;
}
