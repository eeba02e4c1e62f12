// Unchanged plain files of a backup, and the directories between them, many at a time: from the events of a walk (src/archive/pipeline/scan-channel.ts) by the
// entries of the files cache (src/cache/filesformat.ts) to the items of the archive (src/archive/plain-item.ts). Whatever is
// not as nearly all files are is left to the program, which knows everything: each function stops where it has to be asked.

// An event: kind, root, attributes and length of the path, four 32-bit words; of an entry the numbers of its stat, 64-bit
// floats; and the path, or another text. The next one begins at a multiple of eight.
const HEADER: usize = 16;
const NUMBERS: usize = 22 * 8;
const ENTRY: u32 = 0;
const STATUS: u32 = 1;
const XATTRS_NONE: u32 = 1;

// Places of a stat's numbers (STAT in src/runtime/stat.ts), in bytes.
const MODE: usize = 0;
const UID: usize = 8;
const GID: usize = 16;
const NLINK: usize = 24;
const SIZE: usize = 32;
const INO: usize = 40;
const INO_HIGH: usize = 48;
const DEV: usize = 56;
const MTIME: usize = 88;
const ATIME: usize = 104;
const CTIME: usize = 120;
const ATTRIBUTES: usize = 160;
const ATTRIBUTES_MASK: usize = 168;

const S_IFMT: u32 = 0o170000;
const S_IFREG: u32 = 0o100000;
const S_IFDIR: u32 = 0o040000;
const SLASH: u32 = 0x2f;
const DOT: u32 = 0x2e;
/** Seconds whose nanoseconds fit 63 bits. */
const LATEST: f64 = 9223372035;

// What the functions are told, and tell: 32-bit words and two floats, by offset. The same in src/archive/plain-batch.ts.
const SLOT: usize = 0; // address of the slot's copy
const SLOT_END: usize = 4; // bytes of events
const AT: usize = 8; // the event at which scanning goes on or stopped
const COUNT: usize = 12; // records
const MOST: usize = 16;
const RECORDS: usize = 20;
const TABLE: usize = 24; // pairs of address and length of the messages to hash
const MESSAGES: usize = 28;
const MESSAGES_END: usize = 32;
const MESSAGE_AT: usize = 36;
const PREFIX: usize = 40; // the working directory with a slash
const PREFIX_LENGTH: usize = 44;
const FLAG_BITS: usize = 48; // attributes that must be known and not set; 0 where they do not matter
const ASKS: usize = 52; // whether names of attributes matter
const DIGESTS: usize = 56;
const CACHE: usize = 60; // the files cache's bytes
const CACHE_END: usize = 64;
const EXPECTED_AT: usize = 68; // the entry that is expected next: address and number
const EXPECTED: usize = 72;
const COMPARES_SIZE: usize = 76;
const COMPARED_TIME: usize = 80; // 0, or the offset of a stat's time
const IDS: usize = 84;
const IDS_MOST: usize = 88;
const ID_COUNT: usize = 92;
const SIZES: usize = 96;
const OUT: usize = 100;
const OUT_END: usize = 104;
const HAS_CTIME: usize = 108;
const HAS_ATIME: usize = 112;
const FILES: usize = 116; // the template of files, and of directories behind it
const QUIET: usize = 140; // whether nobody wants to be told of directories
const GOOD_DEVICE: usize = 144; // f64: files of it may be plain, those of the other one are not
const BAD_DEVICE: usize = 152;
const NEWEST: usize = 160; // u64: the newest time of an entry whose file is unchanged
const DIRECTORIES: usize = 168;
const BARES: usize = 192; // whether entries of the files cache may tell that files of the good device have no attributes

// What is the same in all items of a mode and owner.
const T_ADDRESS: usize = 0;
const T_MIDDLE: usize = 4; // bytes from gid to mode
const T_END: usize = 8; // bytes behind those: uid and user
const T_MODE: usize = 12;
const T_UID: usize = 16;
const T_GID: usize = 20;

// A record of a plain file.
const RECORD: usize = 24;
const R_EVENT: usize = 0; // offset in the slot
const R_STATE: usize = 4;
const R_ENTRY: usize = 8; // number of the entry in the files cache
const R_FIRST: usize = 12; // of its chunks
const R_CHUNKS: usize = 16;
/** Bits: names of attributes have not been listed, or there are some; a directory; the entry of the files cache may tell that
 *  there are none (or be told). */
const UNASKED: u32 = 1;
const DIRECTORY: u32 = 2;
const BAREABLE: u32 = 4;
/** Types of a time in the files cache: the common one, and that of a file without attributes. */
const UINT64: u8 = 0xcf;
const INT64: u8 = 0xd3;

const NEAR: u32 = 8;
const ID_STRIDE: usize = 35;
const FIXED_BYTES: usize = 128;
const CHUNK_BYTES: usize = 46;

// @ts-ignore: decorator
@inline
function word(c: usize, field: usize): usize {
  return load<u32>(c + field);
}

/** Copies n bytes and up to 15 more, for which there is room behind both. */
// @ts-ignore: decorator
@inline
function copy(to: usize, from: usize, n: usize): void {
  for (let i: usize = 0; i < n; i += 16) v128.store(to + i, v128.load(from + i));
}

// @ts-ignore: decorator
@inline
function behind(event: usize): usize {
  const numbers = load<u32>(event) == ENTRY ? NUMBERS : 0;
  return (event + HEADER + numbers + load<u32>(event, 12) + 7) & ~7;
}

// @ts-ignore: decorator
@inline
function isDirectory(event: usize): bool {
  return (<u32>load<f64>(event + HEADER, MODE) & S_IFMT) == S_IFDIR;
}

// @ts-ignore: decorator
@inline
function templateOf(c: usize, record: usize): usize {
  return c + ((load<u32>(record, R_STATE) & DIRECTORY) != 0 ? DIRECTORIES : FILES);
}

/** Whether nothing about an entry is out of the ordinary; -1 where its device is not known. */
function isPlain(c: usize, event: usize): i32 {
  const s = event + HEADER;
  if (load<u32>(event) != ENTRY) return 0;
  // Inode numbers of more than 53 bits; paths that would need more than their first slash taken away.
  if (load<f64>(s, INO_HIGH) >= 0 || load<u32>(event, 12) < 2) return 0;
  if (!isDirectory(event)) {
    if ((<u32>load<f64>(s, MODE) & S_IFMT) != S_IFREG || load<f64>(s, NLINK) != 1) return 0;
  }
  const path = s + NUMBERS;
  const second: u32 = load<u8>(path, 1);
  if (second == SLASH || (load<u8>(path) == DOT && second == DOT)) return 0;
  const bits = <u32>word(c, FLAG_BITS);
  if ((<u32>load<f64>(s, ATTRIBUTES_MASK) & bits) != bits || (<u32>load<f64>(s, ATTRIBUTES) & bits) != 0) return 0;
  const device = load<f64>(s, DEV);
  if (device == load<f64>(c + GOOD_DEVICE)) return 1;
  return device == load<f64>(c + BAD_DEVICE) ? 0 : -1;
}

/**
 * Makes records of the slot's plain files from AT on, and the table of the messages, absolute paths, whose hashes are wanted.
 * Stops at AT: the slot's end, where there is no room, or at an entry of a device that is neither good nor bad (answer 1).
 */
export function plainPaths(c: usize): u32 {
  const slot = word(c, SLOT);
  const end = slot + word(c, SLOT_END);
  const prefix = word(c, PREFIX);
  const prefixLength = word(c, PREFIX_LENGTH);
  const messagesEnd = word(c, MESSAGES_END);
  const asks = word(c, ASKS);
  let event = slot + word(c, AT);
  let message = word(c, MESSAGE_AT);
  let count = word(c, COUNT);
  const most = word(c, MOST);
  let answer: u32 = 0;
  for (; event < end; event = behind(event)) {
    const plain = isPlain(c, event);
    if (plain == 0) continue;
    if (plain < 0) {
      answer = 1;
      break;
    }
    const path = event + HEADER + NUMBERS;
    const length: usize = load<u32>(event, 12);
    if (count == most || message + prefixLength + length + 16 > messagesEnd) break;
    const start = message;
    const directory = isDirectory(event);
    // Nobody asks for the hash of a directory's.
    if (!directory) {
      if (load<u8>(path) != SLASH) {
        copy(message, prefix, prefixLength);
        message += prefixLength;
      }
      copy(message, path, length);
      message += length;
    }
    const pair = word(c, TABLE) + 8 * count;
    store<u32>(pair, <u32>start);
    store<u32>(pair, <u32>(message - start), 4);
    const record = word(c, RECORDS) + RECORD * count;
    store<u32>(record, <u32>(event - slot), R_EVENT);
    const unasked = asks != 0 && load<u32>(event, 8) != XATTRS_NONE ? UNASKED : 0;
    store<u32>(record, unasked | (directory ? DIRECTORY : word(c, BARES) != 0 ? BAREABLE : 0), R_STATE);
    count++;
  }
  store<u32>(c, <u32>(event - slot), AT);
  store<u32>(c, <u32>count, COUNT);
  store<u32>(c, <u32>message, MESSAGE_AT);
  return answer;
}

// An entry of the files cache that was read: what readEntry leaves.
let entryEnd: usize = 0;
let entryIno: u64 = 0;
let entrySize: u64 = 0;
let entryTime: u64 = 0;
let entryTimeAt: usize = 0;
let entryIds: usize = 0;
let entryChunks: u32 = 0;
let numberEnd: usize = 0;

/** A number; -1 (of 64 bits) for what is none. */
function number(p: usize): u64 {
  const type: u32 = load<u8>(p);
  if (type < 0x80) {
    numberEnd = p + 1;
    return type;
  }
  numberEnd = p + 1 + (1 << (type - 0xcc));
  if (type == 0xcf) return bswap<u64>(load<u64>(p, 1));
  if (type == 0xce) return bswap<u32>(load<u32>(p, 1));
  if (type == 0xcd) return bswap<u16>(load<u16>(p, 1));
  if (type == 0xcc) return load<u8>(p, 1);
  numberEnd = p;
  return ~0;
}

/** Reads the entry at p, which was found to be one when the cache was loaded; false for one that is not as most are. */
function readEntry(p: usize, end: usize): bool {
  if (p + 48 > end) return false;
  number(p + 37);
  entryIno = number(numberEnd);
  entrySize = number(numberEnd);
  const time = numberEnd;
  entryTimeAt = time;
  if (load<u8>(time) == INT64) {
    entryTime = bswap<u64>(load<u64>(time, 1));
    numberEnd = time + 9;
  } else {
    entryTime = number(time);
    if (numberEnd == time) return false;
  }
  const type: u32 = load<u8>(numberEnd);
  if (type - 0x90 < 16) {
    entryChunks = type & 15;
    entryIds = numberEnd + 4;
  } else if (type == 0xdc) {
    entryChunks = bswap<u16>(load<u16>(numberEnd, 1));
    entryIds = numberEnd + 6;
  } else return false;
  entryEnd = entryIds - 3 + <usize>entryChunks * ID_STRIDE;
  return entryEnd <= end;
}

// @ts-ignore: decorator
@inline
function sameHash(a: usize, b: usize): bool {
  return (
    load<u64>(a) == load<u64>(b) &&
    load<u64>(a, 8) == load<u64>(b, 8) &&
    load<u64>(a, 16) == load<u64>(b, 16) &&
    load<u64>(a, 24) == load<u64>(b, 24)
  );
}

// @ts-ignore: decorator
@inline
function nanoseconds(time: usize): u64 {
  return <u64>load<f64>(time) * 1000000000 + <u64>load<f64>(time, 8);
}

// @ts-ignore: decorator
@inline
function hasPlainTime(time: usize): bool {
  const seconds = load<f64>(time);
  return seconds >= 0 && seconds < LATEST;
}

/**
 * Looks the files from record `from` on up in the files cache, while each is the next event behind the one before it, of its
 * template's mode and owner, among the entries that are expected, and as its entry says. Their chunks' ids go to IDS, aligned.
 * Directories between them only have to be of their template's mode and owner. Returns the record at which it stopped.
 */
export function knownFiles(c: usize, from: u32): u32 {
  const slot = word(c, SLOT);
  const count = <u32>word(c, COUNT);
  const records = word(c, RECORDS);
  const digests = word(c, DIGESTS);
  const cacheEnd = word(c, CACHE_END);
  const comparesSize = word(c, COMPARES_SIZE);
  const comparedTime = word(c, COMPARED_TIME);
  const hasCtime = word(c, HAS_CTIME);
  const hasAtime = word(c, HAS_ATIME);
  const ids = word(c, IDS);
  const idsMost = word(c, IDS_MOST);
  const slotEnd = slot + word(c, SLOT_END);
  const quiet = word(c, QUIET);
  let room = word(c, OUT_END) - word(c, OUT);
  let expected = word(c, EXPECTED_AT);
  let entry = <u32>word(c, EXPECTED);
  let chunks: usize = 0;
  let newest = load<u64>(c + NEWEST);
  let i = from;
  for (let next: usize = 0; i < count; i++) {
    const record = records + RECORD * i;
    const event = slot + load<u32>(record, R_EVENT);
    const state = load<u32>(record, R_STATE);
    if ((i > from && event != next) || (state & (UNASKED | BAREABLE)) == UNASKED) break;
    next = behind(event);
    if (quiet) while (next < slotEnd && load<u32>(next) == STATUS) next = behind(next);
    const s = event + HEADER;
    const template = templateOf(c, record);
    if (load<f64>(s, MODE) != <f64>word(template, T_MODE)) break;
    if (load<f64>(s, UID) != <f64>word(template, T_UID) || load<f64>(s, GID) != <f64>word(template, T_GID)) break;
    if (!hasPlainTime(s + MTIME)) break;
    if (hasCtime && !hasPlainTime(s + CTIME)) break;
    if (hasAtime && !hasPlainTime(s + ATIME)) break;
    const length = load<u32>(event, 12);
    if (length > 0xffff) break;
    const bytes = FIXED_BYTES + word(template, T_MIDDLE) + word(template, T_END) + length;
    if ((state & DIRECTORY) != 0) {
      if (bytes > room) break;
      room -= bytes;
      store<u32>(record, <u32>chunks, R_FIRST);
      store<u32>(record, 0, R_CHUNKS);
      continue;
    }
    const digest = digests + 32 * i;
    let p = expected;
    let number = entry;
    let found = false;
    for (let k: u32 = 0; k < NEAR && p < cacheEnd; k++) {
      if (!readEntry(p, cacheEnd)) break;
      if (sameHash(p + 4, digest)) {
        found = true;
        break;
      }
      p = entryEnd;
      number++;
    }
    if (!found) break;
    if (<f64>entryIno != load<f64>(s, INO)) break;
    if (comparesSize && <f64>entrySize != load<f64>(s, SIZE)) break;
    if (comparedTime && entryTime != nanoseconds(s + comparedTime)) break;
    if ((state & BAREABLE) != 0) {
      const type = load<u8>(entryTimeAt);
      if ((state & UNASKED) != 0) {
        if (type != INT64) break;
      } else if (type == UINT64 && entryTime >> 63 == 0) store<u8>(entryTimeAt, INT64);
    }
    const need = bytes + <usize>entryChunks * CHUNK_BYTES;
    if (chunks + entryChunks > idsMost || need > room) break;
    room -= need;
    store<u32>(record, number, R_ENTRY);
    store<u32>(record, <u32>chunks, R_FIRST);
    store<u32>(record, entryChunks, R_CHUNKS);
    for (let k: usize = 0; k < entryChunks; k++) {
      const to = ids + 32 * (chunks + k);
      const id = entryIds + k * ID_STRIDE;
      v128.store(to, v128.load(id));
      v128.store(to, v128.load(id, 16), 16);
    }
    chunks += entryChunks;
    if (entryTime > newest) newest = entryTime;
    expected = entryEnd;
    entry = number + 1;
  }
  store<u32>(c, <u32>expected, EXPECTED_AT);
  store<u32>(c, entry, EXPECTED);
  store<u32>(c, <u32>chunks, ID_COUNT);
  store<u64>(c + NEWEST, newest);
  return i;
}

/** Writes a key of 4 bytes behind its head. */
// @ts-ignore: decorator
@inline
function key4(p: usize, name: u32): usize {
  store<u8>(p, 0xa4);
  store<u32>(p, name, 1);
  return p + 5;
}

// @ts-ignore: decorator
@inline
function key5(p: usize, first: u32, last: u32): usize {
  store<u8>(p, 0xa5);
  store<u32>(p, first, 1);
  store<u8>(p, last, 5);
  return p + 6;
}

function uint(p: usize, n: u64): usize {
  if (n > 0xffffffff) {
    store<u8>(p, 0xcf);
    store<u64>(p, bswap<u64>(n), 1);
    return p + 9;
  }
  if (n > 0xffff) {
    store<u8>(p, 0xce);
    store<u32>(p, bswap<u32>(<u32>n), 1);
    return p + 5;
  }
  if (n > 0xff) {
    store<u8>(p, 0xcd);
    store<u16>(p, bswap<u16>(<u16>n), 1);
    return p + 3;
  }
  if (n > 0x7f) {
    store<u8>(p, 0xcc);
    store<u8>(p, n, 1);
    return p + 2;
  }
  store<u8>(p, n);
  return p + 1;
}

/** The head of an array or of raw bytes; see putHead in plain-item.ts. */
// @ts-ignore: decorator
@inline
function head(p: usize, length: u32, fix: u32, limit: u32, code: u32): usize {
  if (length < limit) {
    store<u8>(p, fix | length);
    return p + 1;
  }
  store<u8>(p, code);
  store<u16>(p, bswap<u16>(<u16>length), 1);
  return p + 3;
}

/** Writes the items of the files from record `from` to `to`, whose chunks' sizes lie in SIZES, to OUT; returns their bytes. */
export function knownItems(c: usize, from: u32, to: u32): u32 {
  const slot = word(c, SLOT);
  const records = word(c, RECORDS);
  const ids = word(c, IDS);
  const sizes = word(c, SIZES);
  const hasCtime = word(c, HAS_CTIME);
  const hasAtime = word(c, HAS_ATIME);
  const times = (hasCtime ? 1 : 0) + (hasAtime ? 1 : 0);
  let p = word(c, OUT);
  for (let i = from; i < to; i++) {
    const record = records + RECORD * i;
    const event = slot + load<u32>(record, R_EVENT);
    const s = event + HEADER;
    const directory = (load<u32>(record, R_STATE) & DIRECTORY) != 0;
    const t = templateOf(c, record);
    const template = word(t, T_ADDRESS);
    const middle = word(t, T_MIDDLE);
    const last = word(t, T_END);
    // atime, chunks, ctime, gid to mode, mtime, path, size, uid and user; no chunks, size and hardlink_master of directories
    store<u8>(p++, <u8>(0x80 | ((directory ? 7 : 10) + times)));
    if (hasAtime) p = uint(key5(p, 0x6d697461, 0x65), nanoseconds(s + ATIME));
    if (!directory) {
      store<u8>(p, 0xa6);
      store<u32>(p, 0x6e756863, 1);
      store<u16>(p, 0x736b, 5);
      p += 7;
    }
    const first: usize = load<u32>(record, R_FIRST);
    const chunks = load<u32>(record, R_CHUNKS);
    if (!directory) p = head(p, chunks, 0x90, 16, 0xdc);
    let size: u64 = 0;
    for (let k: usize = 0; k < chunks; k++) {
      store<u32>(p, 0x2000da93);
      const id = ids + 32 * (first + k);
      v128.store(p, v128.load(id), 4);
      v128.store(p, v128.load(id, 16), 20);
      const pair = sizes + 8 * (first + k);
      const bytes = load<u32>(pair);
      p = uint(uint(p + 36, bytes), load<u32>(pair, 4));
      size += bytes;
    }
    if (hasCtime) p = uint(key5(p, 0x6d697463, 0x65), nanoseconds(s + CTIME));
    copy(p, template, middle);
    p = uint(key5(p + middle, 0x6d69746d, 0x65), nanoseconds(s + MTIME));
    let path = s + NUMBERS;
    let length = load<u32>(event, 12);
    if (length > 0 && load<u8>(path) == SLASH) {
      path++;
      length--;
    }
    p = head(key4(p, 0x68746170), length, 0xa0, 32, 0xda);
    copy(p, path, length);
    p += length;
    if (!directory) p = uint(key4(p, 0x657a6973), size);
    copy(p, template + middle, last);
    p += last;
  }
  return <u32>(p - word(c, OUT));
}
