// Fields of messages between programs, as SFTP has them: numbers with the highest byte first, and bytes behind their length,
// a number of 32 bits.

/** Goes through the fields of a message. */
export class FieldReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = at;
  }

  get more(): boolean {
    return this.#at < this.#bytes.length;
  }

  u8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8));
  }

  /** A view. */
  text(): Uint8Array {
    const length = this.u32();
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  #take(n: number): number {
    const at = this.#at;
    if (n > this.#bytes.length - at) throw this.tooShort();
    this.#at = at + n;
    return at;
  }

  /** What is thrown where a field would go beyond the message. */
  protected tooShort(): Error {
    return new RangeError("the message is too short");
  }
}

export function u32(n: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(n >>> 0);
  return bytes;
}

export function text(bytes: Uint8Array | string): Buffer {
  const b = Buffer.from(bytes as Uint8Array);
  return Buffer.concat([u32(b.length), b]);
}
