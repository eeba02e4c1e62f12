// The messages that come by the thousand, written byte by byte: requests for one object, and the answer "None". The
// general encoder makes a map, a buffer and a copy for each.
import { pack } from "../format/msgpack.ts";

export type ObjectMethod = "put" | "get" | "delete";

const latin1 = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

/** {i: …} of three. */
const REQUEST = latin1("\x83\xa1i");
/** Between a request's number and the id, which is the first argument: m: method, a: {id: raw of 32 bytes. */
const MIDDLE: Record<ObjectMethod, Uint8Array> = {
  put: latin1("\xa1m\xa3put\xa1a\x82\xa2id\xda\x00\x20"),
  get: latin1("\xa1m\xa3get\xa1a\x81\xa2id\xda\x00\x20"),
  delete: latin1("\xa1m\xa6delete\xa1a\x81\xa2id\xda\x00\x20"),
};
const DATA = latin1("\xa4data");
const ANSWER = latin1("\x82\xa1i");
const NONE = latin1("\xa1r\xc0");

/** Encodes into one buffer of its own. */
export class ObjectMessages {
  private readonly buffer = new Uint8Array(128);
  private readonly view = new DataView(this.buffer.buffer);
  private at = 0;

  /** A request with named arguments; `size` bytes of a put's data have to follow. A view, valid until the next call. */
  request(number: number, method: ObjectMethod, id: Uint8Array, size = 0): Uint8Array {
    this.at = 0;
    this.bytes(REQUEST);
    this.number(number);
    this.bytes(MIDDLE[method]);
    this.bytes(id);
    if (method === "put") {
      this.bytes(DATA);
      if (size < 32) this.buffer[this.at++] = 0xa0 | size;
      else if (size < 0x10000) {
        this.buffer[this.at] = 0xda;
        this.view.setUint16(this.at + 1, size);
        this.at += 3;
      } else {
        this.buffer[this.at] = 0xdb;
        this.view.setUint32(this.at + 1, size);
        this.at += 5;
      }
    }
    return this.buffer.subarray(0, this.at);
  }

  /** The answer to what returns nothing. A view, valid until the next call. */
  none(number: number): Uint8Array {
    this.at = 0;
    this.bytes(ANSWER);
    this.number(number);
    this.bytes(NONE);
    return this.buffer.subarray(0, this.at);
  }

  private bytes(bytes: Uint8Array): void {
    this.buffer.set(bytes, this.at);
    this.at += bytes.length;
  }

  private number(n: number): void {
    if (n >= 0 && n < 0x80) this.buffer[this.at++] = n;
    else if (n >= 0 && n < 0x100000000) {
      this.buffer[this.at] = 0xce;
      this.view.setUint32(this.at + 1, n);
      this.at += 5;
    } else this.bytes(pack(n));
  }
}
