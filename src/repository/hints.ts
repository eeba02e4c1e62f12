// hints.N (docs/internals/data-structures.rst, "Index, hints and integrity"): what the repository knows about its
// segments besides the index, as one msgpack map: version 2, segments (live objects in each), compact (bytes that could
// be freed in each), storage_quota_use, shadow_index. Read by a reader of its own, because the shadow index may hold
// millions of ids that must not become strings in a Map first.
import { IntegrityError } from "../errors.ts";
import { Packer } from "../format/msgpack.ts";
import { ShadowIndex } from "./shadow.ts";

export interface Hints {
  /** Objects in use, by segment. */
  segments: Map<number, number>;
  /** Bytes that compaction would free, by segment. */
  compact: Map<number, number>;
  /** Bytes of all objects in use and superseded, as the quota counts them. */
  quotaUse: number;
  shadow: ShadowIndex;
}

export function emptyHints(): Hints {
  return { segments: new Map(), compact: new Map(), quotaUse: 0, shadow: new ShadowIndex() };
}

export function encodeHints(hints: Hints): Uint8Array {
  const packer = new Packer({}, 4096);
  const numbers = (name: string, map: Map<number, number>) => {
    packer.string(name);
    packer.mapHeader(map.size);
    for (const [key, value] of map) {
      packer.int(key);
      packer.int(value);
    }
  };
  packer.mapHeader(5);
  packer.string("version");
  packer.int(2);
  numbers("segments", hints.segments);
  numbers("compact", hints.compact);
  packer.string("storage_quota_use");
  packer.int(hints.quotaUse);
  packer.string("shadow_index");
  packer.mapHeader(hints.shadow.size);
  for (const [id, segments] of hints.shadow.entries()) {
    packer.raw(id);
    packer.arrayHeader(segments.length);
    for (const segment of segments) packer.int(segment);
  }
  return packer.take();
}

/** What a hints file holds. Version 1 (Borg 1.0) knows `segments` and only the numbers of sparse segments. */
export interface DecodedHints extends Hints {
  version: number;
}

/** @throws IntegrityError for anything that is no hints file of a version we know */
export function decodeHints(bytes: Uint8Array): DecodedHints {
  const reader = new HintsReader(bytes);
  const hints: DecodedHints = { version: 0, ...emptyHints() };
  for (let n = reader.mapLength(); n > 0; n--) {
    const name = reader.name();
    if (name === "version") hints.version = reader.int();
    else if (name === "segments") hints.segments = reader.numbers();
    else if (name === "compact") hints.compact = reader.numbers();
    else if (name === "storage_quota_use") hints.quotaUse = reader.int();
    else if (name === "shadow_index") hints.shadow = reader.shadow();
    else throw new IntegrityError(`hints: unknown entry ${JSON.stringify(name)}`);
  }
  if (hints.version !== 1 && hints.version !== 2)
    throw new IntegrityError(`hints: unknown version ${hints.version}`);
  reader.end();
  return hints;
}

class HintsReader {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  end(): void {
    if (this.at !== this.bytes.length) this.fail("extra data");
  }

  mapLength(): number {
    return this.container(0x80, 0xde, "map");
  }

  name(): string {
    const raw = this.raw();
    return Buffer.from(raw).toString("latin1");
  }

  int(): number {
    const b = this.take(1);
    const code = this.bytes[b]!;
    if (code < 0x80) return code;
    if (code >= 0xe0) return code - 0x100;
    if (code === 0xcc) return this.bytes[this.take(1)]!;
    if (code === 0xcd) return this.view.getUint16(this.take(2));
    if (code === 0xce) return this.view.getUint32(this.take(4));
    if (code === 0xd0) return this.view.getInt8(this.take(1));
    if (code === 0xd1) return this.view.getInt16(this.take(2));
    if (code === 0xd2) return this.view.getInt32(this.take(4));
    if (code === 0xcf || code === 0xd3) {
      const at = this.take(8);
      const n = Number(code === 0xcf ? this.view.getBigUint64(at) : this.view.getBigInt64(at));
      if (Number.isSafeInteger(n)) return n;
    }
    return this.fail("not an integer");
  }

  /** A map of ints to ints, or (version 1) a list of ints, each of which counts 0. */
  numbers(): Map<number, number> {
    const map = new Map<number, number>();
    const code = this.bytes[this.at] ?? 0;
    const isList = (code & 0xf0) === 0x90 || code === 0xdc || code === 0xdd;
    if (isList) for (let n = this.container(0x90, 0xdc, "list"); n > 0; n--) map.set(this.segment(), 0);
    else for (let n = this.mapLength(); n > 0; n--) map.set(this.segment(), this.int());
    return map;
  }

  shadow(): ShadowIndex {
    const shadow = new ShadowIndex();
    for (let n = this.mapLength(); n > 0; n--) {
      const id = this.raw();
      if (id.length !== 32) this.fail("an id must have 32 bytes");
      const list: number[] = [];
      for (let m = this.container(0x90, 0xdc, "list"); m > 0; m--) list.push(this.segment());
      shadow.set(id, 0, list);
    }
    return shadow;
  }

  private segment(): number {
    const n = this.int();
    if (n < 0 || n > 0xffffffff) this.fail(`impossible segment number ${n}`);
    return n;
  }

  private raw(): Uint8Array {
    const code = this.bytes[this.take(1)]!;
    let length: number;
    if ((code & 0xe0) === 0xa0) length = code & 31;
    else if (code === 0xd9 || code === 0xc4) length = this.bytes[this.take(1)]!;
    else if (code === 0xda || code === 0xc5) length = this.view.getUint16(this.take(2));
    else if (code === 0xdb || code === 0xc6) length = this.view.getUint32(this.take(4));
    else return this.fail("not a raw string");
    const at = this.take(length);
    return this.bytes.subarray(at, at + length);
  }

  private container(fix: number, wide: number, what: string): number {
    const code = this.bytes[this.take(1)]!;
    let length: number;
    if ((code & 0xf0) === fix) length = code & 15;
    else if (code === wide) length = this.view.getUint16(this.take(2));
    else if (code === wide + 1) length = this.view.getUint32(this.take(4));
    else return this.fail(`not a ${what}`);
    // Every element has a byte at least: a length that cannot be true is refused before anything is made for it.
    if (length > this.bytes.length - this.at) this.fail(`a ${what} too long for the file`);
    return length;
  }

  private take(n: number): number {
    const at = this.at;
    if (n > this.bytes.length - at) this.fail("the file ends too early");
    this.at = at + n;
    return at;
  }

  private fail(why: string): never {
    throw new IntegrityError(`hints: ${why}`);
  }
}
