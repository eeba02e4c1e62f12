// What the files cache keeps of files without extended attributes (src/cache/bare-files.ts): attributes that come, go or
// change are in the next archive, whoever made it; borg reads such a cache and writes one without; a process that is shown
// fewer attributes does not speak for one that is shown all; and the file systems at hand keep ctime as it needs.
import { execFileSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { changeTimeTellsOfAttributes } from "../../src/archive/metadata-flags.ts";
import { fs, Stat, xattr } from "../../src/runtime/index.ts";
import { alcoveCommand, Sandbox } from "../support/programs.ts";

const FILES = 5000;
const box = new Sandbox();
const file = (name: string): string => box.path("tree", name);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Elsewhere nothing is said of such files, and everything else is as here. */
const KNOWN = changeTimeTellsOfAttributes(statSync(box.dir).dev, { path: box.dir }) ? FILES : 0;

beforeAll(async () => {
  for (let d = 0; d < 50; d++) {
    mkdirSync(file(`d${d}`), { recursive: true });
    for (let i = 0; i < FILES / 50; i++) writeFileSync(file(`d${d}/f${i}`), `${d} ${i}`);
  }
  await sleep(30);
  box.ok(box.alcove(["init", "-e", "repokey", "repo"]));
});
afterAll(() => box.remove());

let count = 0;
/** A backup in which nothing is told of single files; the newest file is another one each time. @returns its name */
async function backUp(options: string[] = [], how = alcoveCommand("node26")): Promise<string> {
  await sleep(30);
  writeFileSync(file("newest"), `${count}`);
  const name = `a${count++}`;
  box.ok(box.run([...how, "create", ...options, `repo::${name}`, "tree"]));
  return name;
}

/** Extended attributes and ACLs of an archive by path, as borg reads them. */
function attributes(name: string): Record<string, unknown> {
  const script = `
import sys, json
from borg.archiver import Archiver
from borg import archive, helpers
from borg.repository import Repository
from borg.logger import setup_logging
setup_logging()
with Repository(sys.argv[1]) as repository:
    manifest, key = helpers.Manifest.load(repository, helpers.Manifest.NO_OPERATION_CHECK)
    found = {}
    for item in archive.Archive(repository, key, manifest, sys.argv[2]).iter_items():
        own = {k.decode(): (v or b'').decode() for k, v in item.get('xattrs', {}).items()}
        if 'acl_access' in item: own['acl'] = item.acl_access.decode()
        if item.get('bsdflags'): own['flags'] = item.bsdflags
        if own: found[item.path] = own
    print(json.dumps(found))
`;
  const out = box.ok(box.run(["/usr/bin/python3", "-c", script, box.path("repo"), name])).stdout;
  return JSON.parse(out) as Record<string, unknown>;
}

/** Entries of the files cache that tell of a file without attributes, and all. */
function marks(): { bare: number; all: number } {
  const [cache] = readdirSync(box.path("base", ".cache", "borg")).filter((n) => n.length === 64);
  const bytes = readFileSync(box.path("base", ".cache", "borg", cache!, "files"));
  const script = `
import sys, msgpack
data = sys.stdin.buffer.read()
bare = all = 0
unpacker = msgpack.Unpacker(raw=True, strict_map_key=False)
unpacker.feed(data)
at = 0
for entry in unpacker:
    end = unpacker.tell()
    time = entry[1][3]
    bare += data[at:end].count(b'\\xd3' + time.to_bytes(8, 'big'))
    all += 1
    at = end
print(bare, all)
`;
  const out = execFileSync("/usr/bin/python3", ["-c", script], { input: bytes, encoding: "utf8" });
  const [bare, all] = out.trim().split(" ").map(Number);
  return { bare: bare!, all: all! };
}

it("attributes that come and go are in the next archive", { timeout: 120_000 }, async () => {
  expect(attributes(await backUp())).toEqual({});
  expect(marks()).toEqual({ bare: KNOWN, all: FILES });
  expect(attributes(await backUp())).toEqual({});
  execFileSync("setfattr", ["-n", "user.note", "-v", "one", file("d1/f1")]);
  execFileSync("setfacl", ["-m", "u:1:r", file("d2/f2")]);
  execFileSync("setfattr", ["-n", "security.note", "-v", "two", file("d3/f3")]);
  execFileSync("chattr", ["+d", file("d4/f4")]);
  expect(attributes(await backUp())).toEqual({
    "tree/d1/f1": { "user.note": "one" },
    "tree/d2/f2": { acl: "user::rw-\nuser:daemon:r--:1\ngroup::r--\nmask::r--\nother::r--" },
    "tree/d3/f3": { "security.note": "two" },
    "tree/d4/f4": { flags: 1 },
  });
  execFileSync("setfattr", ["-n", "user.note", "-v", "other", file("d1/f1")]);
  execFileSync("setfacl", ["-b", file("d2/f2")]);
  execFileSync("setfattr", ["-x", "security.note", file("d3/f3")]);
  execFileSync("chattr", ["-d", file("d4/f4")]);
  const after = { "tree/d1/f1": { "user.note": "other" } };
  expect(attributes(await backUp())).toEqual(after);
  // And stay as they are, whether all are told of, looked for or walked in this thread.
  for (const options of [["--list"], ["--workers", "0"], ["--files-cache", "ctime,size"]]) {
    expect(attributes(await backUp(options))).toEqual(after);
  }
  const without = await backUp(["--noxattrs", "--noacls"]);
  expect(attributes(without)).toEqual({});
  expect(attributes(await backUp())).toEqual(after);
});

it("borg finds every file unchanged, and what it writes is believed no more than it says", {
  timeout: 120_000,
}, async () => {
  await backUp();
  const { bare } = marks();
  expect(bare).toBeGreaterThan(KNOWN - 10);
  const told = box.ok(box.borg(["create", "--list", "--filter", "AM", `repo::borg${count++}`, "tree"]));
  expect(told.stderr.trim()).toBe("A tree/newest".replace("A", told.stderr[0]!));
  expect(marks().bare).toBe(0);
  execFileSync("setfattr", ["-n", "user.late", "-v", "x", file("d5/f5")]);
  const mine = attributes(await backUp());
  expect(mine).toMatchObject({ "tree/d5/f5": { "user.late": "x" } });
  expect(marks().bare).toBeGreaterThan(KNOWN - 10);
  expect(attributes(await backUp())).toEqual(mine);
});

it("who is not shown trusted attributes does not speak for who is", { timeout: 120_000 }, async () => {
  execFileSync("setfattr", ["-n", "trusted.note", "-v", "secret", file("d6/f6")]);
  await sleep(30);
  const less = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", ...alcoveCommand("node26")];
  // The cache is made anew by one that is not shown them: it finds none, and says so for itself.
  rmSync(box.path("base", ".cache"), { recursive: true });
  for (let i = 0; i < 2; i++) expect(attributes(await backUp([], less))["tree/d6/f6"]).toBeUndefined();
  expect(marks().bare).toBeGreaterThan(KNOWN - 10);
  for (let i = 0; i < 2; i++)
    expect(attributes(await backUp())["tree/d6/f6"]).toEqual({ "trusted.note": "secret" });
  // The other way round what was found by all is good for one who is shown fewer.
  expect(attributes(await backUp([], less))["tree/d6/f6"]).toBeUndefined();
  expect(attributes(await backUp())["tree/d6/f6"]).toEqual({ "trusted.note": "secret" });
});

it.each([tmpdir(), "/dev/shm", "."])("%s: ctime moves with attributes", async (place) => {
  if (!existsSync(place)) return;
  const dir = mkdtempSync(join(place, "alcove-ctime-"));
  try {
    const path = join(dir, "file");
    writeFileSync(path, "x");
    const { dev } = statSync(path);
    // Whatever is believed has to be so; what is not believed need not.
    if (!changeTimeTellsOfAttributes(dev, { path })) {
      expect([0xef53, 0x58465342, 0x9123683e]).not.toContain(Number(statfsSync(path).type));
      return;
    }
    const setFlags = (flags: number): void => {
      const fd = openSync(path, "r");
      try {
        xattr.setInodeFlags(fd, flags);
      } finally {
        closeSync(fd);
      }
    };
    const changes: [string, () => unknown][] = [
      ["user set", () => xattr.setXattr(path, "user.a", Uint8Array.of(1))],
      ["user replaced", () => xattr.setXattr(path, "user.a", Uint8Array.of(2))],
      ["user removed", () => xattr.removeXattr(path, "user.a")],
      ["trusted set", () => xattr.setXattr(path, "trusted.a", Uint8Array.of(1))],
      ["trusted removed", () => xattr.removeXattr(path, "trusted.a")],
      ["security set", () => xattr.setXattr(path, "security.a", Uint8Array.of(1))],
      ["security removed", () => xattr.removeXattr(path, "security.a")],
      ["capability set", () => execFileSync("setcap", ["cap_net_raw+ep", path])],
      ["capability removed", () => execFileSync("setcap", ["-r", path])],
      ["ACL set", () => execFileSync("setfacl", ["-m", "u:1:r", path])],
      ["ACL removed", () => execFileSync("setfacl", ["-b", path])],
      ["flag set", () => setFlags(0x40)],
      ["flag removed", () => setFlags(0)],
    ];
    const time = (): bigint => {
      const stat = fs.lstat(path, new Stat());
      return BigInt(stat.ctimeSec) * 1_000_000_000n + BigInt(stat.ctimeNsec);
    };
    for (const [what, change] of changes) {
      const before = time();
      await sleep(30);
      change();
      expect(time() > before, what).toBe(true);
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
});
