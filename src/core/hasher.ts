// One face for the hashes of the pipeline: chunk ids and MACs over many messages in the core's memory, each
// served by the core or by the host as the choice says. All give the same bytes.

import { type HashStart, NativeSha256, nativeSha256, PLAIN_START } from "../runtime/native-sha256.ts";
import type { Choice } from "./choose.ts";
import { choose } from "./choose.ts";
import * as host from "./host.ts";
import { type HashInto, HostHmac, hmacInnerInto, sha256Into } from "./host-hash.ts";
import type { Core } from "./index.ts";

export type HashKind =
  | { type: "sha256" }
  | { type: "hmac-sha256"; key: Uint8Array }
  /** BLAKE2b-256 of key ‖ message. */
  | { type: "blake2b"; key: Uint8Array };

export interface Hasher {
  /** n messages: `table` holds n pairs (ptr u32, len u32) in the core's memory; digest i goes to out + 32 · i. */
  many(table: number, n: number, out: number): void;
  /** One message, wherever it lies. */
  one(data: Uint8Array): Uint8Array;
}

/** How many messages of a mixed batch go to the core at once. */
const GROUP = 64;

// Slots are per core and for good: a core is asked for few hashers, one per key of the open repository.
const slots = new WeakMap<Core, number>();

function newSlot(core: Core): number {
  const slot = (slots.get(core) ?? 0) + 1;
  slots.set(core, slot);
  return slot;
}

/** The hasher of a key. Each call keeps a little of the core's memory for good: make one per key, not per use. */
export function createHasher(core: Core, kind: HashKind, choice: Choice = choose()): Hasher {
  if (kind.type === "sha256") {
    const wasm: Hasher = {
      many: (table, n, out) => core.sha256Many(table, n, out),
      one: (data) => core.sha256(data),
    };
    const from = choice.sha256HostFrom;
    if (from === null) return wasm;
    return split(core, from, { one: host.sha256, into: sha256Into(core), start: () => PLAIN_START }, wasm);
  }
  const key = kind.key.slice();
  // Slots below 100 stay free for direct users of the core.
  const slot = 100 + newSlot(core);
  if (kind.type === "hmac-sha256") {
    core.hmacSetKey(slot, key);
    const wasm: Hasher = {
      many: (table, n, out) => core.hmacSha256Many(slot, table, n, out),
      one: (data) => core.hmacSha256(key, data),
    };
    const from = choice.hmacHostFrom;
    if (from === null) return wasm;
    const prepared = host.hmacKey(key);
    const native: Native = {
      one: (data) => host.hmacSha256(prepared, data),
      into: hmacInnerInto(core, key),
      finish: (table, n, out) => core.hmacOuterMany(slot, table, n, out),
      start: (sha) => sha.hmacStart(key),
    };
    return split(core, from, native, wasm);
  }
  core.blake2bSetKey(slot, key);
  return {
    many: (table, n, out) => core.blake2bMany(slot, table, n, out),
    one: (data) => core.blake2bPrefix(key, data),
  };
}

/** HMAC-SHA256 for messages outside the core's memory; undefined where the core is to make all digests. Make one per key, as
 *  with createHasher. */
export function createHostHmac(core: Core, key: Uint8Array, choice: Choice): HostHmac | undefined {
  return choice.hmacHostFrom === null ? undefined : new HostHmac(core, key, 100 + newSlot(core));
}

interface Native {
  one(data: Uint8Array): Uint8Array;
  into: HashInto;
  /** What remains to be done to digests that `into` gave, several at once; a table and `out` as for `many`. */
  finish?: Hasher["many"];
  /** Where this thread's hash of two messages at once starts. */
  start(sha: NativeSha256): HashStart;
}

/** The host for messages of at least `from` bytes, the core for the others. */
function split(core: Core, from: number, native: Native, wasm: Hasher): Hasher {
  const small = new Group(core, wasm.many);
  // Looked for by the first batch: many commands have single messages only.
  let pairs: Pairs | null | undefined;
  const large = native.finish && new Group(core, native.finish);
  return {
    one: (data) => (data.length >= from ? native.one(data) : wasm.one(data)),
    many(table, n, out) {
      if (pairs === undefined) {
        const sha = nativeSha256();
        pairs = sha ? new Pairs(core, sha, native.start(sha)) : null;
      }
      for (let i = 0; i < n; i++) {
        const ptr = core.u32[table / 4 + 2 * i]!;
        const length = core.u32[table / 4 + 2 * i + 1]!;
        const at = out + 32 * i;
        if (length < from) small.add(ptr, length, at);
        else if (pairs) pairs.add(ptr, length, at);
        else {
          native.into(ptr, length, at);
          large?.add(at, 32, at);
        }
      }
      small.flush();
      pairs?.flush();
      large?.flush();
    },
  };
}

/** Messages scattered over a batch, handed to a kernel in groups. */
class Group {
  readonly #core: Core;
  readonly #many: Hasher["many"];
  readonly #table: number;
  readonly #digests: number;
  readonly #places = new Uint32Array(GROUP);
  #held = 0;

  constructor(core: Core, many: Hasher["many"]) {
    this.#core = core;
    this.#many = many;
    this.#table = core.alloc(8 * GROUP);
    this.#digests = core.alloc(32 * GROUP);
  }

  add(ptr: number, length: number, out: number): void {
    const { u32 } = this.#core;
    u32[this.#table / 4 + 2 * this.#held] = ptr;
    u32[this.#table / 4 + 2 * this.#held + 1] = length;
    this.#places[this.#held++] = out;
    if (this.#held === GROUP) this.flush();
  }

  flush(): void {
    if (!this.#held) return;
    this.#many(this.#table, this.#held, this.#digests);
    for (let i = 0; i < this.#held; i++) {
      const at = this.#digests + 32 * i;
      this.#core.u8.copyWithin(this.#places[i]!, at, at + 32);
    }
    this.#held = 0;
  }
}

/** Messages of the core's memory that are hashed two at once. */
class Pairs {
  readonly #core: Core;
  readonly #sha: NativeSha256;
  readonly #start: HashStart;
  readonly #offsets = new Uint32Array(NativeSha256.MOST);
  readonly #lengths = new Uint32Array(NativeSha256.MOST);
  readonly #places = new Uint32Array(NativeSha256.MOST);
  #held = 0;

  constructor(core: Core, sha: NativeSha256, start: HashStart) {
    this.#core = core;
    this.#sha = sha;
    this.#start = start;
  }

  add(ptr: number, length: number, out: number): void {
    this.#offsets[this.#held] = ptr;
    this.#lengths[this.#held] = length;
    this.#places[this.#held++] = out;
    if (this.#held === NativeSha256.MOST) this.flush();
  }

  flush(): void {
    if (!this.#held) return;
    const { u8 } = this.#core;
    const { digests } = this.#sha;
    this.#sha.many(u8, this.#offsets, this.#lengths, this.#held, this.#start);
    for (let i = 0; i < this.#held; i++) {
      const out = this.#places[i]!;
      for (let k = 0; k < 32; k++) u8[out + k] = digests[32 * i + k]!;
    }
    this.#held = 0;
  }
}
