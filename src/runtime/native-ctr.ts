// AES-256 in counter mode by the OpenSSL that Node consists of, called by its C functions where they can be reached: from
// one memory straight to another. node:crypto makes a buffer for every piece it gives, which has to be copied to where it
// belongs and collected: 3 to 6 % of a backup.
import crypto from "node:crypto";
import type { CFunction } from "./ffi/types.ts";
import { type Libc, libc } from "./libc.ts";
import { MemoryAddress } from "./memory-address.ts";

const KEY = 0;
const IV = 32;
const LENGTH = 48;
const SMALL_BYTES = 256;

export class NativeCtr {
  readonly #update: CFunction;
  readonly #init: CFunction;
  readonly #context: number;
  /** Key, counter, and the length that OpenSSL tells. */
  readonly #small: Uint8Array<ArrayBuffer>;
  readonly #smallAt: number;
  readonly #from: MemoryAddress;
  readonly #to: MemoryAddress;

  private constructor(
    c: Libc,
    functions: { update: CFunction; init: CFunction },
    context: number,
    cipher: number,
  ) {
    this.#from = new MemoryAddress(c.ffi);
    this.#to = new MemoryAddress(c.ffi);
    this.#update = functions.update;
    this.#init = functions.init;
    this.#context = context;
    this.#small = new Uint8Array(new ArrayBuffer(SMALL_BYTES));
    this.#smallAt = c.ffi.address(this.#small);
    this.#init(context, cipher, 0, 0, 0);
  }

  /** Undefined where the functions cannot be called, or do not give what node:crypto gives. */
  static make(): NativeCtr | undefined {
    const c = libc();
    const own = c?.ffi.openSelf?.();
    const create = own?.bind("EVP_CIPHER_CTX_new", "word", []);
    const cipher = own?.bind("EVP_aes_256_ctr", "word", []);
    const init = own?.bind("EVP_EncryptInit_ex", "i32", ["word", "word", "word", "word", "word"]);
    const update = own?.bind("EVP_EncryptUpdate", "i32", ["word", "word", "word", "word", "i32"]);
    if (!c || !create || !cipher || !init || !update) return undefined;
    const context = create();
    if (context === 0) return undefined;
    const made = new NativeCtr(c, { init, update }, context, cipher());
    return made.#works() ? made : undefined;
  }

  /** Begins with a key of 32 bytes and the first counter block of 16. */
  begin(key: Uint8Array, iv: Uint8Array): void {
    if (key.length !== 32 || iv.length !== 16) throw new RangeError("cipher: 32 bytes of key, 16 of counter");
    const small = this.#small;
    small.set(key, KEY);
    small.set(iv, IV);
    const done = this.#init(this.#context, 0, 0, this.#smallAt + KEY, this.#smallAt + IV);
    small.fill(0, KEY, KEY + 32);
    if (done !== 1) throw new Error("cipher: OpenSSL refuses key and counter");
  }

  /** Encrypts the next n bytes. The memories do not overlap. */
  encrypt(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, n: number): void {
    const fits = fromAt >= 0 && toAt >= 0 && n >= 0 && fromAt + n <= from.length && toAt + n <= to.length;
    // What is written here nobody else checks.
    if (!fits || !Number.isSafeInteger(fromAt) || !Number.isSafeInteger(toAt) || n > 0x7fffffff)
      throw new RangeError("cipher: not within the memory");
    const source = this.#from.of(from) + fromAt;
    const target = this.#to.of(to) + toAt;
    if (this.#update(this.#context, target, this.#smallAt + LENGTH, source, n) !== 1)
      throw new Error("cipher: OpenSSL does not encrypt");
  }

  #works(): boolean {
    const [key, iv] = [new Uint8Array(32), new Uint8Array(16)];
    for (let i = 0; i < 32; i++) key[i] = 7 * i + 1;
    iv.fill(0xff, 4);
    const data = new Uint8Array(new SharedArrayBuffer(128));
    for (let i = 0; i < data.length; i++) data[i] = i;
    const out = new Uint8Array(new SharedArrayBuffer(256));
    try {
      this.begin(key, iv);
      this.encrypt(data, 0, out, 3, 50);
      this.encrypt(data, 50, out, 53, 78);
    } catch {
      return false;
    }
    const expected = crypto.createCipheriv("aes-256-ctr", key, iv).update(data.slice());
    const around = out[0]! | out[1]! | out[2]! | out[131]! | out[132]!;
    return around === 0 && expected.every((byte, i) => out[3 + i] === byte);
  }
}

let mine: NativeCtr | null | undefined;

/** This thread's, or undefined where there is none. Whoever begins with it has it until the next call of begin(). */
export function nativeCtr(): NativeCtr | undefined {
  if (mine === undefined) mine = NativeCtr.make() ?? null;
  return mine ?? undefined;
}
