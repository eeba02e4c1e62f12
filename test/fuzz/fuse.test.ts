// Requests to the FUSE session that no kernel sends: short, cut, with lengths that lie, unknown opcodes, impossible
// nodes, offsets and sizes, names without their end; among good ones, over sources that answer at once and late.
// Nothing may be thrown, nothing left without its one answer, nothing kept. ALCOVE_FUZZ_SEED and ALCOVE_FUZZ_RUNS
// repeat or lengthen a run (requests of each source).
import { expect, test } from "vitest";
import {
  ATTR_OUT,
  ENTRY_OUT,
  errno,
  IN_HEADER,
  OUT_HEADER,
  opcode,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
} from "../../src/mount/constants.ts";
import type { Device } from "../../src/mount/device.ts";
import { FileSystem } from "../../src/mount/filesystem.ts";
import { FuseSession } from "../../src/mount/session.ts";
import { type Seeded, seeded } from "../fault/seeded.ts";
import { SyntheticSource } from "../unit/mount/synthetic.ts";

const SEED = Number(process.env["ALCOVE_FUZZ_SEED"] ?? 20260102);
const RUNS = Number(process.env["ALCOVE_FUZZ_RUNS"] ?? 10_000);

interface Answer {
  unique: bigint;
  error: number;
  body: Uint8Array;
}

/** A kernel that asks what it is told to, and checks the form of every answer. */
class ScriptedDevice implements Device {
  readonly #next: () => Uint8Array | undefined | Promise<void>;
  readonly answers: Answer[] = [];
  readonly #now: boolean;
  readonly #random: Seeded;

  /** @param next the next request; a promise: nothing until then; undefined: unmounted */
  constructor(next: () => Uint8Array | undefined | Promise<void>, now: boolean, random: Seeded) {
    this.#random = random;
    this.#next = next;
    this.#now = now;
  }

  async receive(buffer: Uint8Array): Promise<number> {
    for (;;) {
      const request = this.#next();
      if (request instanceof Promise) await request;
      else if (request === undefined) return -1;
      else return this.#give(buffer, request);
    }
  }

  receiveNow(buffer: Uint8Array): number {
    if (!this.#now || this.#random.below(10) === 0) return 0;
    const request = this.#next();
    if (request instanceof Promise) return 0;
    return request === undefined ? -1 : this.#give(buffer, request);
  }

  #give(buffer: Uint8Array, request: Uint8Array): number {
    buffer.set(request.subarray(0, buffer.length));
    return Math.min(buffer.length, request.length);
  }

  send(buffer: Uint8Array, length: number, pieces: readonly Uint8Array[] = []): void {
    const whole = Buffer.concat([buffer.subarray(0, length), ...pieces]);
    expect(whole.length).toBeGreaterThanOrEqual(OUT_HEADER);
    expect(whole.readUInt32LE(0)).toBe(whole.length);
    const error = 0 - whole.readInt32LE(4);
    expect(error).toBeGreaterThanOrEqual(0);
    expect(error).toBeLessThan(512); // what the kernel takes for an error number
    if (error) expect(whole.length).toBe(OUT_HEADER);
    this.answers.push({ unique: whole.readBigUInt64LE(8), error, body: whole.subarray(OUT_HEADER) });
  }
}

function request(code: number, unique: bigint, node: bigint, body: Uint8Array): Buffer {
  const bytes = Buffer.alloc(IN_HEADER + body.length);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt32LE(code, 4);
  bytes.writeBigUInt64LE(unique, 8);
  bytes.writeBigUInt64LE(node, 16);
  bytes.set(body, IN_HEADER);
  return bytes;
}

const text = (s: string): Uint8Array => new TextEncoder().encode(s);
const contents = text("0123456789".repeat(3000));

async function start(slow: boolean): Promise<{ fs: FileSystem; source: SyntheticSource }> {
  const source = new SyntheticSource(700);
  source.slow = slow;
  const base = { user: null, group: null, uid: 1, gid: 2, mtime: 1_600_000_000_123_456_789n };
  const file = { ...base, mode: S_IFREG | 0o644 };
  const items = [
    { ...base, path: "d", mode: S_IFDIR | 0o755 },
    {
      ...file,
      path: "d/file",
      chunks: source.contents(contents, 999),
      xattrs: new Map([["user.x", text("y")]]),
    },
    { ...base, path: "d/link", mode: S_IFLNK | 0o777, source: "file" },
    { ...file, path: "d/gone", chunks: [[new Uint8Array(32), 5, 5]] },
    { ...file, path: "d/hard", source: "d/file" },
    ...Array.from({ length: 300 }, (_, i) => ({
      ...file,
      path: `d/many/${i}`,
      chunks: source.contents(text(`file ${i}`)),
    })),
  ];
  source.addArchive("one", items);
  source.addArchive("two", items.slice(0, 2));
  if (!slow) {
    Object.assign(source, {
      getChunksNow: (ids: readonly Uint8Array[]) =>
        ids.map((id) => source.chunks.get(Buffer.from(id).toString("hex"))),
    });
  }
  const fs = new FileSystem(source, { defaultUid: 0, defaultGid: 0, now: 1n, dataCacheBytes: 20_000 });
  await fs.start();
  return { fs, source };
}

const known = Object.values(opcode);
const silent: ReadonlySet<number> = new Set([opcode.FORGET, opcode.BATCH_FORGET, opcode.INTERRUPT]);
const odd = [
  0n,
  1n,
  2n,
  3n,
  7n,
  4096n,
  2n ** 31n,
  2n ** 32n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];

function anyNumber(r: Seeded): bigint {
  return r.below(3) ? BigInt(r.below(400)) : odd[r.below(odd.length)]!;
}

function anyBody(r: Seeded): Buffer {
  switch (r.below(4)) {
    case 0: // names, some without their end
      return Buffer.from(
        ["d\0", "one\0", "d", "\0", "..\0", "file\0tail", "\xff\0", "x".repeat(2000)][r.below(8)]!,
        "latin1",
      );
    case 1: {
      // what READ, READDIR and GETXATTR look like
      const body = Buffer.alloc(40);
      body.writeBigUInt64LE(anyNumber(r), 0);
      body.writeBigUInt64LE(anyNumber(r), 8);
      body.writeUInt32LE(Number(anyNumber(r) & 0xffffffffn), 16);
      return body.subarray(0, r.below(41));
    }
    case 2:
      return Buffer.alloc(r.below(64));
    default:
      return Buffer.from(Array.from({ length: r.below(100) }, () => r.below(256)));
  }
}

/** Any request, good or bad; its unique number is that given wherever there is a header. */
function anyRequest(r: Seeded, unique: bigint): Buffer {
  const code = r.below(20) ? known[r.below(known.length)]! : r.below(6000);
  const bytes = request(code, unique, anyNumber(r), anyBody(r));
  // Somebody gives up on what was asked lately.
  if (code === opcode.INTERRUPT && bytes.length >= IN_HEADER + 8) {
    bytes.writeBigUInt64LE(BigInt.asUintN(64, unique - BigInt(r.below(30))), IN_HEADER);
  }
  switch (r.below(8)) {
    case 0:
      return bytes.subarray(0, r.below(bytes.length + 1));
    case 1:
      bytes.writeUInt32LE(Number(anyNumber(r) & 0xffffffffn), 0);
      return bytes;
    case 2:
      bytes.writeUInt16LE(r.below(65536), 36);
      return bytes;
    default:
      return bytes;
  }
}

const init = (): Buffer => {
  const body = Buffer.alloc(16);
  body.writeUInt32LE(7, 0);
  body.writeUInt32LE(38, 4);
  body.writeUInt32LE(131072, 8);
  body.writeUInt32LE(0xffffffff, 12);
  return request(opcode.INIT, 1n, 0n, body);
};

function range(offset: number, size: number): Buffer {
  const body = Buffer.alloc(40);
  body.writeBigUInt64LE(BigInt(offset), 8);
  body.writeUInt32LE(size, 16);
  return body;
}

for (const [name, slow, now] of [
  ["answers at once", false, true],
  ["a source that is slow", true, false],
] as const) {
  test(`${name}: every request has its one answer, and the session goes on`, async () => {
    const r = seeded(SEED + (slow ? 1 : 0));
    const runs = slow ? Math.ceil(RUNS / 10) : RUNS;
    const { fs } = await start(slow);
    const warnings: string[] = [];
    const asked = new Map<bigint, { code: number; size: number }>();
    let session!: FuseSession;
    let count = 1n;
    let after = 0;
    const byName = { one: 0n, d: 0n, file: 0n };
    const quiet = () => session.waiting === 0;
    const pause = () => new Promise<void>((resolve) => setTimeout(resolve, 1));
    const good: [number, () => bigint, Uint8Array, (a: Answer) => void][] = [
      [
        opcode.LOOKUP,
        () => 1n,
        text("one\0"),
        (a) => {
          byName.one = a.body.length ? Buffer.from(a.body).readBigUInt64LE(0) : 0n;
        },
      ],
      [
        opcode.LOOKUP,
        () => byName.one,
        text("d\0"),
        (a) => {
          byName.d = Buffer.from(a.body).readBigUInt64LE(0);
          expect(a.body.length).toBe(ENTRY_OUT);
        },
      ],
      [
        opcode.LOOKUP,
        () => byName.d,
        text("file\0"),
        (a) => {
          byName.file = Buffer.from(a.body).readBigUInt64LE(0);
        },
      ],
      [opcode.GETATTR, () => byName.file, new Uint8Array(16), (a) => expect(a.body.length).toBe(ATTR_OUT)],
      [
        opcode.READ,
        () => byName.file,
        range(995, 20_000),
        (a) => expect(Buffer.compare(a.body, contents.subarray(995, 20_995))).toBe(0),
      ],
      [
        opcode.READDIRPLUS,
        () => byName.d,
        range(0, 4096),
        (a) => expect(a.body.length).toBeGreaterThan(ENTRY_OUT),
      ],
      [opcode.FLUSH, () => byName.file, new Uint8Array(24), (a) => expect(a.error).toBe(errno.ENOSYS)],
      [opcode.DESTROY, () => 0n, new Uint8Array(0), (a) => expect(a.error).toBe(0)],
    ];
    const device = new ScriptedDevice(
      () => {
        if (count === 1n) {
          count++;
          return init();
        }
        if (count < BigInt(runs)) {
          // Now and then everything is waited for, so that not only the queue is tried.
          if (slow && (session.waiting > 20 || (r.below(30) === 0 && !quiet()))) return pause();
          const unique = count++;
          const bytes = anyRequest(r, unique);
          if (bytes.length >= IN_HEADER)
            asked.set(unique, { code: bytes.readUInt32LE(4), size: bytes.length });
          return bytes;
        }
        // Then what any kernel asks, one after the other.
        if (!quiet()) return pause();
        if (after > 0) good[after - 1]![3](device.answers.at(-1)!);
        const next = good[after++];
        if (!next) return undefined;
        return request(next[0], count++, next[1](), next[2]);
      },
      now,
      seeded(SEED + 2),
    );
    session = new FuseSession(device, fs, { acl: true, log: (_, message) => warnings.push(message) });
    await session.run();
    expect(session.waiting).toBe(0);
    expect(after).toBe(good.length + 1);
    const seen = new Map<bigint, number>();
    for (const { unique } of device.answers) seen.set(unique, (seen.get(unique) ?? 0) + 1);
    for (const [unique, times] of seen) expect([unique, times]).toEqual([unique, 1]);
    // Without an answer are only those that get none, and those whose header says nothing that can be believed.
    for (const [unique, { code }] of asked) {
      if (!seen.has(unique) && !silent.has(code)) {
        const why = warnings.some((w) => w.startsWith("mount: request of") || w.includes("extensions"));
        expect([unique, code, why]).toEqual([unique, code, true]);
      }
    }
    expect(warnings.some((w) => /undefined|not a function|Cannot read/.test(w))).toBe(false);
  }, 120_000);
}
