// The host's SHA-256 and HMAC-SHA256 over messages in the core's memory, at the least cost a call: small files are most
// of a backup, and there the call is what counts. Node 24, 64 bytes: createHmac 1.75 µs; one-shot hash into a Buffer
// 0.70, as a string of bytes 0.27, and 0.05 more to write that where it belongs.

import { type HashStart, NativeSha256, nativeSha256 } from "../runtime/native-sha256.ts";
import * as host from "./host.ts";
import type { Core } from "./index.ts";

/** Hashes [ptr, ptr + length) of a core's memory and writes 32 bytes at `out` of it. */
export type HashInto = (ptr: number, length: number, out: number) => void;

const BLOCK = 64;

function write(u8: Uint8Array, digest: string, out: number): void {
  for (let i = 0; i < 32; i++) u8[out + i] = digest.charCodeAt(i);
}

/** SHA-256 by the host. */
export function sha256Into(core: Core): HashInto {
  return (ptr, length, out) => {
    const { u8 } = core;
    write(u8, host.sha256Text(u8.subarray(ptr, ptr + length)), out);
  };
}

/**
 * HMAC's first pass, SHA-256 of (key ^ 0x36…) ‖ message, by the host; the second is `Core.hmacOuterMany`. The key's
 * block is laid before the message for the length of the call, and what was there is put back: nothing else may write
 * to the core's memory meanwhile, which holds as everything that does so is synchronous.
 */
export function hmacInnerInto(core: Core, key: Uint8Array): HashInto {
  const pad = core.alloc(2 * BLOCK);
  const saved = pad + BLOCK;
  core.u8.set(innerBlock(key), pad);
  return (ptr, length, out) => {
    const { u8 } = core;
    const at = ptr - BLOCK;
    u8.copyWithin(saved, at, ptr);
    u8.copyWithin(at, pad, saved);
    const digest = host.sha256Text(u8.subarray(at, ptr + length));
    u8.copyWithin(at, saved, saved + BLOCK);
    write(u8, digest, out);
  };
}

/** The key's block that HMAC's first pass begins with. */
function innerBlock(key: Uint8Array): Uint8Array {
  const block = new Uint8Array(BLOCK).fill(0x36);
  (key.length > BLOCK ? host.sha256(key) : key).forEach((byte, i) => {
    block[i] = byte ^ 0x36;
  });
  return block;
}

/** HMAC-SHA256 of messages in any memory by the host, for who makes the 64 bytes before a message afterwards. */
export class HostHmac {
  /** How many messages many() takes. */
  static readonly MOST = NativeSha256.MOST;
  readonly #core: Core;
  readonly #block: Uint8Array;
  readonly #slot: number;
  readonly #pairs: { sha: NativeSha256; start: HashStart } | undefined;
  /** Digests of the first pass in the core's memory, and a table of them. */
  readonly #firsts: number;
  readonly #table: number;

  /** @param slot of the core's HMAC keys, which is this one's from now on */
  constructor(core: Core, key: Uint8Array, slot: number) {
    this.#core = core;
    this.#block = innerBlock(key);
    this.#slot = slot;
    core.hmacSetKey(slot, key);
    const sha = nativeSha256();
    this.#pairs = sha && { sha, start: sha.hmacStart(key) };
    this.#firsts = core.alloc(32 * HostHmac.MOST);
    this.#table = core.alloc(8 * HostHmac.MOST);
  }

  /** Digests of n messages, 32 bytes each from `out` of the core's memory on. */
  many(memory: Uint8Array, offsets: Uint32Array, lengths: Uint32Array, n: number, out: number): void {
    const core = this.#core;
    if (this.#pairs) {
      const { sha, start } = this.#pairs;
      sha.many(memory, offsets, lengths, n, start);
      core.u8.set(sha.digests.subarray(0, 32 * n), out);
      return;
    }
    for (let i = 0; i < n; i++) {
      const from = offsets[i]!;
      const first = this.#firsts + 32 * i;
      memory.set(this.#block, from - BLOCK);
      write(core.u8, host.sha256Text(memory.subarray(from - BLOCK, from + lengths[i]!)), first);
      core.u32[this.#table / 4 + 2 * i] = first;
      core.u32[this.#table / 4 + 2 * i + 1] = 32;
    }
    core.hmacOuterMany(this.#slot, this.#table, n, out);
  }
}
