// BLAKE2b-256 as Borg's blake2 key types use it: the key is a prefix of the message (not BLAKE2's own key
// parameter), digest length 32. The state after the key's whole blocks is kept, so a key costs nothing per
// chunk. Here: keys, one message, and the scheduling of many messages over three or five lanes, where a lane takes
// the next message as soon as its own has ended. The rounds are written by blake2b-rounds.mjs.
import { COUNT, FINAL, IV, LANES, STEP, compress1, compress3, compress3Constant, compress5, initOrder } from "./blake2b-rounds.generated";

/** Bytes between the words of a lane. */
const STRIDE: usize = 48;

// A prepared key: 64 bytes of state after `seen` bytes (u32 at 64) and the key's rest (length u32 at 68, bytes
// at 72). There are two of them in a slot: Borg's keys are exactly one block long, which is the last block of
// an empty message but can be hashed beforehand for all others.
const PREPARED: usize = 200;
const SEEN: usize = 64;
const REST: usize = 68;
const REST_BYTES: usize = 72;

const STATE = memory.data(64, 16);
const BLOCK = memory.data(128, 16);

// @ts-ignore: decorator
@inline
function prepared(slot: usize, n: usize): usize {
  return n ? slot + PREPARED : slot;
}

/** Prepares a key of n bytes (n = 0 for the plain hash) in the 400 bytes at `slot`. */
export function blake2bSetKey(slot: usize, key: usize, n: usize): void {
  memory.copy(slot, IV, 64);
  // Parameter block: digest length 32, no key, fan-out 1, depth 1.
  store<u64>(slot, load<u64>(slot) ^ 0x01010020);
  const seen = n ? (n - 1) & ~127 : 0;
  for (let at: usize = 0; at < seen; at += 128) compress1(slot, key + at, at + 128, 0);
  store<u32>(slot, <u32>seen, SEEN);
  store<u32>(slot, <u32>(n - seen), REST);
  memory.copy(slot + REST_BYTES, key + seen, n - seen);
  memory.copy(slot + PREPARED, slot, PREPARED);
  if (n - seen == 128) {
    compress1(slot + PREPARED, key + seen, n, 0);
    store<u32>(slot + PREPARED, <u32>n, SEEN);
    store<u32>(slot + PREPARED, 0, REST);
  }
}

/** BLAKE2b-256 of the key at `slot` followed by n bytes at p; 32 bytes at out. */
export function blake2b(slot: usize, p: usize, n: usize, out: usize): void {
  slot = prepared(slot, n);
  memory.copy(STATE, slot, 64);
  let t = <u64>load<u32>(slot, SEEN);
  const rest = <usize>load<u32>(slot, REST);
  if (rest) {
    const take = min<usize>(n, 128 - rest);
    memory.copy(BLOCK, slot + REST_BYTES, rest);
    memory.copy(BLOCK + rest, p, take);
    memory.fill(BLOCK + rest + take, 0, 128 - rest - take);
    p += take;
    n -= take;
    if (!n) {
      compress1(STATE, BLOCK, t + rest + take, u64.MAX_VALUE);
      memory.copy(out, STATE, 32);
      return;
    }
    t += 128;
    compress1(STATE, BLOCK, t, 0);
  }
  for (; n > 128; n -= 128, p += 128) {
    t += 128;
    compress1(STATE, p, t, 0);
  }
  memory.copy(BLOCK, p, n);
  memory.fill(BLOCK + n, 0, 128 - n);
  compress1(STATE, BLOCK, t + n, u64.MAX_VALUE);
  memory.copy(out, STATE, 32);
}

// --- many messages -----------------------------------------------------------------------------------------

const TAILS = memory.data(640, 16);

// What each lane is doing: item, next address of whole blocks, blocks of them left.
const ITEM = memory.data(32, 16);
const AT = memory.data(32, 16);
const LEFT = memory.data(32, 16);
const PHASE = memory.data(32, 16);
const IDLE: u32 = 0;
const HEAD: u32 = 1; // the key's rest and the first bytes of the message, in the lane's tail buffer
const BODY: u32 = 2; // whole blocks straight from the message, all but the last
const LAST: u32 = 3; // the last block, padded, in the lane's tail buffer

let jobSlot: usize = 0;
let jobTable: usize = 0;
let jobItems: usize = 0;
let jobNext: usize = 0;
let jobOut: usize = 0;

function assign(lane: usize, at: usize, blocks: usize, phase: u32): void {
  store<u32>(AT + (lane << 2), <u32>at);
  store<u32>(LEFT + (lane << 2), <u32>blocks);
  store<u32>(PHASE + (lane << 2), phase);
}

// The lane goes on at p with n bytes left, of which at least one block always stays for the end.
function resume(lane: usize, p: usize, n: usize): void {
  if (n > 128) {
    assign(lane, p, (n - 1) >> 7, BODY);
    return;
  }
  const tail = TAILS + (lane << 7);
  memory.copy(tail, p, n);
  memory.fill(tail + n, 0, 128 - n);
  assign(lane, tail, 1, LAST);
}

function begin(lane: usize): void {
  if (jobNext == jobItems) {
    store<u32>(PHASE + (lane << 2), IDLE);
    return;
  }
  const item = jobTable + (jobNext << 3);
  store<u32>(ITEM + (lane << 2), <u32>jobNext);
  jobNext++;
  const p = <usize>load<u32>(item);
  const n = <usize>load<u32>(item, 4);
  const slot = prepared(jobSlot, n);
  for (let i: usize = 0; i < 8; i++) {
    store<u64>(LANES + i * STRIDE + (lane << 3), load<u64>(slot + (i << 3)));
  }
  store<u64>(COUNT + (lane << 3), load<u32>(slot, SEEN));
  const rest = <usize>load<u32>(slot, REST);
  if (!rest) {
    resume(lane, p, n);
    return;
  }
  const tail = TAILS + (lane << 7);
  const take = min<usize>(n, 128 - rest);
  memory.copy(tail, slot + REST_BYTES, rest);
  memory.copy(tail + rest, p, take);
  memory.fill(tail + rest + take, 0, 128 - rest - take);
  assign(lane, tail, 1, take == n ? LAST : HEAD);
}

// Bytes of the lane's message that its last block holds (key rest included).
function lastBytes(lane: usize): usize {
  const item = jobTable + (<usize>load<u32>(ITEM + (lane << 2)) << 3);
  const total = <u64>load<u32>(jobSlot, SEEN) + load<u32>(jobSlot, REST) + load<u32>(item, 4);
  return <usize>(total - load<u64>(COUNT + (lane << 3)));
}

// Called when the lane's blocks are done.
function advance(lane: usize): void {
  const index = <usize>load<u32>(ITEM + (lane << 2));
  const phase = load<u32>(PHASE + (lane << 2));
  if (phase == LAST) {
    const out = jobOut + (index << 5);
    for (let i: usize = 0; i < 4; i++) {
      store<u64>(out + (i << 3), load<u64>(LANES + i * STRIDE + (lane << 3)));
    }
    begin(lane);
    return;
  }
  const item = jobTable + (index << 3);
  const done = <usize>(load<u64>(COUNT + (lane << 3)) - load<u32>(jobSlot, SEEN)) - <usize>load<u32>(jobSlot, REST);
  resume(lane, <usize>load<u32>(item) + done, <usize>load<u32>(item, 4) - done);
}

// The lane's blocks in scalars.
function alone(lane: usize): void {
  const s = LANES + (lane << 3);
  for (let i: usize = 0; i < 8; i++) store<u64>(STATE + (i << 3), load<u64>(s + i * STRIDE));
  const last = load<u32>(PHASE + (lane << 2)) == LAST;
  const final: u64 = last ? u64.MAX_VALUE : 0;
  const step: u64 = last ? <u64>lastBytes(lane) : 128;
  let t = load<u64>(COUNT + (lane << 3));
  let p = <usize>load<u32>(AT + (lane << 2));
  for (let left = load<u32>(LEFT + (lane << 2)); left; left--, p += 128) {
    t += step;
    compress1(STATE, p, t, final);
  }
  store<u64>(COUNT + (lane << 3), t);
  for (let i: usize = 0; i < 8; i++) store<u64>(s + i * STRIDE, load<u64>(STATE + (i << 3)));
  advance(lane);
}

// How many messages run at once: three, or five in the variant for JavaScriptCore.
let lanes: usize = 3;
let constants = false;

/** Chooses the variant: 3 or 5 messages at once; with 3, whether byte orders are constants of the code. */
export function blake2bLanes(n: usize, constant: bool): void {
  initOrder();
  lanes = n == 5 ? 5 : 3;
  constants = constant;
}

// Where the lane reads; an idle lane follows another one's data, and what it computes is not looked at.
// @ts-ignore: decorator
@inline
function source(lane: usize, spare: usize): usize {
  return load<u32>(PHASE + (lane << 2)) == IDLE ? spare : <usize>load<u32>(AT + (lane << 2));
}

// Takes the lanes `blocks` blocks further.
function turn(blocks: usize, spare: usize): void {
  let p0 = source(0, spare), p1 = source(1, spare), p2 = source(2, spare);
  if (lanes == 3) {
    for (; blocks; blocks--) {
      if (constants) compress3Constant(p0, p1, p2);
      else compress3(p0, p1, p2);
      p0 += 128; p1 += 128; p2 += 128;
    }
    return;
  }
  let p3 = source(3, spare), p4 = source(4, spare);
  for (; blocks; blocks--) {
    compress5(p0, p1, p2, p3, p4);
    p0 += 128; p1 += 128; p2 += 128; p3 += 128; p4 += 128;
  }
}

/** BLAKE2b-256 of the key at `slot` followed by each of n messages: `table` holds (address, length) pairs of u32, digest i goes to out + 32 * i. */
export function blake2bMany(slot: usize, table: usize, n: usize, out: usize): void {
  jobSlot = slot;
  jobTable = table;
  jobItems = n;
  jobNext = 0;
  jobOut = out;
  for (let k: usize = 0; k < lanes; k++) begin(k);
  while (true) {
    let active = 0;
    let some: usize = 0;
    let blocks: u32 = 0xffffffff;
    for (let k: usize = 0; k < lanes; k++) {
      const phase = load<u32>(PHASE + (k << 2));
      if (phase == IDLE) continue;
      active++;
      some = k;
      const left = load<u32>(LEFT + (k << 2));
      if (left < blocks) blocks = left;
      store<u64>(STEP + (k << 3), phase == LAST ? <u64>lastBytes(k) : 128);
      store<i64>(FINAL + (k << 3), phase == LAST ? -1 : 0);
    }
    if (!active) return;
    if (active <= 2) {
      // The last messages of a batch: one after the other in scalars is as fast as a vector with a lane to spare.
      alone(some);
      continue;
    }
    turn(blocks, load<u32>(AT + (some << 2)));
    for (let k: usize = 0; k < lanes; k++) {
      const o = k << 2;
      if (load<u32>(PHASE + o) == IDLE) continue;
      store<u32>(AT + o, load<u32>(AT + o) + (blocks << 7));
      const left = load<u32>(LEFT + o) - blocks;
      store<u32>(LEFT + o, left);
      if (!left) advance(k);
    }
  }
}
