// Lines of `list` written from the bytes of the item stream: for formats made of plain fields (Borg's own among them)
// nothing is decoded that is not printed, and what is printed is copied. An item that is not so plain (names beyond
// ASCII, archives of old versions without sizes, times outside of this epoch) is left to the formatter that knows
// everything; both give the same bytes (a test compares).
import { isSymlink } from "../src/archive/constants.ts";
import { fileMode } from "../src/archive/file-mode.ts";
import type { ItemDecoder } from "../src/archive/item-decoder.ts";
import { FIELD, FIELDS } from "../src/archive/item-fields.ts";
import { fsEncode } from "../src/format/bytes.ts";
import { FIXED_KEYS } from "../src/format/formatter.ts";
import { formatField, parseFormat } from "../src/format/pyformat.ts";
import type { ItemFormatter } from "./item-format.ts";

const TEXT = 0;
const MODE = 1;
const OWNER = 2;
const NUMBER = 3;
const TIME = 4;
const PATH = 5;
const EXTRA = 6;

interface Piece {
  kind: number;
  /** Of TEXT. */
  bytes: Uint8Array;
  /** FIELD of the value; of OWNER the name, with the number in `other`. */
  field: number;
  other: number;
  width: number;
}

// What the last owner looked like: nearly all items have the same.
interface Owner {
  name: Uint8Array;
  id: number;
  text: Uint8Array;
}

const GIVE_UP = Symbol("not plain");
const LINK_TO = fsEncode(" link to ");
const ARROW = fsEncode(" -> ");
/** 1980 to 2096. */
const [FIRST_SECOND, LAST_SECOND] = [315_532_800, 4_000_000_000];

export class ItemLines {
  readonly #formatter: ItemFormatter;
  readonly #pieces: readonly Piece[];
  readonly #at = new Int32Array(FIELDS);
  readonly #modes = new Map<number, Uint8Array>();
  readonly #owners = new Map<Piece, Owner>();
  #buf: Uint8Array = new Uint8Array(0);
  #out = Buffer.allocUnsafe(1 << 17);
  #end = 0;
  #hour = Number.NaN;
  #hourText: Uint8Array | undefined;

  private constructor(formatter: ItemFormatter, pieces: readonly Piece[]) {
    this.#formatter = formatter;
    this.#pieces = pieces;
  }

  /** undefined for a format that needs more. */
  static compile(format: string, formatter: ItemFormatter): ItemLines | undefined {
    const pieces: Piece[] = [];
    const none = new Uint8Array(0);
    for (const part of parseFormat(format)) {
      if (typeof part === "string") {
        pieces.push({ kind: TEXT, bytes: fsEncode(part), field: 0, other: 0, width: 0 });
        continue;
      }
      const { name, conversion, spec } = part;
      if (conversion !== "" || !/^([1-9]\d?)?$/.test(spec)) return undefined;
      const width = Number(spec);
      const fixed = FIXED_KEYS[name];
      const add = (kind: number, field = 0, other = 0): void =>
        void pieces.push({ kind, bytes: none, field, other, width });
      if (fixed !== undefined) {
        pieces.push({ kind: TEXT, bytes: fsEncode(formatField(fixed, "", spec)), field: 0, other: 0, width });
      } else if (name === "mode" && width <= 10) add(MODE);
      else if (name === "user") add(OWNER, FIELD.user, FIELD.uid);
      else if (name === "group") add(OWNER, FIELD.group, FIELD.gid);
      else if (name === "uid" || name === "gid" || name === "size") add(NUMBER, FIELD[name]);
      else if (name === "mtime" && width === 0) add(TIME, FIELD.mtime);
      else if (name === "path" && width === 0) add(PATH);
      else if (name === "extra" && width === 0) add(EXTRA);
      else return undefined;
    }
    return new ItemLines(formatter, pieces);
  }

  /** The lines of all complete items; a view, until the next call. @param parts part files too */
  lines(decoder: ItemDecoder, parts: boolean): Uint8Array {
    this.#end = 0;
    this.#buf = decoder.bytes;
    for (let start = decoder.locate(this.#at); start >= 0; start = decoder.locate(this.#at)) {
      if (this.#at[FIELD.part]! >= 0 && !parts) continue;
      const from = this.#end;
      try {
        for (const piece of this.#pieces) this.#piece(piece);
      } catch (e) {
        if (e !== GIVE_UP) throw e;
        this.#end = from;
        this.#copy(fsEncode(this.#formatter.lineNow(decoder.itemAt(start))));
      }
    }
    return this.#out.subarray(0, this.#end);
  }

  #piece(piece: Piece): void {
    switch (piece.kind) {
      case TEXT:
        return this.#copy(piece.bytes);
      case MODE:
        return this.#copy(this.#mode());
      case OWNER:
        return this.#owner(piece);
      case NUMBER:
        return this.#number(this.#size(piece), piece.width);
      case TIME:
        return this.#time(this.#at[piece.field]!);
      case PATH:
        return this.#plain(FIELD.path);
      default: {
        if (this.#at[FIELD.source]! < 0) return;
        this.#copy(isSymlink(this.#integer(this.#at[FIELD.mode]!)) ? ARROW : LINK_TO);
        this.#plain(FIELD.source);
      }
    }
  }

  #room(n: number): void {
    if (this.#end + n <= this.#out.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#out.length * 2, this.#end + n));
    larger.set(this.#out.subarray(0, this.#end));
    this.#out = larger;
  }

  #copy(bytes: Uint8Array): void {
    this.#room(bytes.length);
    const out = this.#out;
    let at = this.#end;
    for (let i = 0; i < bytes.length; i++) out[at++] = bytes[i]!;
    this.#end = at;
  }

  /** A name of ASCII characters, copied. */
  #plain(field: number): void {
    const at = this.#at[field]!;
    const length = this.#rawLength(at);
    const from = this.#rawStart(at);
    this.#room(length);
    const [buf, out] = [this.#buf, this.#out];
    let to = this.#end;
    let high = 0;
    for (let i = from; i < from + length; i++) {
      const b = buf[i]!;
      high |= b;
      out[to++] = b;
    }
    if (high > 0x7f) throw GIVE_UP;
    this.#end = to;
  }

  #rawLength(at: number): number {
    const [b, buf] = [this.#buf[at]!, this.#buf];
    if ((b & 0xe0) === 0xa0) return b & 31;
    if (b === 0xda || b === 0xc5) return (buf[at + 1]! << 8) | buf[at + 2]!;
    throw GIVE_UP;
  }

  #rawStart(at: number): number {
    return (this.#buf[at]! & 0xe0) === 0xa0 ? at + 1 : at + 3;
  }

  /** An unsigned number below 2^53. */
  #integer(at: number): number {
    if (at < 0) throw GIVE_UP;
    const buf = this.#buf;
    const b = buf[at]!;
    if (b < 0x80) return b;
    if (b === 0xcc) return buf[at + 1]!;
    if (b === 0xcd) return (buf[at + 1]! << 8) | buf[at + 2]!;
    if (b === 0xce) return this.#word(at + 1);
    if (b === 0xcf && buf[at + 1] === 0 && buf[at + 2]! < 0x20)
      return this.#word(at + 1) * 2 ** 32 + this.#word(at + 5);
    throw GIVE_UP;
  }

  #word(at: number): number {
    const buf = this.#buf;
    return ((buf[at]! << 24) | (buf[at + 1]! << 16) | (buf[at + 2]! << 8) | buf[at + 3]!) >>> 0;
  }

  #size({ field }: Piece): number {
    const at = this.#at[field]!;
    if (at >= 0) return this.#integer(at);
    if (field !== FIELD.size) return 0;
    // Without a stored size it is the chunks', or the length of a symlink's target.
    if (this.#at[FIELD.chunks]! >= 0) throw GIVE_UP;
    const source = this.#at[FIELD.source]!;
    if (source < 0 || !isSymlink(this.#integer(this.#at[FIELD.mode]!))) return 0;
    const length = this.#rawLength(source);
    for (let i = this.#rawStart(source), end = i + length; i < end; i++)
      if (this.#buf[i]! > 0x7f) throw GIVE_UP;
    return length;
  }

  #mode(): Uint8Array {
    const mode = this.#integer(this.#at[FIELD.mode]!);
    const link = this.#at[FIELD.source]! >= 0 && !isSymlink(mode);
    const key = link ? -mode - 1 : mode;
    let text = this.#modes.get(key);
    if (!text) {
      const plain = fileMode(mode);
      text = fsEncode(link ? `h${plain.slice(1)}` : plain);
      this.#modes.set(key, text);
    }
    return text;
  }

  /** Name, or number where there is none, as the format pads it. */
  #owner(piece: Piece): void {
    const at = this.#at[piece.field]!;
    const named = at >= 0 && this.#buf[at] !== 0xc0;
    const length = named ? this.#rawLength(at) : 0;
    const from = named ? this.#rawStart(at) : 0;
    const id = length > 0 ? 0 : this.#size({ ...piece, field: piece.other });
    let last = this.#owners.get(piece);
    if (!last || last.id !== id || !this.#same(last.name, from, length)) {
      const name = this.#buf.slice(from, from + length);
      if (name.some((b) => b > 0x7f)) throw GIVE_UP;
      const text = fsEncode(
        formatField(
          length > 0 ? String.fromCharCode(...name) : id,
          "",
          piece.width ? String(piece.width) : "",
        ),
      );
      last = { name, id, text };
      this.#owners.set(piece, last);
    }
    this.#copy(last.text);
  }

  #same(bytes: Uint8Array, from: number, length: number): boolean {
    if (bytes.length !== length) return false;
    for (let i = 0; i < length; i++) if (bytes[i] !== this.#buf[from + i]) return false;
    return true;
  }

  /** Right-aligned, as Python pads numbers. */
  #number(value: number, width: number): void {
    this.#room(20 + width);
    const out = this.#out;
    let digits = 1;
    for (let limit = 10; value >= limit; limit *= 10) digits++;
    let at = this.#end;
    for (let i = digits; i < width; i++) out[at++] = 0x20;
    this.#end = at + digits;
    let rest = value;
    for (let i = this.#end - 1; i >= at; i--) {
      const next = Math.floor(rest / 10);
      out[i] = 0x30 + (rest - next * 10);
      rest = next;
    }
  }

  /** Nanoseconds, an unsigned number of 64 bits, to the second that borg prints. */
  #time(at: number): void {
    if (at < 0 || this.#buf[at] !== 0xcf) throw GIVE_UP;
    const low = this.#word(at + 5);
    let second = Math.floor((this.#word(at + 1) * 2 ** 32 + low) / 1e9);
    // The quotient of rounded numbers may be one off; the low words tell, for the difference is small.
    const rest = (low - Math.imul(second, 1_000_000_000)) | 0;
    if (rest < 0) second--;
    else if (rest >= 1_000_000_000) second++;
    if (second < FIRST_SECOND || second >= LAST_SECOND) throw GIVE_UP;
    const hour = Math.floor(second / 3600);
    if (hour !== this.#hour) {
      this.#hour = hour;
      const text = this.#formatter.hourText(hour);
      this.#hourText = text === undefined ? undefined : fsEncode(text);
    }
    if (!this.#hourText) throw GIVE_UP;
    this.#copy(this.#hourText);
    this.#room(5);
    const inHour = second - hour * 3600;
    const minute = Math.floor(inHour / 60);
    this.#two(minute);
    this.#out[this.#end++] = 0x3a;
    this.#two(inHour - minute * 60);
  }

  #two(n: number): void {
    const tens = Math.floor(n / 10);
    this.#out[this.#end++] = 0x30 + tens;
    this.#out[this.#end++] = 0x30 + n - tens * 10;
  }
}
