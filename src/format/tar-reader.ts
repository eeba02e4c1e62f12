// Reading tar archives from a stream, for import-tar: old tar, ustar, GNU (long names, sparse files) and PAX
// (also GNU's sparse formats 0.0, 0.1 and 1.0). Everything that is kept in memory is limited.
import { IntegrityError } from "../errors.ts";
import { fsDecode, fsEncode } from "./bytes.ts";
import { BLOCK, isZero, number, parseHeader, type RawHeader, type TarHeader, text } from "./tar-header.ts";

export interface TarEntry extends TarHeader {
  /** The type's character; what `type` calls "other" is told apart by it. */
  flag: string;
  /** PAX records, raw: SCHILY.xattr.NAME, SCHILY.acl.access, SCHILY.acl.default, atime, … */
  pax: ReadonlyMap<string, Uint8Array>;
  /** The content, holes as zeros; what is not read is skipped. Valid until the next entry is asked for. */
  content(): AsyncIterable<Uint8Array>;
}

const MAX_NAME = 1 << 20;
const MAX_PAX = 1 << 24;
const MAX_SPARSE = 1 << 20;
const ZEROS = new Uint8Array(1 << 16);

type Segment = readonly [offset: number, length: number];

export class TarReader {
  private readonly source: AsyncIterator<Uint8Array>;
  private readonly ignoreZeros: boolean;
  private buf: Uint8Array = new Uint8Array(0);
  private at = 0;
  /** Stored bytes of the present entry that were not read yet, and padding behind them. */
  private left = 0;
  private padding = 0;
  private global = new Map<string, Uint8Array>();
  private generation = 0;

  /** ignoreZeros: read on behind zero blocks, where archives were concatenated. */
  constructor(source: AsyncIterable<Uint8Array>, options: { ignoreZeros?: boolean } = {}) {
    this.source = source[Symbol.asyncIterator]();
    this.ignoreZeros = options.ignoreZeros ?? false;
  }

  /** Up to max bytes as a view, none at the end. */
  private async some(max: number): Promise<Uint8Array> {
    while (this.at === this.buf.length) {
      const { value, done } = await this.source.next();
      if (done) return new Uint8Array(0);
      this.buf = value;
      this.at = 0;
    }
    const part = this.buf.subarray(this.at, this.at + max);
    this.at += part.length;
    return part;
  }

  /** Exactly n bytes, or undefined at the end of the stream. @throws IntegrityError if it ends within them */
  private async exactly(n: number): Promise<Uint8Array | undefined> {
    const out = new Uint8Array(n);
    let have = 0;
    while (have < n) {
      const part = await this.some(n - have);
      if (part.length === 0) {
        if (have === 0) return undefined;
        throw new IntegrityError("tar: the archive ends within a block");
      }
      out.set(part, have);
      have += part.length;
    }
    return out;
  }

  private async skip(n: number): Promise<void> {
    while (n > 0) {
      const part = await this.some(n);
      if (part.length === 0) throw new IntegrityError("tar: the archive ends within an entry");
      n -= part.length;
    }
  }

  /** The content of an extension entry, padding skipped. */
  private async extension(header: RawHeader, limit: number): Promise<Uint8Array> {
    if (header.size > limit) throw new IntegrityError("tar: an extended header is too large");
    const content = await this.exactly(header.size);
    if (!content && header.size > 0)
      throw new IntegrityError("tar: the archive ends within an extended header");
    await this.skip(paddingOf(header.size));
    return content ?? new Uint8Array(0);
  }

  /** The next entry; undefined at the end. @throws IntegrityError for a damaged archive */
  async next(): Promise<TarEntry | undefined> {
    await this.skip(this.left + this.padding);
    this.left = this.padding = 0;
    this.generation++;
    let longName: string | undefined;
    let longLink: string | undefined;
    let records: Map<string, Uint8Array> | undefined;
    let sparse: Segment[] | undefined;
    for (;;) {
      const block = await this.exactly(BLOCK);
      if (!block) {
        if (longName !== undefined || longLink !== undefined || records) {
          throw new IntegrityError("tar: the archive ends behind an extended header");
        }
        return undefined;
      }
      if (isZero(block)) {
        if (this.ignoreZeros) continue;
        return undefined;
      }
      const header = parseHeader(block);
      switch (header.flag) {
        case "L":
          longName = text(await this.extension(header, MAX_NAME), 0, header.size);
          continue;
        case "K":
          longLink = text(await this.extension(header, MAX_NAME), 0, header.size);
          continue;
        case "x":
        case "X":
        case "g": {
          const parsed = parsePax(await this.extension(header, MAX_PAX));
          if (header.flag === "g") this.global = new Map([...this.global, ...parsed.records]);
          else {
            records = parsed.records;
            sparse = parsed.sparse;
          }
          continue;
        }
        default:
          return await this.finish(header, { longName, longLink, records, sparse });
      }
    }
  }

  private async finish(
    header: RawHeader,
    extended: {
      longName?: string | undefined;
      longLink?: string | undefined;
      records?: Map<string, Uint8Array> | undefined;
      sparse?: Segment[] | undefined;
    },
  ): Promise<TarEntry> {
    const pax = new Map([...this.global, ...(extended.records ?? [])]);
    const value = (key: string) => {
      const raw = pax.get(key);
      return raw && fsDecode(raw);
    };
    const integer = (key: string, usual: number) => {
      const digits = value(key);
      if (digits === undefined) return usual;
      if (!/^\d+$/.test(digits) || !Number.isSafeInteger(Number(digits))) {
        throw new IntegrityError(`tar: the PAX record ${key} is no number`);
      }
      return Number(digits);
    };
    let name = extended.longName ?? value("GNU.sparse.name") ?? value("path") ?? header.name;
    // Only what has content in the archive is followed by it: links have a size in some archives, but no content.
    const stored = ["file", "other"].includes(header.type) ? integer("size", header.size) : 0;
    this.left = stored;
    this.padding = paddingOf(stored);
    let size = stored;
    let segments = extended.sparse;
    if (header.flag === "S") {
      size = number(header.block, 483, 12);
      segments = await this.oldSparse(header.block);
    } else if (value("GNU.sparse.major") === "1" && value("GNU.sparse.minor") === "0") {
      size = integer("GNU.sparse.realsize", size);
      segments = await this.sparseMap();
    } else if (segments) size = integer("GNU.sparse.size", integer("GNU.sparse.realsize", size));
    if (segments) checkSparse(segments, size, this.left);
    if (header.type === "dir") name = name.replace(/\/+$/, "");
    const generation = this.generation;
    return {
      name,
      type: header.type,
      mode: header.mode,
      uid: integer("uid", header.uid),
      gid: integer("gid", header.gid),
      uname: value("uname") ?? header.uname,
      gname: value("gname") ?? header.gname,
      size,
      mtime: decimalNs(value("mtime")) ?? header.mtime,
      linkname: extended.longLink ?? value("linkpath") ?? header.linkname,
      devmajor: header.devmajor,
      devminor: header.devminor,
      flag: header.flag,
      pax,
      content: () => this.content(generation, size, segments),
    };
  }

  private async *content(
    generation: number,
    size: number,
    segments: Segment[] | undefined,
  ): AsyncGenerator<Uint8Array> {
    let position = 0;
    for (const [offset, length] of segments ?? [[0, size] as const]) {
      yield* zeros(offset - position);
      for (let rest = length; rest > 0; ) {
        if (generation !== this.generation)
          throw new RangeError("tar: the reader is at another entry already");
        const part = await this.some(rest);
        if (part.length === 0) throw new IntegrityError("tar: the archive ends within an entry");
        this.left -= part.length;
        rest -= part.length;
        yield part;
      }
      position = offset + length;
    }
    yield* zeros(size - position);
  }

  /** The map of GNU's old sparse format: four segments in the header, 21 in each further block. */
  private async oldSparse(header: Uint8Array): Promise<Segment[]> {
    const segments: Segment[] = [];
    let block = header;
    let [at, count, flag] = [386, 4, 482];
    for (;;) {
      for (let i = 0; i < count; i++) {
        const offset = number(block, at + 24 * i, 12);
        const length = number(block, at + 24 * i + 12, 12);
        if (offset || length) segments.push([offset, length]);
      }
      if (block[flag] === 0) return segments;
      if (segments.length > MAX_SPARSE) throw new IntegrityError("tar: too many holes");
      const next = await this.exactly(BLOCK);
      if (!next) throw new IntegrityError("tar: the archive ends within a sparse map");
      block = next;
      [at, count, flag] = [0, 21, 504];
    }
  }

  /** The map of format 1.0: decimal lines (their number, then pairs) at the start of the content, padded to a block. */
  private async sparseMap(): Promise<Segment[]> {
    const numbers: number[] = [];
    let digits = "";
    for (let wanted = 1; numbers.length < wanted; ) {
      const block = this.left >= BLOCK ? await this.exactly(BLOCK) : undefined;
      if (!block) throw new IntegrityError("tar: a sparse map is incomplete");
      this.left -= BLOCK;
      for (const byte of block) {
        if (numbers.length === wanted) break;
        if (byte === 10) {
          if (!/^\d{1,15}$/.test(digits)) throw new IntegrityError("tar: a sparse map is malformed");
          numbers.push(Number(digits));
          digits = "";
          if (numbers.length === 1) wanted = 1 + 2 * numbers[0]!;
          if (wanted > 2 * MAX_SPARSE) throw new IntegrityError("tar: too many holes");
        } else digits += String.fromCharCode(byte);
      }
      if (digits.length > 20) throw new IntegrityError("tar: a sparse map is malformed");
    }
    return pairs(numbers.slice(1));
  }
}

const paddingOf = (size: number) => (BLOCK - (size % BLOCK)) % BLOCK;

function* zeros(n: number): Generator<Uint8Array> {
  for (; n > 0; n -= ZEROS.length) yield n < ZEROS.length ? ZEROS.subarray(0, n) : ZEROS;
}

function pairs(numbers: number[]): Segment[] {
  const segments: Segment[] = [];
  for (let i = 0; i + 1 < numbers.length; i += 2) segments.push([numbers[i]!, numbers[i + 1]!]);
  return segments;
}

/** Segments have to be in order, within the size, and add up to what is stored. */
function checkSparse(segments: Segment[], size: number, stored: number): void {
  let position = 0;
  let sum = 0;
  for (const [offset, length] of segments) {
    if (offset < position || length < 0 || offset + length > size)
      throw new IntegrityError("tar: a sparse map is wrong");
    position = offset + length;
    sum += length;
  }
  if (sum > stored) throw new IntegrityError("tar: a sparse map is larger than its content");
}

/** Records "LENGTH KEY=VALUE\n". Format 0.0 of GNU's sparse files repeats keys, so those are collected in order. */
function parsePax(content: Uint8Array): { records: Map<string, Uint8Array>; sparse: Segment[] | undefined } {
  const records = new Map<string, Uint8Array>();
  const numbers: number[] = [];
  for (let at = 0; at < content.length && content[at] !== 0; ) {
    const space = content.indexOf(32, at);
    const digits = space < 0 || space - at > 10 ? "" : fsDecode(content.subarray(at, space));
    const end = at + Number(digits);
    const equals = content.indexOf(61, space);
    if (
      !/^\d+$/.test(digits) ||
      end > content.length ||
      content[end - 1] !== 10 ||
      equals < 0 ||
      equals >= end
    ) {
      throw new IntegrityError("tar: a PAX record is malformed");
    }
    const key = fsDecode(content.subarray(space + 1, equals));
    const value = content.slice(equals + 1, end - 1);
    records.set(key, value);
    if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") numbers.push(decimal(value));
    at = end;
  }
  const map = records.get("GNU.sparse.map");
  if (map) for (const n of fsDecode(map).split(",")) numbers.push(decimal(fsEncode(n)));
  if (numbers.length > 2 * MAX_SPARSE) throw new IntegrityError("tar: too many holes");
  return { records, sparse: numbers.length > 0 ? pairs(numbers) : undefined };
}

function decimal(raw: Uint8Array): number {
  const digits = fsDecode(raw);
  if (!/^\d{1,15}$/.test(digits)) throw new IntegrityError("tar: a sparse map is malformed");
  return Number(digits);
}

/** Nanoseconds of a PAX time like "1455566189.123456789"; further digits are cut. */
function decimalNs(value: string | undefined): bigint | undefined {
  if (value === undefined) return undefined;
  const m = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(value);
  // Python's tarfile writes the repr of a float, which may be "1e-09".
  if (/^-?\d+(\.\d+)?e[-+]?\d{1,2}$/.test(value) && Math.abs(Number(value)) < 1e12) {
    return BigInt(Math.round(Number(value) * 1e9));
  }
  if (!m) throw new IntegrityError("tar: a time in a PAX record is malformed");
  const ns = BigInt(m[2]!) * 1_000_000_000n + BigInt((m[3] ?? "").slice(0, 9).padEnd(9, "0"));
  return m[1] ? -ns : ns;
}
