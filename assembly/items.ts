// The chunk references in an archive's item stream, found without decoding the items: a walk over msgpack tokens that looks
// only at the keys "chunks" and "part" of each item (Borg's cache_sync/unpack.h). It may stop behind any token or chunk
// entry, with all it knows in a state that its caller keeps.

// Where the next token belongs.
const ITEM: u32 = 0;
const KEY: u32 = 1;
const SKIP: u32 = 2;
const LIST: u32 = 3;
const ENTRY: u32 = 4;

// What the walk ends with.
const MORE: u32 = 0;
const FULL: u32 = 1;
const BAD_TYPE: u32 = 2;
const BAD_KEY: u32 = 3;
const BAD_ENTRY: u32 = 4;
const BAD_ID: u32 = 5;
const BAD_SIZE: u32 = 6;

// The state's fields, by offset. Sums are 64-bit floats: exact up to 2^53.
const STATE: usize = 0;
const KEYS_LEFT: usize = 4;
const SKIP_LEFT: usize = 8;
const PASS_OVER: usize = 16;
const ENTRIES_LEFT: usize = 20;
const IS_PART: usize = 24;
const HAS_CHUNKS: usize = 28;
const ITEM_SIZE: usize = 32;
const ITEM_CSIZE: usize = 40;
/** Files, sizes and compressed sizes: of all files, and behind them of those that are parts. */
const TOTALS: usize = 48;
const PARTS: usize = 72;
const COUNT: usize = 96;
const ANSWER: usize = 100;

const MOST_KEY: u32 = 1000;

// A header or number that was read: its value above, the bytes it takes below; or one of these.
const SHORT: i64 = -1;
const WRONG: i64 = -2;

// @ts-ignore: decorator
@inline
function told(value: u64, bytes: i64): i64 {
  return (<i64>value << 8) | bytes;
}

/** A big-endian number of 1, 2 or 4 bytes behind a type byte. */
function unsigned(p: usize, end: usize, width: usize): i64 {
  if (p + 1 + width > end) return SHORT;
  if (width == 1) return told(load<u8>(p, 1), 2);
  if (width == 2) return told(bswap<u16>(load<u16>(p, 1)), 3);
  return told(bswap<u32>(load<u32>(p, 1)), 5);
}

/** The header of an array (fix 0x90, wide 0xdc) or map (0x80, 0xde). */
// @ts-ignore: decorator
@inline
function header(p: usize, end: usize, fix: u32, wide: u32): i64 {
  const b: u32 = load<u8>(p);
  if (b - fix < 16) return told(b & 15, 1);
  if (b - wide > 1) return WRONG;
  return unsigned(p, end, b == wide ? 2 : 4);
}

/** The header of raw bytes, text or binary. */
// @ts-ignore: decorator
@inline
function raw(p: usize, end: usize): i64 {
  const b: u32 = load<u8>(p);
  if (b - 0xa0 < 32) return told(b & 31, 1);
  if (b - 0xd9 < 3) return unsigned(p, end, 1 << (b - 0xd9));
  if (b - 0xc4 < 3) return unsigned(p, end, 1 << (b - 0xc4));
  return WRONG;
}

/** An unsigned number of at most 32 bits. */
function size(p: usize, end: usize): i64 {
  if (p >= end) return SHORT;
  const b: u32 = load<u8>(p);
  if (b < 0x80) return told(b, 1);
  if (b - 0xcc < 3) return unsigned(p, end, 1 << (b - 0xcc));
  if (b != 0xcf) return WRONG;
  if (p + 9 > end) return SHORT;
  const n = bswap<u64>(load<u64>(p, 1));
  return n > 0xffffffff ? WRONG : told(n, 9);
}

/** Bytes of nil, a boolean or a number, with its type byte; 0 for anything else. */
function scalar(b: u32): usize {
  if (b < 0x80 || b >= 0xe0 || b == 0xc0 || b == 0xc2 || b == 0xc3) return 1;
  if (b - 0xcc < 4) return 1 + (1 << (b - 0xcc));
  if (b - 0xd0 < 4) return 1 + (1 << (b - 0xd0));
  if (b == 0xca) return 5;
  return b == 0xcb ? 9 : 0;
}

function addTo(sums: usize, bytes: f64, cbytes: f64): void {
  store<f64>(sums, load<f64>(sums) + 1);
  store<f64>(sums, load<f64>(sums, 8) + bytes, 8);
  store<f64>(sums, load<f64>(sums, 16) + cbytes, 16);
}

/**
 * Walks over [p, end), a stretch of the stream, going on from what `s` says, and writes the references to `out`: ids, sizes
 * and compressed sizes, ten 32-bit words each. Stops where `room` references are there (FULL), at a token
 * that is not all there (MORE), or at what no item stream has. Returns the position behind what is done with; the state
 * says what it stopped for and how many references there are.
 */
export function scanItems(s: usize, p: usize, end: usize, out: usize, room: u32): usize {
  let state = load<u32>(s, STATE);
  let keysLeft = load<u32>(s, KEYS_LEFT);
  let skipLeft = load<u64>(s, SKIP_LEFT);
  let entriesLeft = load<u32>(s, ENTRIES_LEFT);
  let isPart = load<u32>(s, IS_PART);
  let hasChunks = load<u32>(s, HAS_CHUNKS);
  let itemSize = load<f64>(s, ITEM_SIZE);
  let itemCsize = load<f64>(s, ITEM_CSIZE);
  let count: u32 = 0;
  let answer = MORE;
  let t: i64 = 0;

  const over: usize = load<u32>(s, PASS_OVER);
  const there = min(over, end - p);
  p += there;
  store<u32>(s, <u32>(over - there), PASS_OVER);

  while (p < end) {
    let valueEnds = false;
    if (state == KEY) {
      t = raw(p, end);
      if (t < 0) break;
      const length = <u32>(t >> 8);
      if (length > MOST_KEY) {
        answer = BAD_KEY;
        break;
      }
      const key = p + <usize>(t & 0xff);
      const next = key + length;
      if (next > end) break;
      p = next;
      keysLeft--;
      if (length == 6 && load<u32>(key) == 0x6e756863 && load<u16>(key, 4) == 0x736b) {
        // "chunks"
        state = LIST;
        continue;
      }
      // "part"
      if (length == 4 && load<u32>(key) == 0x74726170) isPart = 1;
      state = SKIP;
      skipLeft = 1;
      continue;
    }
    if (state == SKIP) {
      const b: u32 = load<u8>(p);
      const bytes = scalar(b);
      skipLeft--;
      if (bytes > 0) {
        if (p + bytes > end) {
          skipLeft++;
          break;
        }
        p += bytes;
      } else {
        // Raw bytes, an array or a map.
        const isArray = (b & 0xf0) == 0x90 || b == 0xdc || b == 0xdd;
        const isMap = (b & 0xf0) == 0x80 || b == 0xde || b == 0xdf;
        t = isArray ? header(p, end, 0x90, 0xdc) : isMap ? header(p, end, 0x80, 0xde) : raw(p, end);
        if (t < 0) {
          skipLeft++;
          break;
        }
        p += <usize>(t & 0xff);
        const n = <u64>(t >> 8);
        if (isArray) skipLeft += n;
        else if (isMap) skipLeft += 2 * n;
        else {
          const here = min<usize>(<usize>n, end - p);
          p += here;
          store<u32>(s, <u32>(n - here), PASS_OVER);
        }
      }
      valueEnds = skipLeft == 0;
    } else if (state == ENTRY) {
      if (count == room) {
        answer = FULL;
        break;
      }
      if (load<u8>(p) != 0x93) {
        answer = BAD_ENTRY;
        break;
      }
      let q = p + 1;
      if (q >= end) break;
      t = raw(q, end);
      if (t == SHORT) break;
      if (t == WRONG || t >> 8 != 32) {
        answer = BAD_ID;
        break;
      }
      const id = q + <usize>(t & 0xff);
      q = id + 32;
      t = size(q, end);
      if (t < 0) {
        if (t == WRONG) answer = BAD_SIZE;
        break;
      }
      const bytes = <u32>(t >> 8);
      q += <usize>(t & 0xff);
      t = size(q, end);
      if (t < 0) {
        if (t == WRONG) answer = BAD_SIZE;
        break;
      }
      const cbytes = <u32>(t >> 8);
      p = q + <usize>(t & 0xff);
      const at = out + 40 * count++;
      v128.store(at, v128.load(id));
      v128.store(at, v128.load(id, 16), 16);
      store<u32>(at, bytes, 32);
      store<u32>(at, cbytes, 36);
      itemSize += <f64>bytes;
      itemCsize += <f64>cbytes;
      valueEnds = --entriesLeft == 0;
    } else if (state == LIST) {
      t = header(p, end, 0x90, 0xdc);
      if (t < 0) break;
      p += <usize>(t & 0xff);
      entriesLeft = <u32>(t >> 8);
      hasChunks = 1;
      state = ENTRY;
      valueEnds = entriesLeft == 0;
    } else {
      t = header(p, end, 0x80, 0xde);
      if (t < 0) break;
      p += <usize>(t & 0xff);
      keysLeft = <u32>(t >> 8);
      isPart = hasChunks = 0;
      itemSize = itemCsize = 0;
      valueEnds = keysLeft == 0;
      state = KEY;
    }
    if (!valueEnds) continue;
    state = KEY;
    if (keysLeft > 0) continue;
    state = ITEM;
    if (!hasChunks) continue;
    addTo(s + TOTALS, itemSize, itemCsize);
    if (isPart) addTo(s + PARTS, itemSize, itemCsize);
  }
  if (t == WRONG && answer == MORE) answer = BAD_TYPE;

  store<u32>(s, state, STATE);
  store<u32>(s, keysLeft, KEYS_LEFT);
  store<u64>(s, skipLeft, SKIP_LEFT);
  store<u32>(s, entriesLeft, ENTRIES_LEFT);
  store<u32>(s, isPart, IS_PART);
  store<u32>(s, hasChunks, HAS_CHUNKS);
  store<f64>(s, itemSize, ITEM_SIZE);
  store<f64>(s, itemCsize, ITEM_CSIZE);
  store<u32>(s, count, COUNT);
  store<u32>(s, answer, ANSWER);
  return p;
}
