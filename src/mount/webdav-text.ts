// The texts of WebDAV: names as parts of addresses and in XML, properties, dates, tags, ranges.
import { fsDecode } from "../format/bytes.ts";
import { S_IFDIR, S_IFMT } from "./constants.ts";
import type { Attributes } from "./protocol.ts";

export function properties(href: string, name: string, a: Attributes): string {
  const directory = (a.mode & S_IFMT) === S_IFDIR;
  const kind = directory
    ? "<D:resourcetype><D:collection/></D:resourcetype>"
    : `<D:resourcetype/><D:getcontentlength>${a.size}</D:getcontentlength><D:getcontenttype>application/octet-stream</D:getcontenttype>`;
  const executable = directory
    ? ""
    : `<A:executable xmlns:A="http://apache.org/dav/props/">${a.mode & 0o111 ? "T" : "F"}</A:executable>`;
  return (
    `<D:response><D:href>${xml(href)}</D:href><D:propstat><D:prop>${kind}` +
    `<D:displayname>${xml(name)}</D:displayname><D:getlastmodified>${httpDate(a.mtime)}</D:getlastmodified>` +
    `<D:creationdate>${date(a.mtime).toISOString()}</D:creationdate><D:getetag>${xml(etag(a))}</D:getetag>${executable}` +
    "<D:supportedlock/></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>\n"
  );
}

/** The bytes from..to (exclusive) that a Range header asks for; "none" if there are none of them; undefined for
 *  the whole: no header, another unit, or several ranges, which need not be honoured. */
export function parseRange(header: string | undefined, size: number): [number, number] | "none" | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? "");
  if (!match || (match[1] === "" && match[2] === "")) return undefined;
  if (match[1] === "") {
    const last = Number(match[2]);
    return last === 0 || size === 0 ? "none" : [Math.max(0, size - last), size];
  }
  const from = Number(match[1]);
  const to = match[2] === "" ? size : Math.min(size, Number(match[2]) + 1);
  if (match[2] !== "" && Number(match[2]) < from) return undefined;
  return from >= size ? "none" : [from, to];
}

/** Text for XML and HTML: markup escaped; what no XML document may hold, and bytes that are no UTF-8, become U+FFFD. */
export function xml(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd")
    .replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

const unreserved = /[A-Za-z0-9_.~-]/;

/** A name's bytes as one part of a URL. */
export function percentEncode(bytes: Uint8Array): string {
  let text = "";
  for (const b of bytes) {
    const c = String.fromCharCode(b);
    text += unreserved.test(c) ? c : `%${b.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return text;
}

export function percentDecode(text: string): Uint8Array {
  const source = Buffer.from(text, "utf8");
  const out = new Uint8Array(source.length);
  let n = 0;
  for (let i = 0; i < source.length; i++) {
    const hex = source[i] === 0x25 ? source.toString("latin1", i + 1, i + 3) : "";
    if (/^[0-9a-f]{2}$/i.test(hex)) {
      out[n++] = Number.parseInt(hex, 16);
      i += 2;
    } else out[n++] = source[i]!;
  }
  return out.subarray(0, n);
}

/** The decoded name of a directory. */
export function lastPart(href: string): string {
  return fsDecode(percentDecode(href.split("/").at(-2) ?? ""));
}

/** Times beyond what a Date can hold are clamped. */
function date(ns: bigint): Date {
  const ms = Number(ns / 1_000_000n);
  return new Date(Math.max(-62_135_596_800_000, Math.min(253_402_300_799_000, ms)));
}
export const httpDate = (ns: bigint): string => date(ns).toUTCString();

export function etag(a: Attributes): string {
  return `"${BigInt.asUintN(64, a.mtime).toString(16)}-${a.size.toString(16)}"`;
}
