// The SFTP form over archives in memory: what OpenSSH's sftp client makes of it, and requests that no client sends.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { S_IFLNK, S_IFREG } from "../../../src/mount/constants.ts";
import { FileSystem } from "../../../src/mount/filesystem.ts";
import { SftpServer } from "../../../src/mount/sftp.ts";
import { seeded } from "../../fault/seeded.ts";
import { SyntheticSource } from "./synthetic.ts";

const text = (s: string) => new TextEncoder().encode(s);
const contents = "0123456789".repeat(20_000);

async function fileSystem(): Promise<FileSystem> {
  const source = new SyntheticSource();
  const base = { user: null, group: null, uid: 1, gid: 2, mtime: 1_600_000_000_000_000_000n };
  const file = { ...base, mode: S_IFREG | 0o640 };
  source.addArchive("one", [
    { ...file, path: "d/file", chunks: source.contents(text(contents), 7777), size: contents.length },
    { ...base, path: "d/link", mode: S_IFLNK | 0o777, source: "../d/file" },
    { ...base, path: "d/out", mode: S_IFLNK | 0o777, source: "/etc/passwd" },
    { ...file, path: "gone", chunks: [[new Uint8Array(32), 5, 5]] },
    ...Array.from({ length: 2000 }, (_, i) => ({ ...file, path: `many/${i}`, chunks: [] })),
  ]);
  const fs = new FileSystem(source, { defaultUid: 0, defaultGid: 0, now: 1n });
  await fs.start();
  return fs;
}

const has = (program: string) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;

test.skipIf(!has("sftp"))("OpenSSH's client lists and fetches", async () => {
  const fs = await fileSystem();
  const directory = mkdtempSync(join(tmpdir(), "alcove-sftp-"));
  const path = join(directory, "socket");
  const server = createServer((socket) => void new SftpServer(fs, socket).serve(socket));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    const script = join(directory, "bridge.mjs");
    writeFileSync(
      script,
      `import { connect } from "node:net"; const s = connect(${JSON.stringify(path)}); process.stdin.pipe(s); s.pipe(process.stdout);`,
    );
    const batch = `ls -ln one/d\nget one/d/link ${directory}/got\n-get one/d/out ${directory}/out\n-put ${script} one/d/new\nls -1 one/many\n`;
    const child = spawn("timeout", ["20", "sftp", "-q", "-b", "-", "-D", `${process.execPath} ${script}`]);
    let out = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (d) => {
        out += d;
      });
    child.stdin.end(batch);
    expect(await new Promise((resolve) => child.on("close", resolve))).toBe(0);
    expect(out).toMatch(/-rw-r-----\s+\? 1\s+2\s+200000 Sep 13 +2020 one\/d\/file/);
    expect(out.match(/^one\/many\/\d+\s*$/gm)?.length).toBe(2000);
    expect(readFileSync(join(directory, "got"), "latin1")).toBe(contents);
    expect(out).toContain("Permission denied");
  } finally {
    server.close();
    rmSync(directory, { recursive: true });
  }
});

test("hostile requests: an answer for each, no handle more than was opened, and the server goes on", async () => {
  const fs = await fileSystem();
  const r = seeded(20260103);
  const input = new PassThrough();
  const output = new PassThrough();
  let got = Buffer.alloc(0);
  output.on("data", (d: Buffer) => {
    got = Buffer.concat([got, d]);
  });
  const server = new SftpServer(fs, output);
  const serving = server.serve(input);
  const word = (n: number) => {
    const b = Buffer.alloc(4);
    b.writeUInt32BE(n >>> 0);
    return b;
  };
  const string = (s: string | Buffer) => Buffer.concat([word(s.length), Buffer.from(s as string)]);
  const paths = [
    "/",
    "/one",
    "one/d/file",
    "one/d/../../..",
    "/one/many",
    "",
    "one/d/file/x",
    "\0",
    "/one/d/link",
  ];
  const runs = 4000;
  for (let id = 0; id < runs; id++) {
    const fields = [word(id)];
    for (let n = r.below(4); n > 0; n--) {
      fields.push(
        r.pick([
          () => string(r.pick(paths)),
          () => string(word(1 + r.below(5))),
          () => word(r.below(100)),
          () => Buffer.from(r.bytes(r.below(20))),
          () => word(0xffffffff),
        ])(),
      );
    }
    const body = Buffer.concat([Buffer.of(r.below(8) ? 3 + r.below(18) : 2 + r.below(254)), ...fields]);
    const message = Buffer.concat([word(body.length), body]);
    const cut = r.below(message.length);
    input.write(message.subarray(0, cut));
    input.write(message.subarray(cut));
  }
  // And then a good one.
  input.write(
    Buffer.concat([word(5 + 4 + 7), Buffer.of(17), word(runs), string("one/d/x".replace("x", "f"))]),
  );
  input.end();
  await serving;
  const ids: number[] = [];
  for (let at = 0; at < got.length; at += 4 + got.readUInt32BE(at)) ids.push(got.readUInt32BE(at + 5));
  expect(ids).toEqual(Array.from({ length: runs + 1 }, (_, i) => i));
  expect(server.openHandles).toBeLessThanOrEqual(4096);
});

test("what cannot be a request ends the connection", async () => {
  const fs = await fileSystem();
  for (const start of [
    [0, 0, 0, 0],
    [0xff, 0xff, 0xff, 0xff],
  ]) {
    const input = new PassThrough();
    input.write(Buffer.from([...start, 1, 2, 3, 4, 5]));
    await new SftpServer(fs, new PassThrough()).serve(input);
  }
});
