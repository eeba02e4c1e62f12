// Writing tar archives. "gnu" gives what Borg's export-tar gives (Python's tarfile in GNU_FORMAT), byte for byte:
// long names in "././@LongLink" entries, whole seconds. "pax" keeps nanoseconds, extended attributes and ACLs too.
import { concatBytes, fsEncode } from "./bytes.ts";
import { BLOCK, FLAGS, formatHeader, RECORD, type TarHeader } from "./tar-header.ts";

export interface TarWriteEntry extends Partial<Omit<TarHeader, "type">> {
  name: string;
  type: Exclude<TarHeader["type"], "other">;
  /** Further PAX records, e.g. SCHILY.xattr.user.x or SCHILY.acl.access; only in "pax". */
  pax?: ReadonlyMap<string, Uint8Array>;
}

export class TarWriter {
  private readonly write: (bytes: Uint8Array) => void | Promise<void>;
  private readonly format: "gnu" | "pax";
  private offset = 0;
  private missing = 0;

  constructor(write: (bytes: Uint8Array) => void | Promise<void>, format: "gnu" | "pax" = "gnu") {
    this.write = write;
    this.format = format;
  }

  private async put(bytes: Uint8Array): Promise<void> {
    this.offset += bytes.length;
    await this.write(bytes);
  }

  private async pad(to: number): Promise<void> {
    const over = this.offset % to;
    if (over) await this.put(new Uint8Array(to - over));
  }

  /** Starts an entry; exactly `size` bytes of content have to follow through data(). */
  async entry(entry: TarWriteEntry): Promise<void> {
    await this.finishEntry();
    const header: TarHeader = {
      ...{
        mode: 0o644,
        uid: 0,
        gid: 0,
        uname: "",
        gname: "",
        size: 0,
        mtime: 0n,
        linkname: "",
        devmajor: 0,
        devminor: 0,
      },
      ...entry,
    };
    if (entry.type === "dir" && !header.name.endsWith("/")) header.name += "/";
    // As Borg divides: through a double, which may round the last microsecond of a second up.
    const mtime = Math.trunc(Number(header.mtime) / 1e9);
    await this.put(this.format === "gnu" ? gnuLong(header) : pax(header, entry.pax));
    await this.put(formatHeader({ ...header, mtime }, FLAGS[entry.type], this.format));
    this.missing = header.size;
  }

  async data(bytes: Uint8Array): Promise<void> {
    if (bytes.length > this.missing) throw new RangeError("tar: more content than the entry's size");
    this.missing -= bytes.length;
    await this.put(bytes);
  }

  private async finishEntry(): Promise<void> {
    if (this.missing > 0) throw new RangeError("tar: less content than the entry's size");
    await this.pad(BLOCK);
  }

  /** Ends the archive: two zero blocks, filled up to a whole record. */
  async finish(): Promise<void> {
    await this.finishEntry();
    await this.put(new Uint8Array(2 * BLOCK));
    await this.pad(RECORD);
  }
}

const bare = {
  mode: 0,
  uid: 0,
  gid: 0,
  uname: "",
  gname: "",
  mtime: 0,
  linkname: "",
  devmajor: 0,
  devminor: 0,
};

function extension(name: string, flag: string, content: Uint8Array, magic: "gnu" | "pax"): Uint8Array {
  const padding = new Uint8Array((BLOCK - (content.length % BLOCK)) % BLOCK);
  return concatBytes(formatHeader({ ...bare, name, size: content.length }, flag, magic), content, padding);
}

/** Entries that carry a link target or name of more than 100 bytes. */
function gnuLong({ name, linkname }: TarHeader): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [value, flag] of [
    [linkname, "K"],
    [name, "L"],
  ] as const) {
    const bytes = fsEncode(value);
    if (bytes.length > 100)
      parts.push(extension("././@LongLink", flag, concatBytes(bytes, new Uint8Array(1)), "gnu"));
  }
  return concatBytes(...parts);
}

function pax(header: TarHeader, further: ReadonlyMap<string, Uint8Array> = new Map()): Uint8Array {
  const records = new Map<string, Uint8Array>();
  for (const [key, value, limit] of [
    ["path", header.name, 100],
    ["linkpath", header.linkname, 100],
    ["uname", header.uname, 32],
    ["gname", header.gname, 32],
  ] as const) {
    const bytes = fsEncode(value);
    if (bytes.length > limit || bytes.some((b) => b > 127)) records.set(key, bytes);
  }
  for (const key of ["uid", "gid", "size"] as const) {
    if (header[key] >= 8 ** (key === "size" ? 11 : 7)) records.set(key, fsEncode(String(header[key])));
  }
  const fraction = ((header.mtime % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  if (fraction !== 0n || header.mtime < 0n) {
    const negative = header.mtime < 0n;
    const abs = negative ? -header.mtime : header.mtime;
    const digits = String(abs % 1_000_000_000n).padStart(9, "0");
    records.set("mtime", fsEncode(`${negative ? "-" : ""}${abs / 1_000_000_000n}.${digits}`));
  }
  for (const [key, value] of further) records.set(key, value);
  if (records.size === 0) return new Uint8Array(0);
  const parts = [...records].map(([key, value]) => record(fsEncode(key), value));
  return extension("././@PaxHeader", "x", concatBytes(...parts), "pax");
}

/** "LENGTH KEY=VALUE\n", where the length counts itself. */
function record(key: Uint8Array, value: Uint8Array): Uint8Array {
  const rest = key.length + value.length + 3;
  let length = rest + String(rest).length;
  if (String(length).length !== String(rest).length) length = rest + String(length).length;
  return concatBytes(fsEncode(`${length} `), key, fsEncode("="), value, fsEncode("\n"));
}
