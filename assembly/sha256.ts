// SHA-256 and HMAC-SHA256: Borg's chunk ids and MACs. Here: one message, HMAC, and the scheduling of many messages over
// four or five lanes, where a lane takes the next message as soon as its own has ended. Chunks are independent, so
// lanes have no serial dependency to wait for; it is what the pipeline uses. The rounds: sha256-rounds.mjs.
import { compress1, compress4, compress4c, compress5 } from "./sha256-rounds.generated";

const IV = memory.data<u32>([
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
], 16);
const STATE = memory.data(32, 16);
const TAIL = memory.data(128, 16);

// Writes the eight words at s as a digest.
// @ts-ignore: decorator
@inline
function writeDigest(s: usize, out: usize): void {
  for (let i: usize = 0; i < 32; i += 4) store<u32>(out + i, bswap<u32>(load<u32>(s + i)));
}

// Fills `tail` with the last n % 64 bytes of a message, the padding and the length; returns its blocks (1 or 2).
function pad(tail: usize, p: usize, n: usize, before: u64): usize {
  const rest = n & 63;
  memory.copy(tail, p + (n - rest), rest);
  const size: usize = rest < 56 ? 64 : 128;
  memory.fill(tail + rest, 0, size - rest);
  store<u8>(tail + rest, 0x80);
  store<u64>(tail + size - 8, bswap<u64>((before + <u64>n) << 3));
  return size >> 6;
}

function finish1(s: usize, p: usize, n: usize, before: u64): void {
  if (n >= 64) compress1(s, p, n >> 6);
  compress1(s, TAIL, pad(TAIL, p, n, before));
}

/** SHA-256 of n bytes at p, 32 bytes written at out. */
export function sha256(p: usize, n: usize, out: usize): void {
  memory.copy(STATE, IV, 32);
  finish1(STATE, p, n, 0);
  writeDigest(STATE, out);
}

// --- many messages -----------------------------------------------------------------------------------------

// State words of four lanes (word i of lane k at 16 * i + 4 * k), the state of the fifth, and their tails.
const LANES = memory.data(128, 16);
const FIFTH = memory.data(32, 16);
const TAILS = memory.data(640, 16);

// What each lane is doing: next address, blocks left, item, phase.
const AT = memory.data(32, 16);
const LEFT = memory.data(32, 16);
const ITEM = memory.data(32, 16);
const PHASE = memory.data(32, 16);
const BODY: u32 = 0; // whole blocks straight from the message
const LAST: u32 = 1; // the padded tail
const OUTER: u32 = 2; // HMAC's second pass over the first digest
const IDLE: u32 = 3;

// The job of the running call: the table of (address, length) pairs, its next item, the state that a message
// starts from and the bytes that state has seen, and HMAC's outer state (0 for a plain hash).
let jobTable: usize = 0;
let jobItems: usize = 0;
let jobNext: usize = 0;
let jobOut: usize = 0;
let jobInit: usize = 0;
let jobBefore: u64 = 0;
let jobOuter: usize = 0;

function setLane(lane: usize, from: usize): void {
  if (lane == 4) {
    memory.copy(FIFTH, from, 32);
    return;
  }
  const s = LANES + (lane << 2);
  for (let i: usize = 0; i < 8; i++) store<u32>(s + (i << 4), load<u32>(from + (i << 2)));
}

function getLane(lane: usize, to: usize): void {
  if (lane == 4) {
    memory.copy(to, FIFTH, 32);
    return;
  }
  const s = LANES + (lane << 2);
  for (let i: usize = 0; i < 8; i++) store<u32>(to + (i << 2), load<u32>(s + (i << 4)));
}

function assign(lane: usize, at: usize, blocks: usize, phase: u32): void {
  const o = lane << 2;
  store<u32>(AT + o, <u32>at);
  store<u32>(LEFT + o, <u32>blocks);
  store<u32>(PHASE + o, phase);
}

function beginTail(lane: usize): void {
  const item = jobTable + (<usize>load<u32>(ITEM + (lane << 2)) << 3);
  const tail = TAILS + (lane << 7);
  assign(lane, tail, pad(tail, load<u32>(item), load<u32>(item, 4), jobBefore), LAST);
}

// Gives the lane the next message, or nothing.
function begin(lane: usize): void {
  if (jobNext == jobItems) {
    store<u32>(PHASE + (lane << 2), IDLE);
    return;
  }
  const item = jobTable + (jobNext << 3);
  store<u32>(ITEM + (lane << 2), <u32>jobNext);
  jobNext++;
  setLane(lane, jobInit);
  const n = load<u32>(item, 4);
  if (n >= 64) assign(lane, load<u32>(item), n >> 6, BODY);
  else beginTail(lane);
}

// Called when the lane's blocks are done: the next phase of its message, or the next message.
function advance(lane: usize): void {
  const phase = load<u32>(PHASE + (lane << 2));
  if (phase == BODY) {
    beginTail(lane);
    return;
  }
  getLane(lane, STATE);
  if (phase == LAST && jobOuter) {
    const tail = TAILS + (lane << 7);
    beginOuter(tail);
    setLane(lane, jobOuter);
    assign(lane, tail, 1, OUTER);
    return;
  }
  writeDigest(STATE, jobOut + (<usize>load<u32>(ITEM + (lane << 2)) << 5));
  begin(lane);
}

// The only block of HMAC's second pass: the digest in STATE, padding, and the length of 64 + 32 bytes.
function beginOuter(tail: usize): void {
  writeDigest(STATE, tail);
  memory.fill(tail + 32, 0, 32);
  store<u8>(tail, 0x80, 32);
  store<u16>(tail, 0x0003, 62);
}

// How many messages run at once: four, or five where the engine has registers for it.
let lanes: usize = 4;
let carrying = false;

/** Chooses the variant: 4 or 5 messages at once; 4 with words of the schedule carried from round to round. */
export function sha256Lanes(n: usize, carry: bool): void {
  lanes = n == 5 ? 5 : 4;
  carrying = carry;
}

// Where the lane reads; an idle lane follows another one's data, and what it computes is not looked at.
// @ts-ignore: decorator
@inline
function source(lane: usize, spare: usize): usize {
  return load<u32>(PHASE + (lane << 2)) == IDLE ? spare : <usize>load<u32>(AT + (lane << 2));
}

function hashMany(table: usize, n: usize, out: usize, init: usize, before: u64, outer: usize): void {
  jobTable = table;
  jobItems = n;
  jobNext = 0;
  jobOut = out;
  jobInit = init;
  jobBefore = before;
  jobOuter = outer;
  for (let k: usize = 0; k < lanes; k++) begin(k);
  while (true) {
    let active = 0;
    let some: usize = 0;
    let blocks: u32 = 0xffffffff;
    for (let k: usize = 0; k < lanes; k++) {
      if (load<u32>(PHASE + (k << 2)) == IDLE) continue;
      active++;
      some = k;
      const left = load<u32>(LEFT + (k << 2));
      if (left < blocks) blocks = left;
    }
    if (!active) return;
    if (active == 1) {
      // The last message alone: one lane by itself is slower than the scalar loop.
      getLane(some, STATE);
      compress1(STATE, load<u32>(AT + (some << 2)), load<u32>(LEFT + (some << 2)));
      setLane(some, STATE);
      advance(some);
      continue;
    }
    const spare = <usize>load<u32>(AT + (some << 2));
    const p0 = source(0, spare), p1 = source(1, spare), p2 = source(2, spare), p3 = source(3, spare);
    if (lanes == 4 || load<u32>(PHASE, 16) == IDLE) {
      if (carrying) compress4c(LANES, p0, p1, p2, p3, blocks);
      else compress4(LANES, p0, p1, p2, p3, blocks);
    } else compress5(LANES, FIFTH, p0, p1, p2, p3, load<u32>(AT, 16), blocks);
    for (let k: usize = 0; k < lanes; k++) {
      const o = k << 2;
      if (load<u32>(PHASE + o) == IDLE) continue;
      store<u32>(AT + o, load<u32>(AT + o) + (blocks << 6));
      const left = load<u32>(LEFT + o) - blocks;
      store<u32>(LEFT + o, left);
      if (!left) advance(k);
    }
  }
}

/** SHA-256 of n messages: `table` holds (address, length) pairs of u32; digest i is written at out + 32 * i. */
export function sha256Many(table: usize, n: usize, out: usize): void {
  hashMany(table, n, out, IV, 0, 0);
}

/** Prepares HMAC-SHA256 in the 64 bytes at `slot`: the states after the inner and the outer padded key. */
export function hmacSha256SetKey(slot: usize, key: usize, n: usize): void {
  const block = TAILS;
  memory.fill(block, 0, 64);
  if (n > 64) sha256(key, n, block);
  else memory.copy(block, key, n);
  for (let i: usize = 0; i < 64; i++) store<u8>(block + i, load<u8>(block + i) ^ 0x36);
  memory.copy(slot, IV, 32);
  compress1(slot, block, 1);
  for (let i: usize = 0; i < 64; i++) store<u8>(block + i, load<u8>(block + i) ^ 0x6a);
  memory.copy(slot + 32, IV, 32);
  compress1(slot + 32, block, 1);
  memory.fill(block, 0, 64);
}

/** HMAC-SHA256 of n messages with the key prepared at `slot`; table and out as for sha256Many. */
export function hmacSha256Many(slot: usize, table: usize, n: usize, out: usize): void {
  hashMany(table, n, out, slot, 64, slot + 32);
}

/** HMAC-SHA256's second pass alone: the messages are digests of the first. `out` may be where they lie. */
export function hmacSha256Outer(slot: usize, table: usize, n: usize, out: usize): void {
  hashMany(table, n, out, slot + 32, 64, 0);
}
