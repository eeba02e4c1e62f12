// One face for the hashes of the pipeline: chunk ids and MACs over many messages in the core's memory, each
// served by the core or by the host as the choice says. All give the same bytes.

import type { KeyObject } from "node:crypto";
import type { Choice } from "./choose.ts";
import { choose } from "./choose.ts";
import * as host from "./host.ts";
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
    return split(core, choice.sha256HostFrom, host.sha256, {
      many: (table, n, out) => core.sha256Many(table, n, out),
      one: (data) => core.sha256(data),
    });
  }
  const key = kind.key.slice();
  // Slots below 100 stay free for direct users of the core.
  const slot = 100 + newSlot(core);
  if (kind.type === "hmac-sha256") {
    core.hmacSetKey(slot, key);
    const prepared: KeyObject | Uint8Array = host.hmacKey(key);
    return split(core, choice.hmacHostFrom, (data) => host.hmacSha256(prepared, data), {
      many: (table, n, out) => core.hmacSha256Many(slot, table, n, out),
      one: (data) => core.hmacSha256(key, data),
    });
  }
  core.blake2bSetKey(slot, key);
  return {
    many: (table, n, out) => core.blake2bMany(slot, table, n, out),
    one: (data) => core.blake2bPrefix(key, data),
  };
}

function split(
  core: Core,
  from: number | null,
  native: (data: Uint8Array) => Uint8Array,
  wasm: Hasher,
): Hasher {
  if (from === null) return wasm;
  const table = core.alloc(8 * GROUP);
  const digests = core.alloc(32 * GROUP);
  const members = new Uint32Array(GROUP);
  const flush = (n: number, out: number) => {
    wasm.many(table, n, digests);
    for (let i = 0; i < n; i++) {
      const at = digests + 32 * i;
      core.u8.copyWithin(out + 32 * members[i]!, at, at + 32);
    }
  };
  return {
    one: (data) => (data.length >= from ? native(data) : wasm.one(data)),
    many(pairs, n, out) {
      let held = 0;
      for (let i = 0; i < n; i++) {
        const ptr = core.u32[pairs / 4 + 2 * i]!;
        const length = core.u32[pairs / 4 + 2 * i + 1]!;
        if (length >= from) {
          core.u8.set(native(core.u8.subarray(ptr, ptr + length)), out + 32 * i);
          continue;
        }
        core.u32[table / 4 + 2 * held] = ptr;
        core.u32[table / 4 + 2 * held + 1] = length;
        members[held++] = i;
        if (held === GROUP) {
          flush(held, out);
          held = 0;
        }
      }
      if (held) flush(held, out);
    },
  };
}
