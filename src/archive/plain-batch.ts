// The plain files of a walk's slot, many at a time in the core (assembly/plain.ts): paths are hashed together, and what is
// unchanged goes from the slot by the files cache and the chunk index into encoded items, without anything being done for a
// single file here but counting its chunks.
import type { FilesCache } from "../cache/files.ts";
import { choose } from "../core/choose.ts";
import { createHasher, type Hasher } from "../core/hasher.ts";
import type { Core } from "../core/index.ts";
import { fsEncode } from "../format/bytes.ts";
import { fs, STAT } from "../runtime/index.ts";
import type { ChunkStore } from "./chunk-store.ts";
import { idHasherKind } from "./ids.ts";
import { ItemEncoder } from "./item-encoder.ts";
import type { MetadataCollector } from "./metadata-capture.ts";
import { ScanReader, type ScanSlot, SLOT_BYTES } from "./pipeline/scan-channel.ts";
import type { ConstantFields } from "./plain-item.ts";

const MOST_FILES = 2048;
const DIGEST = 32;
// In the staging region, which nothing else uses meanwhile: while paths are hashed, and while items are made.
const MESSAGE_BYTES = 512 << 10;
const MOST_CHUNKS = 4096;
const ITEM_BYTES = 704 << 10;
/** Names longer than all that are met go another way. */
const LONGEST_TEMPLATE = 1024;

/** Fields of the context, by 32-bit word; those of assembly/plain.ts by byte. */
const C = {
  slot: 0,
  slotEnd: 1,
  at: 2,
  count: 3,
  most: 4,
  records: 5,
  table: 6,
  messages: 7,
  messagesEnd: 8,
  messageAt: 9,
  prefix: 10,
  prefixLength: 11,
  flagBits: 12,
  asks: 13,
  digests: 14,
  cache: 15,
  cacheEnd: 16,
  expectedAt: 17,
  expected: 18,
  comparesSize: 19,
  comparedTime: 20,
  ids: 21,
  idsMost: 22,
  idCount: 23,
  sizes: 24,
  out: 25,
  outEnd: 26,
  hasCtime: 27,
  hasAtime: 28,
  quiet: 35,
  goodDevice: 36,
  badDevice: 38,
  newest: 40, // its lower half
  bares: 48,
} as const;
/** Words at which the templates of files and of directories begin: address, bytes of both parts, mode, uid and gid. */
const FILES = 29;
const DIRECTORIES = 42;
const CONTEXT_BYTES = 200;
const NO_MODE = 0xffffffff;

/** Words of a record. */
const R = { event: 0, state: 1, entry: 2, first: 3, chunks: 4 } as const;
const RECORD_WORDS = 6;
/** Bits of a record's state: names of attributes have not been listed, or there are some; a directory; the entry of the files
 *  cache may tell that there are none. Unasked without the last: there are some. */
const UNASKED = 1;
const DIRECTORY = 2;
const BAREABLE = 4;

export class PlainBatch {
  /** Entries that known() has taken last. */
  taken = 0;
  readonly #files: FilesCache;
  readonly #store: ChunkStore;
  readonly #collector: MetadataCollector;
  readonly #core: Core;
  readonly #hasher: Hasher;
  readonly #context: number;
  readonly #slotAt: number;
  readonly #digests: number;
  readonly #records: number;
  /** Most files are known to have no attributes. */
  readonly #trusts: boolean;
  /** Whether the core can look into the files cache. */
  readonly #expects: boolean;
  readonly #encoder = new ItemEncoder(LONGEST_TEMPLATE);
  /** The templates that are in the core, of files and of directories, and their addresses. */
  readonly #fields: (ConstantFields | undefined)[] = [];
  readonly #templates: readonly number[];
  #slot: ScanSlot | undefined;
  #count = 0;
  /** The record that is asked for next. */
  #next = 0;

  /** @param cwd for relative paths @param quiet whether nobody wants to be told of directories */
  constructor(
    files: FilesCache,
    store: ChunkStore,
    collector: MetadataCollector,
    cwd: string,
    quiet: boolean,
  ) {
    this.#files = files;
    this.#store = store;
    this.#collector = collector;
    const { core, key } = store.objects;
    this.#core = core;
    this.#hasher = createHasher(core, idHasherKind(key.material), choose());
    const prefix = fsEncode(`${cwd}/`);
    // One after another, with room for what the core reads or writes beyond ends.
    const sizes = [CONTEXT_BYTES, SLOT_BYTES, MOST_FILES * DIGEST, MOST_FILES * RECORD_WORDS * 4];
    sizes.push(LONGEST_TEMPLATE, LONGEST_TEMPLATE, prefix.length);
    let at = core.borrow(sizes.reduce((sum, size) => sum + aligned(size), 0));
    const [context, slotAt, digests, records, forFiles, forDirectories, prefixAt] = sizes.map((size) => {
      at += aligned(size);
      return at - aligned(size);
    }) as [number, number, number, number, number, number, number];
    this.#context = context;
    this.#slotAt = slotAt;
    this.#digests = digests;
    this.#records = records;
    this.#templates = [forFiles, forDirectories];
    core.u8.fill(0, context, context + CONTEXT_BYTES);
    core.u8.set(prefix, prefixAt);
    const { mode } = files;
    this.#expects = files.expected?.core === core;
    this.#trusts = files.isMostlyBare;
    this.#set({
      slot: this.#slotAt,
      most: MOST_FILES,
      records: this.#records,
      prefix: prefixAt,
      prefixLength: prefix.length,
      flagBits: collector.plainFlagBits,
      asks: collector.asksForNames ? 1 : 0,
      digests: this.#digests,
      comparesSize: mode.size ? 1 : 0,
      comparedTime: mode.time === undefined ? 0 : 8 * (mode.time === "ctime" ? STAT.ctimeSec : STAT.mtimeSec),
      idsMost: MOST_CHUNKS,
      hasCtime: collector.keepsChangeTime ? 1 : 0,
      hasAtime: collector.keepsAccessTime ? 1 : 0,
      quiet: quiet ? 1 : 0,
    });
    for (const at of [FILES, DIRECTORIES]) core.u32[this.#context / 4 + at + 3] = NO_MODE;
    this.#setDevices(Number.NaN, Number.NaN);
  }

  /** Gives memory back. Nothing else may be called then. */
  close(): void {
    this.#core.giveBack(this.#context);
  }

  /** Finds the slot's plain files, and hashes their paths. */
  begin(slot: ScanSlot): void {
    const core = this.#core;
    const stage = core.stageRegion(MESSAGE_BYTES + 8 * MOST_FILES);
    const table = stage + MESSAGE_BYTES;
    const end = slot.words[0]!;
    core.u8.set(slot.bytes.subarray(0, end), this.#slotAt);
    this.#slot = slot;
    this.#set({
      slotEnd: end,
      at: ScanReader.BEGIN,
      count: 0,
      table,
      messages: stage,
      messagesEnd: table,
      messageAt: stage,
    });
    while (core.raw.plainPaths(this.#context) !== 0) this.#learnDevice(slot);
    this.#count = this.#get(C.count);
    this.#next = 0;
    this.#hasher.many(table, this.#count, this.#digests);
    this.#askForAll();
  }

  /** The plain file of the event at `at`, asked for in their order; −1 where it is none. */
  find(at: number): number {
    const found = this.#recordAt(at);
    return found >= 0 && !this.#isDirectory(found) ? found : -1;
  }

  #recordAt(at: number): number {
    while (this.#next < this.#count && this.#record(this.#next, R.event) < at) this.#next++;
    return this.#next < this.#count && this.#record(this.#next, R.event) === at ? this.#next : -1;
  }

  /** Address of the hash of a found file's path in the core's memory. */
  digestOf(file: number): number {
    return this.#digests + file * DIGEST;
  }

  /** Whether it is known already that a record's file, or directory, has attributes. */
  isSpecial(record: number): boolean {
    return (this.#record(record, R.state) & (UNASKED | BAREABLE)) === UNASKED;
  }

  /** Whether a found file has attributes: they are listed where that was not done yet. */
  hasAttributes(file: number): boolean {
    if (this.#record(file, R.state) & UNASKED && this.mayBeBare(file)) this.#askForNames(file);
    return this.isSpecial(file);
  }

  /** Whether the files cache may tell of a found file that it has no attributes. */
  mayBeBare(file: number): boolean {
    return (this.#record(file, R.state) & BAREABLE) !== 0;
  }

  #isDirectory(record: number): boolean {
    return (this.#record(record, R.state) & DIRECTORY) !== 0;
  }

  /** The items of the files that come next, which are unchanged, and of directories among them: encoded, in memory that is used
   *  again. The reader is behind them then. Undefined where the next entry is none that can be taken so. */
  known(reader: ScanReader): Uint8Array | undefined {
    if (!this.#expects) return undefined;
    const from = this.#recordAt(reader.nextAt);
    if (from < 0 || this.isSpecial(from) || !this.#useTemplateOf(from)) return undefined;
    const place = this.#files.expected;
    if (!place) return undefined;
    const core = this.#core;
    const stage = core.stageRegion(MOST_CHUNKS * 40 + ITEM_BYTES);
    const sizes = stage + MOST_CHUNKS * 32;
    const out = sizes + MOST_CHUNKS * 8;
    this.#set({
      cacheEnd: place.end,
      expectedAt: place.at,
      expected: place.entry,
      ids: stage,
      sizes,
      out,
      outEnd: out + ITEM_BYTES,
    });
    let to = core.raw.knownFiles(this.#context, from);
    if (to === from) return undefined;
    // Where a chunk was lost, its file is read like a modified one.
    const found = this.#store.findAll(core.u32, stage / 4, this.#get(C.idCount));
    let chunks = 0;
    let files = 0;
    for (let i = from; i < to; i++) {
      if (this.#isDirectory(i)) continue;
      const behind = this.#record(i, R.first) + this.#record(i, R.chunks);
      if (behind > found || !this.#files.keepKnown(this.#record(i, R.entry))) to = i;
      else {
        chunks = behind;
        files++;
      }
    }
    this.#files.noteTime(this.#get(C.newest + 1), this.#get(C.newest));
    if (to === from) return undefined;
    this.#store.referenceFound(chunks, core.u32, sizes / 4);
    this.taken = to - from;
    this.#store.stats.nfiles += files;
    const length = core.raw.knownItems(this.#context, from, to);
    reader.seek(this.#record(to - 1, R.event));
    reader.next();
    this.#next = to;
    return core.view(out, length);
  }

  /** Whether the core is told of the mode and owner of a file. */
  #useTemplateOf(record: number): boolean {
    const { numbers } = this.#slot!;
    const s = (this.#record(record, R.event) + ScanReader.HEADER) / 8;
    const mode = numbers[s + STAT.mode]!;
    const uid = numbers[s + STAT.uid]!;
    const gid = numbers[s + STAT.gid]!;
    const directory = this.#isDirectory(record);
    const which = directory ? 1 : 0;
    const had = this.#fields[which];
    if (had?.mode === mode && had.uid === uid && had.gid === gid) return true;
    const [user, group] = [this.#collector.user(uid), this.#collector.group(gid)];
    const fields = this.#encoder.constantOf({ mode, uid, gid, user, group }, directory);
    const { middle, end } = fields;
    if (middle.length + end.length > LONGEST_TEMPLATE) return false;
    const { u8, u32 } = this.#core;
    const at = this.#templates[which]!;
    u8.set(middle, at);
    u8.set(end, at + middle.length);
    u32.set(
      [at, middle.length, end.length, mode, uid, gid],
      this.#context / 4 + (directory ? DIRECTORIES : FILES),
    );
    this.#fields[which] = fields;
    return true;
  }

  /** Decides whether files of the device that the core has stopped at may be plain. */
  #learnDevice(slot: ScanSlot): void {
    const reader = new ScanReader(slot);
    reader.seek(this.#get(C.at));
    reader.next();
    const device = slot.numbers[reader.statAt + STAT.dev]!;
    const [good, bad] = new Float64Array(this.#core.memory.buffer, this.#context + 4 * C.goodDevice, 2);
    if (!this.#collector.isPlainDevice(device, reader)) this.#setDevices(good!, device);
    else {
      this.#setDevices(device, bad!);
      const bares = this.#files.marksBare && this.#collector.tellsBareFiles(device, reader);
      this.#set({ bares: bares ? 1 : 0 });
    }
  }

  #setDevices(good: number, bad: number): void {
    new Float64Array(this.#core.memory.buffer, this.#context + 4 * C.goodDevice, 2).set([good, bad]);
  }

  /** Whoever has attributes is no plain file. Of those of which the files cache may know it, names are listed when it does not. */
  #askForAll(): void {
    if (!this.#collector.asksForNames) return;
    for (let i = 0; i < this.#count; i++) {
      const state = this.#record(i, R.state);
      if ((state & UNASKED) !== 0 && !(this.#trusts && state & BAREABLE)) this.#askForNames(i);
    }
  }

  #askForNames(i: number): void {
    const { u32 } = this.#core;
    const at = this.#records / 4 + i * RECORD_WORDS;
    const { bytes, words } = this.#slot!;
    const event = u32[at + R.event]!;
    const path = event + ScanReader.PATH;
    const end = path + words[event / 4 + ScanReader.LENGTH]!;
    u32[at + R.state]! &= fs.hasNoXattrs(bytes, path, end) ? ~UNASKED : ~BAREABLE;
  }

  #record(i: number, field: number): number {
    return this.#core.u32[this.#records / 4 + i * RECORD_WORDS + field]!;
  }

  #get(field: number): number {
    return this.#core.u32[this.#context / 4 + field]!;
  }

  #set(fields: Partial<Record<keyof typeof C, number>>): void {
    const { u32 } = this.#core;
    for (const name in fields)
      u32[this.#context / 4 + C[name as keyof typeof C]] = fields[name as keyof typeof C]!;
  }
}

/** With at least 64 bytes more. */
function aligned(size: number): number {
  return (size + 127) & ~63;
}
