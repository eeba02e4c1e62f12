// Tar archives against Python's tarfile (which Borg uses) and GNU tar, in both directions.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { TarReader, type TarWriteEntry, TarWriter } from "../../src/format/tar.ts";

const dir = mkdtempSync(join(tmpdir(), "tar-"));
afterAll(() => rmSync(dir, { recursive: true }));

async function* pieces(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function readAll(bytes: Uint8Array, size?: number) {
  const reader = new TarReader(pieces(bytes, size));
  const entries = [];
  for (let entry = await reader.next(); entry; entry = await reader.next()) {
    const parts: Uint8Array[] = [];
    for await (const part of entry.content()) parts.push(part.slice());
    const { name, type, mode, uid, gid, uname, gname, size, mtime, linkname, devmajor, devminor } = entry;
    const fields = {
      name,
      type,
      mode,
      uid,
      gid,
      uname,
      gname,
      size,
      mtime: String(mtime),
      linkname,
      devmajor,
      devminor,
    };
    entries.push({ ...fields, content: Buffer.concat(parts).toString("latin1"), pax: entry.pax });
  }
  return entries;
}

async function written(
  entries: (TarWriteEntry & { content?: string })[],
  format: "gnu" | "pax",
): Promise<Buffer> {
  const out: Uint8Array[] = [];
  const writer = new TarWriter((bytes) => void out.push(bytes.slice()), format);
  for (const { content = "", ...entry } of entries) {
    const bytes = Buffer.from(content, "latin1");
    await writer.entry({ ...entry, size: bytes.length });
    if (bytes.length > 0) await writer.data(bytes);
  }
  await writer.finish();
  return Buffer.concat(out);
}

const long = `${"d/".repeat(60)}ü`;
const samples: (TarWriteEntry & { content?: string })[] = [
  {
    name: "a",
    type: "file",
    mode: 0o4755,
    uid: 1000,
    gid: 100,
    uname: "ann",
    gname: "users",
    mtime: 1455566189_123456789n,
    content: "hello",
  },
  { name: "dir", type: "dir", mode: 0o755, mtime: 1_700_000_000n * 1_000_000_000n },
  { name: long, type: "file", content: "x".repeat(2000), mtime: 1n },
  { name: "link", type: "symlink", linkname: long, mode: 0o777 },
  { name: "hard", type: "hardlink", linkname: "a" },
  { name: "null", type: "char", devmajor: 1, devminor: 3 },
  { name: "sda", type: "block", devmajor: 8, devminor: 0 },
  { name: "fifo", type: "fifo" },
  { name: "big-ids", type: "file", uid: 3_000_000, gid: 4_000_000_000, content: "" },
  { name: "bad\udcff", type: "file", content: "y".repeat(512) },
  { name: "n".repeat(100), type: "file" },
  { name: "n".repeat(101), type: "symlink", linkname: "t".repeat(101) },
];

const python = (script: string, input: unknown) =>
  execFileSync(
    "/usr/bin/python3",
    ["-c", `import sys, json, io, tarfile\nreq = json.load(sys.stdin)\n${script}`],
    {
      input: JSON.stringify(input, (_, v) => (typeof v === "bigint" ? String(v) : v)),
      maxBuffer: 1 << 28,
    },
  );

const makeTar = `
T = dict(file=tarfile.REGTYPE, hardlink=tarfile.LNKTYPE, symlink=tarfile.SYMTYPE, char=tarfile.CHRTYPE, block=tarfile.BLKTYPE, dir=tarfile.DIRTYPE, fifo=tarfile.FIFOTYPE)
def make(fmt, entries):
    out = io.BytesIO()
    tar = tarfile.open(fileobj=out, mode='w|', format=fmt, encoding='utf-8', errors='surrogateescape')
    for e in entries:
        i = tarfile.TarInfo()
        i.name = e['name']; i.type = T[e['type']]; i.mode = e.get('mode', 0o644)
        i.mtime = int(e.get('mtime', '0')) / 1e9
        for k in 'uid', 'gid', 'uname', 'gname', 'linkname', 'devmajor', 'devminor':
            if k in e: setattr(i, k, e[k])
        d = e.get('content', '').encode('latin1'); i.size = len(d)
        tar.addfile(i, io.BytesIO(d))
    tar.close()
    return out.getvalue()
`;

const expected = (wholeSeconds: boolean) =>
  samples.map((s) => ({
    ...{
      mode: 0o644,
      uid: 0,
      gid: 0,
      uname: "",
      gname: "",
      linkname: "",
      devmajor: 0,
      devminor: 0,
      content: "",
    },
    ...s,
    size: s.content?.length ?? 0,
    mtime: String(wholeSeconds ? ((s.mtime ?? 0n) / 1_000_000_000n) * 1_000_000_000n : (s.mtime ?? 0n)),
  }));

describe("tar", () => {
  it("written as gnu is what Python's tarfile writes, byte for byte", async () => {
    const theirs = python(`${makeTar}\nsys.stdout.buffer.write(make(tarfile.GNU_FORMAT, req))`, samples);
    expect(Buffer.compare(await written(samples, "gnu"), theirs)).toBe(0);
  });

  it("reads what tarfile writes in GNU and PAX format, whatever the pieces", async () => {
    for (const [format, whole] of [
      ["GNU_FORMAT", true],
      ["PAX_FORMAT", false],
    ] as const) {
      // Python's times are doubles: only the whole seconds are compared in PAX.
      const theirs = python(`${makeTar}\nsys.stdout.buffer.write(make(tarfile.${format}, req))`, samples);
      for (const size of [7, 512, 100_000]) {
        const got = (await readAll(theirs, size)).map(({ pax: _, ...e }) => ({
          ...e,
          mtime: whole ? e.mtime : String((BigInt(e.mtime) / 1_000_000_000n) * 1_000_000_000n),
        }));
        expect(got).toEqual(expected(true));
      }
    }
  });

  it("written as pax keeps nanoseconds and attributes, for us and for tarfile", async () => {
    const pax = new Map([
      ["SCHILY.xattr.user.x", new Uint8Array([0, 10, 61, 255])],
      ["SCHILY.acl.access", Buffer.from("user::rw-,group::r--")],
    ]);
    const bytes = await written(
      samples.map((s) => (s.name === "a" ? { ...s, pax } : s)),
      "pax",
    );
    const got = await readAll(bytes);
    expect(got.map(({ pax: _, ...e }) => e)).toEqual(expected(false));
    expect(Buffer.from(got[0]!.pax.get("SCHILY.xattr.user.x")!).toString("hex")).toBe("000a3dff");
    const file = join(dir, "pax.tar");
    writeFileSync(file, bytes);
    const theirs = JSON.parse(
      python(
        "print(json.dumps([[m.name, m.size, int(m.mtime), m.linkname, m.uid] for m in tarfile.open(req, encoding='utf-8', errors='surrogateescape')]))",
        file,
      ).toString(),
    );
    expect(theirs).toEqual(
      expected(true).map((e) => [
        e.name,
        e.size,
        Number(BigInt(e.mtime) / 1_000_000_000n),
        e.linkname,
        e.uid,
      ]),
    );
  });

  it("reads GNU tar's sparse files in every format", async () => {
    execFileSync("/usr/bin/python3", [
      "-c",
      `
import os, sys
f = open(sys.argv[1], 'wb')
for i in range(40):
    f.seek(i * 300000); f.write(b'block%02d' % i * 1000)
f.truncate(40 * 300000)`,
      join(dir, "sparse"),
    ]);
    const content = readFileSync(join(dir, "sparse"));
    const formats = [
      ["--format=gnu"],
      ...["0.0", "0.1", "1.0"].map((v) => ["--format=posix", `--sparse-version=${v}`]),
    ];
    for (const options of formats) {
      const bytes = execFileSync("tar", ["-C", dir, "-S", ...options, "-cf", "-", "sparse", "pax.tar"], {
        maxBuffer: 1 << 28,
      });
      const [sparse, plain] = await readAll(bytes, 3000);
      expect(sparse!.name, String(options)).toBe("sparse");
      expect(Buffer.compare(Buffer.from(sparse!.content, "latin1"), content), String(options)).toBe(0);
      expect(plain!.name).toBe("pax.tar");
    }
  });
});
