// LZ4 block format. The compressor makes the same decisions as liblz4 1.9.4's fast level on a 64-bit machine,
// so its output is byte-identical to what Borg writes: inputs below 64 KiB + 11 bytes use a table of 8192
// 16-bit positions hashed over 4 bytes, longer ones 4096 32-bit positions hashed over 5 bytes; acceleration 1.
// The decoder trusts nothing: every length is checked against both ends before a byte moves.

const TABLE = memory.data(16384, 16);

const MIN_MATCH: usize = 4;
const MF_LIMIT: usize = 12; // no match may start in the last 12 bytes
const LAST_LITERALS: usize = 5;
const MAX_DISTANCE: usize = 65535;
const SMALL_LIMIT: usize = 65536 + 11;

// @ts-ignore: decorator
@inline
function slot16(p: usize): usize {
  return TABLE + ((<usize>((load<u32>(p) * <u32>2654435761) >> 19)) << 1);
}

// @ts-ignore: decorator
@inline
function slot32(p: usize): usize {
  return TABLE + ((<usize>(((load<u64>(p) << 24) * 889523592379) >> 52)) << 2);
}

// T is the type of a table's entry: u16 for small inputs, u32 for large ones.
// @ts-ignore: decorator
@inline
function slot<T>(p: usize): usize {
  return sizeof<T>() == 2 ? slot16(p) : slot32(p);
}

// Length of the common prefix of a and b (b before a), a limited to `limit`.
// @ts-ignore: decorator
@inline
function common(a: usize, b: usize, limit: usize): usize {
  const start = a;
  while (a + 8 <= limit) {
    const x = load<u64>(a) ^ load<u64>(b);
    if (x) return a - start + <usize>(ctz<u64>(x) >> 3);
    a += 8;
    b += 8;
  }
  while (a < limit && load<u8>(a) == load<u8>(b)) {
    a++;
    b++;
  }
  return a - start;
}

// @ts-ignore: decorator
@inline
function writeLength(op: usize, n: usize): usize {
  while (n >= 255) {
    store<u8>(op++, 255);
    n -= 255;
  }
  store<u8>(op++, <u8>n);
  return op;
}

function compress<T>(src: usize, n: usize, dst: usize, oend: usize): usize {
  memory.fill(TABLE, 0, 16384);
  const iend = src + n;
  let anchor = src;
  let op = dst;
  if (n > MF_LIMIT) {
    const mfLimit = iend - MF_LIMIT + 1;
    const matchLimit = iend - LAST_LITERALS;
    let ip = src + 1; // position 0 is in the table already: an empty slot means 0
    let h = slot<T>(ip);
    let token: usize = 0;
    let high: usize = 0; // the token's upper half
    let match: usize = 0;
    let chained = false; // the match follows the last one directly: no literals
    while (true) {
      if (!chained) {
        // The step grows by one every 64 misses, so that incompressible data is passed over quickly.
        let next = ip;
        let step: usize = 1;
        let tries: usize = 64;
        let found = false;
        while (true) {
          ip = next;
          next += step;
          step = tries++ >> 6;
          if (next > mfLimit) break;
          const here = h;
          const position = ip - src;
          const candidate = <usize>load<T>(here);
          match = src + candidate;
          h = slot<T>(next);
          store<T>(here, <T>position);
          if (sizeof<T>() == 4 && candidate + MAX_DISTANCE < position) continue;
          if (load<u32>(match) != load<u32>(ip)) continue;
          found = true;
          break;
        }
        if (!found) break;
        let room = min<usize>(ip - anchor, match - src);
        // Eight bytes at a time without asking first: whether one is the same nobody can foresee.
        let same: usize;
        do {
          same = min<usize>(<usize>(clz<u64>(load<u64>(ip - 8) ^ load<u64>(match - 8)) >> 3), room);
          ip -= same;
          match -= same;
          room -= same;
        } while (same == 8);
        const literals = ip - anchor;
        // Token, length bytes, literals, offset, and the 8 bytes that the copy below may overrun.
        if (op + literals + literals / 255 + 12 > oend) return 0;
        token = op++;
        if (literals >= 15) {
          high = 0xf0;
          op = writeLength(op, literals - 15);
        } else high = literals << 4;
        const stop = op + literals;
        if (stop + 16 > oend) memory.copy(op, anchor, literals);
        else {
          v128.store(op, v128.load(anchor));
          if (literals > 16) {
            let from = anchor + 16;
            op += 16;
            do {
              v128.store(op, v128.load(from));
              op += 16;
              from += 16;
            } while (op < stop);
          }
        }
        op = stop;
      } else {
        if (op + 12 > oend) return 0;
        token = op++;
        high = 0;
      }
      store<u16>(op, <u16>(ip - match));
      op += 2;
      let extra = common(ip + MIN_MATCH, match + MIN_MATCH, matchLimit);
      ip += extra + MIN_MATCH;
      if (extra >= 15) {
        if (op + extra / 255 + 8 > oend) return 0;
        store<u8>(token, <u8>(high + 15));
        op = writeLength(op, extra - 15);
      } else store<u8>(token, <u8>(high + extra));
      anchor = ip;
      if (ip >= mfLimit) break;
      store<T>(slot<T>(ip - 2), <T>(ip - 2 - src));
      const here = slot<T>(ip);
      const position = ip - src;
      const candidate = <usize>load<T>(here);
      match = src + candidate;
      store<T>(here, <T>position);
      chained = (sizeof<T>() == 2 || candidate + MAX_DISTANCE >= position) && load<u32>(match) == load<u32>(ip);
      if (!chained) h = slot<T>(++ip);
    }
  }
  const rest = iend - anchor;
  if (op + 1 + (rest + 240) / 255 + rest > oend) return 0;
  if (rest >= 15) {
    store<u8>(op++, 0xf0);
    op = writeLength(op, rest - 15);
  } else store<u8>(op++, <u8>(rest << 4));
  memory.copy(op, anchor, rest);
  return op + rest - dst;
}

/**
 * Compresses n bytes into one block of at most cap bytes; 0 when it does not fit. With cap ≥ n + n/255 + 16
 * it always fits. May read up to 8 bytes before the source and past its end, never uses them.
 */
export function lz4Compress(src: usize, n: usize, dst: usize, cap: usize): usize {
  return n < SMALL_LIMIT ? compress<u16>(src, n, dst, dst + cap) : compress<u32>(src, n, dst, dst + cap);
}

// For an offset below 16: which of the last `offset` bytes each byte of a vector repeats, and by how many bytes the
// output may advance so that the pattern stays in phase.
const PATTERNS = memory.data(256, 16);
const STEPS = memory.data(16, 16);

function initPatterns(): void {
  for (let offset: usize = 1; offset < 16; offset++) {
    for (let i: usize = 0; i < 16; i++) store<u8>(PATTERNS + (offset << 4) + i, <u8>(i % offset));
    store<u8>(STEPS + offset, <u8>(16 - (16 % offset)));
  }
}

/** Decodes one block into at most cap bytes; the decoded length, or −1 when the block is damaged or too long. */
export function lz4Decompress(src: usize, n: usize, dst: usize, cap: usize): i32 {
  if (!load<u8>(STEPS + 1)) initPatterns();
  let ip = src;
  const iend = src + n;
  let op = dst;
  const oend = dst + cap;
  // Before these a short sequence (15 + 18 bytes at most) can be copied by whole vectors without a look at the ends.
  const iwide = n > 32 ? iend - 32 : src;
  const owide = cap > 64 ? oend - 64 : dst;
  while (ip < iend) {
    const token = <usize>load<u8>(ip++);
    let length = token >> 4;
    let offset: usize;
    if (length < 15 && ip < iwide && op < owide) {
      v128.store(op, v128.load(ip));
      op += length;
      offset = <usize>load<u16>(ip + length);
      ip += length + 2;
      length = token & 15;
      if (length < 15 && offset >= 8 && offset <= op - dst) {
        const from = op - offset;
        store<u64>(op, load<u64>(from));
        store<u64>(op, load<u64>(from, 8), 8);
        store<u16>(op, load<u16>(from, 16), 16);
        op += length + MIN_MATCH;
        continue;
      }
    } else {
      if (length == 15) {
        let b: usize;
        do {
          if (ip >= iend) return -1;
          b = load<u8>(ip++);
          length += b;
          if (length > cap) return -1; // here already, so that no hostile length can wrap
        } while (b == 255);
      }
      if (length > iend - ip || length > oend - op) return -1;
      const stop = op + length;
      if (length < 1024 && iend - ip >= length + 16 && oend - stop >= 16) {
        // A call to memory.copy costs more than these few vectors.
        let from = ip;
        do {
          v128.store(op, v128.load(from));
          op += 16;
          from += 16;
        } while (op < stop);
      } else memory.copy(op, ip, length);
      ip += length;
      op = stop;
      if (ip == iend) return <i32>(op - dst); // the last sequence has literals only
      if (iend - ip < 2) return -1;
      offset = <usize>load<u16>(ip);
      ip += 2;
      length = token & 15;
    }
    if (offset == 0 || offset > op - dst) return -1;
    if (length == 15) {
      let b: usize;
      do {
        if (ip >= iend) return -1;
        b = load<u8>(ip++);
        length += b;
        if (length > cap) return -1;
      } while (b == 255);
    }
    length += MIN_MATCH;
    if (length > oend - op) return -1;
    let from = op - offset;
    const stop = op + length;
    if (oend - stop < 16) {
      do store<u8>(op++, load<u8>(from++));
      while (op < stop);
    } else if (offset >= 16) {
      do {
        v128.store(op, v128.load(from));
        op += 16;
        from += 16;
      } while (op < stop);
    } else {
      const pattern = i8x16.swizzle(v128.load(from), v128.load(PATTERNS + (offset << 4)));
      const step = <usize>load<u8>(STEPS + offset);
      do {
        v128.store(op, pattern);
        op += step;
      } while (op < stop);
    }
    op = stop;
  }
  return -1; // a block ends with literals, so an empty one is damaged too
}
