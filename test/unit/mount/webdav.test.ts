// The WebDAV form over archives in memory, spoken to with plain HTTP; and with davfs2 where that is installed.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { S_IFLNK, S_IFREG } from "../../../src/mount/constants.ts";
import { FileSystem } from "../../../src/mount/filesystem.ts";
import { parseAddress, serveWebDav, type WebDavServer } from "../../../src/mount/webdav.ts";
import { parseRange, xml } from "../../../src/mount/webdav-text.ts";
import { SyntheticSource } from "./synthetic.ts";

const base = {
  mode: S_IFREG | 0o644,
  user: null,
  group: null,
  uid: 1,
  gid: 2,
  mtime: 1_600_000_000_000_000_000n,
};
const text = (s: string) => new TextEncoder().encode(s);
const contents = "0123456789".repeat(1000);
let server: WebDavServer | undefined;
afterEach(() => server?.close());

async function start(password?: string): Promise<string> {
  const source = new SyntheticSource();
  source.addArchive("arch ive", [
    { ...base, path: "d/<a>&b.txt", chunks: source.contents(text(contents), 777), size: contents.length },
    { ...base, path: Uint8Array.of(0x62, 0xff), chunks: source.contents(text("bytes")) },
    { ...base, path: "d/link", mode: S_IFLNK | 0o777, source: "../d/<a>&b.txt" },
    { ...base, path: "d/loop", mode: S_IFLNK | 0o777, source: "loop" },
    { ...base, path: "d/out", mode: S_IFLNK | 0o777, source: "/etc/passwd" },
    { ...base, path: "d/up", mode: S_IFLNK | 0o777, source: ".." },
    { ...base, path: "gone", chunks: [[new Uint8Array(32), 5, 5]] },
  ]);
  const fs = new FileSystem(source, { defaultUid: 0, defaultGid: 0, now: 1n });
  await fs.start();
  server = await serveWebDav(fs, { address: undefined, password });
  return server.url;
}

test("properties of a directory and what is in it", async () => {
  const url = await start("");
  const ask = async (path: string, depth: string) =>
    fetch(url + path, { method: "PROPFIND", headers: { Depth: depth }, body: "<propfind/>" });
  const root = await (await ask("", "1")).text();
  expect(root).toContain("<D:href>/arch%20ive/</D:href>");
  const d = await (await ask("arch%20ive/d", "1")).text();
  expect([...d.matchAll(/<D:href>(.*?)<\/D:href>/g)].map((m) => m[1])).toEqual([
    "/arch%20ive/d/",
    "/arch%20ive/d/%3Ca%3E%26b.txt",
    "/arch%20ive/d/link",
  ]);
  expect(d).toContain("<D:displayname>&#60;a&#62;&#38;b.txt</D:displayname>");
  expect(d).toContain("<D:getcontentlength>10000</D:getcontentlength>");
  expect((await ask("arch%20ive/d", "0")).status).toBe(207);
  expect((await ask("", "infinity")).status).toBe(403);
  expect((await ask("nothing", "0")).status).toBe(404);
  expect((await ask("arch%20ive/%2e%2e", "0")).status).toBeGreaterThanOrEqual(200);
});

test("whole files, ranges, conditions", async () => {
  const url = `${await start("")}arch%20ive/`;
  const file = `${url}d/%3Ca%3E%26b.txt`;
  const whole = await fetch(file);
  expect(await whole.text()).toBe(contents);
  const tag = whole.headers.get("etag")!;
  const range = async (r: string) => {
    const answer = await fetch(file, { headers: { Range: r } });
    return [answer.status, answer.headers.get("content-range"), (await answer.text()).length];
  };
  expect(await range("bytes=10-19")).toEqual([206, "bytes 10-19/10000", 10]);
  expect(await range("bytes=-5")).toEqual([206, "bytes 9995-9999/10000", 5]);
  expect(await range("bytes=9990-20000")).toEqual([206, "bytes 9990-9999/10000", 10]);
  expect(await range("bytes=10000-")).toEqual([416, "bytes */10000", 0]);
  expect(await range("bytes=1-2,5-6")).toEqual([200, null, 10000]);
  expect((await fetch(file, { headers: { "If-None-Match": tag } })).status).toBe(304);
  const head = await fetch(file, { method: "HEAD" });
  expect([head.status, head.headers.get("content-length")]).toEqual([200, "10000"]);
  expect(await (await fetch(`${url}d/link`)).text()).toBe(contents);
  expect(await (await fetch(`${url}b%FF`)).text()).toBe("bytes");
  for (const path of ["d/loop", "d/out", "d/up", "d/x", "../d"])
    expect((await fetch(url + path)).status).toBe(404);
  expect((await fetch(`${url}gone`)).status).toBe(500);
});

test("nothing can be changed", async () => {
  const url = await start("");
  for (const method of ["PUT", "DELETE", "MKCOL", "MOVE", "LOCK", "PROPPATCH", "POST"]) {
    expect((await fetch(url, { method })).status).toBe(405);
  }
});

test("the address is a secret, or there is a password; other names for this machine are refused", async () => {
  const secret = await start();
  expect((await fetch(secret)).status).toBe(200);
  const { origin, port } = new URL(secret);
  expect((await fetch(`${origin}/`)).status).toBe(404);
  expect((await fetch(`${origin}/${"0".repeat(24)}/`)).status).toBe(404);
  const status = await new Promise((resolve) => {
    request(
      { host: "127.0.0.1", port, path: new URL(secret).pathname, headers: { Host: "evil.example" } },
      (r) => {
        r.resume();
        resolve(r.statusCode);
      },
    ).end();
  });
  expect(status).toBe(403);
  await server?.close();
  const guarded = await start("pass word");
  expect((await fetch(guarded)).status).toBe(401);
  const authorization = `Basic ${Buffer.from("alcove:pass word").toString("base64")}`;
  expect((await fetch(guarded, { headers: { authorization } })).status).toBe(200);
});

test("addresses, ranges and markup", () => {
  expect(parseAddress(undefined)).toEqual({ host: "127.0.0.1", port: 0 });
  expect(parseAddress("8080")).toEqual({ host: "127.0.0.1", port: 8080 });
  expect(parseAddress("localhost:81")).toEqual({ host: "localhost", port: 81 });
  expect(parseAddress("[::1]:82")).toEqual({ host: "::1", port: 82 });
  for (const bad of ["a:b", "1:2:3", "localhost:99999", "[::1"]) expect(() => parseAddress(bad)).toThrow();
  expect(parseRange("bytes=5-1", 10)).toBe(undefined);
  expect(parseRange("bytes=-0", 10)).toBe("none");
  expect(xml("a\0b\udcff<")).toBe("a\ufffdb\ufffd&#60;");
});

// Asynchronous children: this process answers them.
async function run(
  command: string,
  args: string[],
  input = "",
): Promise<{ code: number | null; out: string }> {
  const { spawn } = await import("node:child_process");
  return new Promise((resolve) => {
    const child = spawn("timeout", ["20", command, ...args], { stdio: ["pipe", "pipe", "ignore"] });
    let out = "";
    child.stdout.on("data", (d) => {
      out += d;
    });
    child.on("close", (code) => resolve({ code, out }));
    // A program may end without reading its input: its exit code is what counts then.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

const has = (program: string) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;

test.skipIf(!has("cadaver"))("cadaver lists and fetches", async () => {
  const url = await start("");
  const directory = mkdtempSync(join(tmpdir(), "alcove-dav-"));
  const { out } = await run("cadaver", [url], `lcd ${directory}\ncd "arch ive/d"\nls\nget link\nquit\n`);
  expect(out).toContain("<a>&b.txt");
  expect(readFileSync(join(directory, "link"), "latin1")).toBe(contents);
  rmSync(directory, { recursive: true });
});

// davfs2 1.6.1 has 16 KiB for what the kernel asks of it, and recent kernels (6.18) ask for 32 KiB of a directory:
// listing fails with EINVAL on any server unless its buf_size is raised.
const davfs = process.getuid?.() === 0 && has("mount.davfs");
test.skipIf(!davfs)(
  "davfs2 mounts it: listings, contents, sizes, times",
  async () => {
    const url = await start("secret");
    const directory = mkdtempSync(join(tmpdir(), "alcove-dav-"));
    const mnt = join(directory, "mnt");
    mkdirSync(mnt);
    writeFileSync(join(directory, "conf"), "buf_size 64\nuse_locks 0\n");
    try {
      const options = `ro,conf=${join(directory, "conf")}`;
      const mounted = await run("mount.davfs", [url, mnt, "-o", options], "alcove\nsecret\n");
      expect(mounted.code).toBe(0);
      const found = await run("find", [
        mnt,
        "-mindepth",
        "1",
        "-not",
        "-name",
        "lost+found",
        "-printf",
        "%y %P\n",
      ]);
      expect(found.out.split("\n").sort()).toEqual(
        [
          "",
          "d arch ive",
          "d arch ive/d",
          "f arch ive/b\ufffd",
          "f arch ive/d/<a>&b.txt",
          "f arch ive/d/link",
          "f arch ive/gone",
        ].sort(),
      );
      const file = join(mnt, "arch ive", "d", "<a>&b.txt");
      expect((await run("cat", [file])).out).toBe(contents);
      expect((await run("stat", ["-c", "%s %Y", file])).out).toBe("10000 1600000000\n");
      expect((await run("cat", [join(mnt, "arch ive", "gone")])).code).toBe(1);
    } finally {
      await run("umount", ["-i", "-l", mnt]);
      rmSync(directory, { recursive: true, force: true });
    }
  },
  60_000,
);
