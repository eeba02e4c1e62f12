// CRC-32 (IEEE 802.3, reflected polynomial 0xEDB88320) as in every segment entry of a repository.
// Slice by 16: sixteen 1 KiB tables, one look-up per input byte but only one dependency per 16 bytes.

const T = memory.data(16 * 1024, 16);
let ready = false;

function init(): void {
  for (let i: u32 = 0; i < 256; i++) {
    let c = i;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >> 1) ^ 0xedb88320 : c >> 1;
    store<u32>(T + (i << 2), c);
  }
  for (let i: u32 = 0; i < 256; i++) {
    let c = load<u32>(T + (i << 2));
    for (let k: usize = 1; k < 16; k++) {
      c = load<u32>(T + ((c & 0xff) << 2)) ^ (c >> 8);
      store<u32>(T + (k << 10) + (i << 2), c);
    }
  }
  ready = true;
}

// One table look-up: table k, byte `b` of x (shifted so that the byte lands on an index of four-byte entries).
// @ts-ignore: decorator
@inline
function at(k: usize, x: u32): u32 {
  return load<u32>(T + (k << 10) + (<usize>x << 2));
}

/** CRC-32 of n bytes at p, continuing from `seed` (0 to begin). */
export function crc32(p: usize, n: usize, seed: u32): u32 {
  if (!ready) init();
  let c = ~seed;
  const end = p + n;
  while (p + 16 <= end) {
    const x = load<u64>(p) ^ <u64>c;
    const y = load<u64>(p, 8);
    c =
      at(15, <u32>x & 0xff) ^ at(14, <u32>(x >> 8) & 0xff) ^
      at(13, <u32>(x >> 16) & 0xff) ^ at(12, <u32>(x >> 24) & 0xff) ^
      at(11, <u32>(x >> 32) & 0xff) ^ at(10, <u32>(x >> 40) & 0xff) ^
      at(9, <u32>(x >> 48) & 0xff) ^ at(8, <u32>(x >> 56)) ^
      at(7, <u32>y & 0xff) ^ at(6, <u32>(y >> 8) & 0xff) ^
      at(5, <u32>(y >> 16) & 0xff) ^ at(4, <u32>(y >> 24) & 0xff) ^
      at(3, <u32>(y >> 32) & 0xff) ^ at(2, <u32>(y >> 40) & 0xff) ^
      at(1, <u32>(y >> 48) & 0xff) ^ at(0, <u32>(y >> 56));
    p += 16;
  }
  for (; p < end; p++) c = at(0, (c ^ load<u8>(p)) & 0xff) ^ (c >> 8);
  return ~c;
}
