// Buzhash (cyclic polynomial) over a window, with the table that Borg 1.x fixes: it decides where chunks end,
// so it is part of the format. The table is xored with the repository's seed.
// h(p) = xor over i of rotl(T[byte(p + i)], window - 1 - i).

const BASE = memory.data<u32>([
  0xe7f831ec, 0xf4026465, 0xafb50cae, 0x6d553c7a, 0xd639efe3, 0x19a7b895, 0x9aba5b21, 0x5417d6d4,
  0x35fd2b84, 0xd1f6a159, 0x3f8e323f, 0xb419551c, 0xf444cebf, 0x21dc3b80, 0xde8d1e36, 0x84a32436,
  0xbeb35a9d, 0xa36f24aa, 0xa4e60186, 0x98d18ffe, 0x3f042f9e, 0xdb228bcd, 0x096474b7, 0x5c20c2f7,
  0xf9eec872, 0xe8625275, 0xb9d38f80, 0xd48eb716, 0x22a950b4, 0x3cbaaeaa, 0xc37cddd3, 0x8fea6f6a,
  0x1d55d526, 0x7fd6d3b3, 0xdaa072ee, 0x4345ac40, 0xa077c642, 0x8f2bd45b, 0x28509110, 0x55557613,
  0xffc17311, 0xd961ffef, 0xe532c287, 0xaab95937, 0x46d38365, 0xb065c703, 0xf2d91d0f, 0x92cd4bb0,
  0x4007c712, 0xf35509dd, 0x505b2f69, 0x557ead81, 0x310f4563, 0xbddc5be8, 0x9760f38c, 0x701e0205,
  0x00157244, 0x14912826, 0xdc4ca32b, 0x67b196de, 0x5db292e8, 0x8c1b406b, 0x01f34075, 0xfa2520f7,
  0x73bc37ab, 0x1e18bc30, 0xfe2c6cb3, 0x20c522d0, 0x5639e3db, 0x942bda35, 0x899af9d1, 0xced44035,
  0x98cc025b, 0x255f5771, 0x70fefa24, 0xe928fa4d, 0x2c030405, 0xb9325590, 0x20cb63bd, 0xa166305d,
  0x80e52c0a, 0xa8fafe2f, 0x1ad13f7d, 0xcfaf3685, 0x6c83a199, 0x7d26718a, 0xde5dfcd9, 0x79cf7355,
  0x8979d7fb, 0xebf8c55e, 0xebe408e4, 0xcd2affba, 0xe483be6e, 0xe239d6de, 0x5dc1e9e0, 0x0473931f,
  0x851b097c, 0xac5db249, 0x09c0f9f2, 0xd8d2f134, 0xe6f38e41, 0xb1c71bf1, 0x52b6e4db, 0x07224424,
  0x6cf73e85, 0x4f25d89c, 0x782a7d74, 0x10a68dcd, 0x3a868189, 0xd570d2dc, 0x69630745, 0x9542ed86,
  0x331cd6b2, 0xa84b5b28, 0x07879c9d, 0x38372f64, 0x7185db11, 0x25ba7c83, 0x01061523, 0xe6792f9f,
  0xe5df07d1, 0x4321b47f, 0x7d2469d8, 0x1a3a4f90, 0x48be29a3, 0x669071af, 0x8ec8dd31, 0x0810bfbf,
  0x813a06b4, 0x68538345, 0x65865ddc, 0x43a71b8e, 0x78619a56, 0x5a34451d, 0x5bdaa3ed, 0x71edc7e9,
  0x17ac9a20, 0x78d10bfa, 0x6c1e7f35, 0xd51839d9, 0x240cbc51, 0x33513cc1, 0xd2b4f795, 0xccaa8186,
  0x0babe682, 0xa33cf164, 0x18c643ea, 0xc1ca105f, 0x9959147a, 0x6d3d94de, 0x0b654fbe, 0xed902ca0,
  0x7d835cb5, 0x99ba1509, 0x6445c922, 0x495e76c2, 0xf07194bc, 0xa1631d7e, 0x677076a5, 0x89fffe35,
  0x1a49bcf3, 0x8e6c948a, 0x0144c917, 0x8d93aea1, 0x16f87ddf, 0xc8f25d49, 0x1fb11297, 0x27e750cd,
  0x2f422da1, 0xdee89a77, 0x1534c643, 0x457b7b8b, 0xaf172f7a, 0x6b9b09d6, 0x33573f7f, 0xf14e15c4,
  0x526467d5, 0xaf488241, 0x87c3ee0d, 0x33be490c, 0x95aa6e52, 0x43ec242e, 0xd77de99b, 0xd018334f,
  0x5b78d407, 0x498eb66b, 0xb1279fa8, 0xb38b0ea6, 0x90718376, 0xe325dee2, 0x8e2f2cba, 0xcaa5bdec,
  0x9d652c56, 0xad68f5cb, 0xa77591af, 0x88e37ee8, 0xf8faa221, 0xfcbbbe47, 0x4f407786, 0xaf393889,
  0xf444a1d9, 0x15ae1a2f, 0x40aa7097, 0x6f9486ac, 0x29d232a3, 0xe47609e9, 0xe8b631ff, 0xba8565f4,
  0x11288749, 0x46c9a838, 0xeb1b7cd8, 0xf516bbb1, 0xfb74fda0, 0x010996e6, 0x4c994653, 0x1d889512,
  0x53dcd9a3, 0xdd074697, 0x1e78e17c, 0x637c98bf, 0x930bb219, 0xcf7f75b0, 0xcb9355fb, 0x9e623009,
  0xe466d82c, 0x28f968d3, 0xfeb385d9, 0x238e026c, 0xb8ed0560, 0x0c6a027a, 0x3d6fec4b, 0xbb4b2ec2,
  0xe715031c, 0xeded011d, 0xcdc4d3b9, 0xc456fc96, 0xdd0eea20, 0xb3df8ec9, 0x12351993, 0xd9cbb01c,
  0x603147a2, 0xcf37d17d, 0xf7fcd9dc, 0xd8556fa3, 0x104c8131, 0x13152774, 0xb4715811, 0x6a72c2c9,
  0xc5ae37bb, 0xa76ce12a, 0x8150d8f3, 0x2ec29218, 0xa35f0984, 0x48c0647e, 0x0b5ff98c, 0x71893f7b,
], 16);

/** Fills the 2 KiB at `state`: the seeded table, and the same rotated by the window for bytes that leave it. */
export function buzhashInit(state: usize, seed: u32, window: u32): void {
  for (let i: usize = 0; i < 1024; i += 4) {
    const x = load<u32>(BASE + i) ^ seed;
    store<u32>(state + i, x);
    store<u32>(state + i, rotl<u32>(x, window & 31), 1024);
  }
}

// @ts-ignore: decorator
@inline
function entering(state: usize, p: usize): u32 {
  return load<u32>(state + (<usize>load<u8>(p) << 2));
}

// @ts-ignore: decorator
@inline
function leaving(state: usize, p: usize): u32 {
  return load<u32>(state + (<usize>load<u8>(p) << 2), 1024);
}

/** The hash of the `window` bytes at p. */
export function buzhashHash(state: usize, p: usize, window: usize): u32 {
  let h: u32 = 0;
  const end = p + window;
  for (; p < end; p++) h = rotl<u32>(h, 1) ^ entering(state, p);
  return h;
}

/**
 * One stream: the first of the n positions from p whose window's hash is zero under the mask, as a distance from
 * p; n when there is none. Reads n - 1 + window bytes. Any window; eight positions a turn.
 */
export function buzhashScan(state: usize, p: usize, n: usize, window: usize, mask: u32): usize {
  if (!n) return 0;
  const start = p;
  const end = p + n;
  let h = buzhashHash(state, p, window);
  let q = p + window;
  while (p + 8 < end) {
    if (!(h & mask)) return p - start;
    h = rotl<u32>(h, 1) ^ leaving(state, p) ^ entering(state, q);
    if (!(h & mask)) return p + 1 - start;
    h = rotl<u32>(h, 1) ^ leaving(state, p + 1) ^ entering(state, q + 1);
    if (!(h & mask)) return p + 2 - start;
    h = rotl<u32>(h, 1) ^ leaving(state, p + 2) ^ entering(state, q + 2);
    if (!(h & mask)) return p + 3 - start;
    h = rotl<u32>(h, 1) ^ leaving(state, p + 3) ^ entering(state, q + 3);
    if (!(h & mask)) return p + 4 - start;
    h = rotl<u32>(h, 1) ^ leaving(state, p + 4) ^ entering(state, q + 4);
    if (!(h & mask)) return p + 5 - start;
    h = rotl<u32>(h, 1) ^ leaving(state, p + 5) ^ entering(state, q + 5);
    if (!(h & mask)) return p + 6 - start;
    h = rotl<u32>(h, 1) ^ leaving(state, p + 6) ^ entering(state, q + 6);
    if (!(h & mask)) return p + 7 - start;
    h = rotl<u32>(h, 1) ^ leaving(state, p + 7) ^ entering(state, q + 7);
    p += 8;
    q += 8;
  }
  while (true) {
    if (!(h & mask)) return p - start;
    if (p + 1 == end) return n;
    h = rotl<u32>(h, 1) ^ leaving(state, p++) ^ entering(state, q++);
  }
}

// --- four streams ------------------------------------------------------------------------------------------
// A window's hash depends on its own bytes only, so a stretch is cut into four and one vector lane scans each.
// Hashes are kept rotated back by the number i of the byte they end with, h'(i) = rotr(h, i): then a byte leaves
// with the very value with which it came, and that lies in a ring. A step is two xors and no rotation of the hash:
//   h'(i) = h'(i - 1) ^ r(i) ^ r(i - 4095), r(i) = rotr(T[byte i], i)
// and the test for zero bits uses the mask rotated by i. Bytes are taken 32 a turn, so that all rotations are
// constants; a turn is tested as a whole and gone through again only when one of its 128 hashes is a cut.

const TURN: usize = 32;
/** Number of the byte that ends a lane's first window. */
const FIRST: usize = 4094;
// 4096 slots of 16 bytes (the four lanes' r(i) at slot i % 4096), and slot 0 once more behind the last, because
// step i reads slot i + 1: byte i - 4095.
const RING = memory.data(65536 + 16, 16);
const RING_END: usize = RING + 65536;
const MASKS = memory.data(512, 16);

// @ts-ignore: decorator
@inline
function at(table: usize, p: usize, i: usize): usize {
  return table + (<usize>load<u8>(p + i) << 2);
}

// r(i) of the four lanes, i % 32 = k.
// @ts-ignore: decorator
@inline
function gather(table: usize, p0: usize, p1: usize, p2: usize, p3: usize, k: i32): v128 {
  let c = v128.load32_zero(at(table, p0, k));
  c = v128.load32_lane(at(table, p1, k), c, 1);
  c = v128.load32_lane(at(table, p2, k), c, 2);
  c = v128.load32_lane(at(table, p3, k), c, 3);
  return c;
}

// @ts-ignore: decorator
@inline
function vrotr(x: v128, k: i32): v128 {
  return v128.or(i32x4.shr_u(x, k), i32x4.shl(x, 32 - k));
}

// Goes through a turn again for one lane: bytes i to i + 31 from p, `back` being h'(i - 1). Appends the cuts'
// positions (`base` + first byte of the window) to the list of n entries; returns its new length.
function collect(
  table: usize, p: usize, i: usize, back: u32, lane: usize, mask: u32, list: usize, n: usize, room: usize, base: usize,
): usize {
  let h = rotl<u32>(back, <u32>(i - 1) & 31);
  for (const end = i + TURN; i < end; i++) {
    h = rotl<u32>(h, 1) ^ load<u32>(at(table, p, i));
    if (i > FIRST) h ^= rotl<u32>(load<u32>(at(table, p, i - FIRST - 1)), 31);
    if (i >= FIRST && i < lane + FIRST && !(h & mask) && n < room) {
      store<u32>(list + (n++ << 2), <u32>(base + i - FIRST));
    }
  }
  return n;
}

/**
 * All cuts among 4 * lane positions from p, for windows of 4095 bytes: their distances from p in rising order are
 * written as u32 at `list` (room for 4 * room entries) and their number returned. A lane that fills its `room`
 * ends the list; how many positions the list speaks for, 4 * lane or fewer, is stored as u32 at list - 4. `lane` is 32 * n + 2. Reads 4 * lane + 4094 bytes.
 */
export function buzhashScan4(table: usize, p: usize, lane: usize, mask: u32, list: usize, room: usize): usize {
  memory.fill(RING, 0, 65536 + 16);
  for (let i = 0; i < 32; i++) v128.store(MASKS + (<usize>i << 4), i32x4.splat(rotr<u32>(mask, i)));
  const all = i32x4.splat(-1);
  let h = i32x4.splat(0);
  let c: v128;
  let p0 = p, p1 = p + lane, p2 = p1 + lane, p3 = p2 + lane;
  let n0: usize = 0, n1: usize = 0, n2: usize = 0, n3: usize = 0;
  const list1 = list + (room << 2), list2 = list1 + (room << 2), list3 = list2 + (room << 2);
  let ring = RING;
  const end = p + lane + FIRST;
  while (p0 < end) {
    const before = h;
    let least = all;
    c = gather(table, p0, p1, p2, p3, 0);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 16)));
    v128.store(ring, c, 0);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 0)));
    c = gather(table, p0, p1, p2, p3, 1);
    c = vrotr(c, 1);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 32)));
    v128.store(ring, c, 16);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 16)));
    c = gather(table, p0, p1, p2, p3, 2);
    c = vrotr(c, 2);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 48)));
    v128.store(ring, c, 32);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 32)));
    c = gather(table, p0, p1, p2, p3, 3);
    c = vrotr(c, 3);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 64)));
    v128.store(ring, c, 48);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 48)));
    c = gather(table, p0, p1, p2, p3, 4);
    c = vrotr(c, 4);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 80)));
    v128.store(ring, c, 64);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 64)));
    c = gather(table, p0, p1, p2, p3, 5);
    c = vrotr(c, 5);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 96)));
    v128.store(ring, c, 80);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 80)));
    c = gather(table, p0, p1, p2, p3, 6);
    c = vrotr(c, 6);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 112)));
    v128.store(ring, c, 96);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 96)));
    c = gather(table, p0, p1, p2, p3, 7);
    c = vrotr(c, 7);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 128)));
    v128.store(ring, c, 112);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 112)));
    c = gather(table, p0, p1, p2, p3, 8);
    c = i8x16.shuffle(c, c, 1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 144)));
    v128.store(ring, c, 128);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 128)));
    c = gather(table, p0, p1, p2, p3, 9);
    c = vrotr(c, 9);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 160)));
    v128.store(ring, c, 144);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 144)));
    c = gather(table, p0, p1, p2, p3, 10);
    c = vrotr(c, 10);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 176)));
    v128.store(ring, c, 160);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 160)));
    c = gather(table, p0, p1, p2, p3, 11);
    c = vrotr(c, 11);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 192)));
    v128.store(ring, c, 176);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 176)));
    c = gather(table, p0, p1, p2, p3, 12);
    c = vrotr(c, 12);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 208)));
    v128.store(ring, c, 192);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 192)));
    c = gather(table, p0, p1, p2, p3, 13);
    c = vrotr(c, 13);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 224)));
    v128.store(ring, c, 208);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 208)));
    c = gather(table, p0, p1, p2, p3, 14);
    c = vrotr(c, 14);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 240)));
    v128.store(ring, c, 224);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 224)));
    c = gather(table, p0, p1, p2, p3, 15);
    c = vrotr(c, 15);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 256)));
    v128.store(ring, c, 240);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 240)));
    c = gather(table, p0, p1, p2, p3, 16);
    c = i8x16.shuffle(c, c, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 272)));
    v128.store(ring, c, 256);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 256)));
    c = gather(table, p0, p1, p2, p3, 17);
    c = vrotr(c, 17);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 288)));
    v128.store(ring, c, 272);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 272)));
    c = gather(table, p0, p1, p2, p3, 18);
    c = vrotr(c, 18);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 304)));
    v128.store(ring, c, 288);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 288)));
    c = gather(table, p0, p1, p2, p3, 19);
    c = vrotr(c, 19);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 320)));
    v128.store(ring, c, 304);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 304)));
    c = gather(table, p0, p1, p2, p3, 20);
    c = vrotr(c, 20);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 336)));
    v128.store(ring, c, 320);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 320)));
    c = gather(table, p0, p1, p2, p3, 21);
    c = vrotr(c, 21);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 352)));
    v128.store(ring, c, 336);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 336)));
    c = gather(table, p0, p1, p2, p3, 22);
    c = vrotr(c, 22);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 368)));
    v128.store(ring, c, 352);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 352)));
    c = gather(table, p0, p1, p2, p3, 23);
    c = vrotr(c, 23);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 384)));
    v128.store(ring, c, 368);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 368)));
    c = gather(table, p0, p1, p2, p3, 24);
    c = i8x16.shuffle(c, c, 3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 400)));
    v128.store(ring, c, 384);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 384)));
    c = gather(table, p0, p1, p2, p3, 25);
    c = vrotr(c, 25);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 416)));
    v128.store(ring, c, 400);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 400)));
    c = gather(table, p0, p1, p2, p3, 26);
    c = vrotr(c, 26);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 432)));
    v128.store(ring, c, 416);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 416)));
    c = gather(table, p0, p1, p2, p3, 27);
    c = vrotr(c, 27);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 448)));
    v128.store(ring, c, 432);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 432)));
    c = gather(table, p0, p1, p2, p3, 28);
    c = vrotr(c, 28);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 464)));
    v128.store(ring, c, 448);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 448)));
    c = gather(table, p0, p1, p2, p3, 29);
    c = vrotr(c, 29);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 480)));
    v128.store(ring, c, 464);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 464)));
    c = gather(table, p0, p1, p2, p3, 30);
    c = vrotr(c, 30);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 496)));
    v128.store(ring, c, 480);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 480)));
    c = gather(table, p0, p1, p2, p3, 31);
    c = vrotr(c, 31);
    h = v128.xor(h, v128.xor(c, v128.load(ring, 512)));
    v128.store(ring, c, 496);
    least = i32x4.min_u(least, v128.and(h, v128.load(MASKS, 496)));
    if (ring == RING) v128.store(RING_END, v128.load(RING));
    if (!i32x4.all_true(least) && p0 + TURN > p + FIRST) {
      const i = p0 - p;
      n0 = collect(table, p, i, i32x4.extract_lane(before, 0), lane, mask, list, n0, room, 0);
      n1 = collect(table, p + lane, i, i32x4.extract_lane(before, 1), lane, mask, list1, n1, room, lane);
      n2 = collect(table, p + 2 * lane, i, i32x4.extract_lane(before, 2), lane, mask, list2, n2, room, 2 * lane);
      n3 = collect(table, p + 3 * lane, i, i32x4.extract_lane(before, 3), lane, mask, list3, n3, room, 3 * lane);
    }
    p0 += TURN; p1 += TURN; p2 += TURN; p3 += TURN;
    ring += 512;
    if (ring == RING_END) ring = RING;
  }
  // The lists in one, up to the first that is full.
  let looked: usize = 4 * lane;
  let n = n0;
  if (n0 == room) looked = load<u32>(list + (n << 2) - 4) + 1;
  else {
    memory.copy(list + (n << 2), list1, n1 << 2);
    n += n1;
    if (n1 == room) looked = load<u32>(list + (n << 2) - 4) + 1;
    else {
      memory.copy(list + (n << 2), list2, n2 << 2);
      n += n2;
      if (n2 == room) looked = load<u32>(list + (n << 2) - 4) + 1;
      else {
        memory.copy(list + (n << 2), list3, n3 << 2);
        n += n3;
        if (n3 == room) looked = load<u32>(list + (n << 2) - 4) + 1;
      }
    }
  }
  store<u32>(list - 4, <u32>looked);
  return n;
}
