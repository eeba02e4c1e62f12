// ACL texts against real Borg (its acl_get and acl_set, which are libacl's), over random ACLs on real files.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  ACL_ACCESS_XATTR,
  ACL_DEFAULT_XATTR,
  type AclEntry,
  aclFromMode,
  aclFromText,
  aclToText,
  formatAclXattr,
  parseAclXattr,
} from "../../../src/archive/acl.ts";
import { MetadataCollector } from "../../../src/archive/metadata-capture.ts";
import { MetadataRestorer } from "../../../src/archive/metadata-restore.ts";
import { fs, xattr } from "../../../src/runtime/index.ts";
import { hasBorgModules } from "../../runtime/tree.ts";

const text = (s: string) => new TextEncoder().encode(s);
const string = (b: Uint8Array | undefined) => b && new TextDecoder().decode(b);
const work = mkdtempSync(path.join(os.tmpdir(), "alcove-acl-"));
afterAll(() => rmSync(work, { recursive: true }));

let seed = 42;
const random = (n: number) => {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return (seed >>> 8) % n;
};

function randomAcl(): AclEntry[] {
  const ids = [0, 1, 2, 3, 4, 12, 1000, 12345, 65534, 4294967294];
  const entries: AclEntry[] = [
    { tag: 1, perm: random(8), id: 0xffffffff },
    { tag: 4, perm: random(8), id: 0xffffffff },
    { tag: 32, perm: random(8), id: 0xffffffff },
  ];
  for (const tag of [2, 8])
    for (const id of ids) if (random(5) === 0) entries.push({ tag, perm: random(8), id });
  if (entries.length > 3 || random(2) === 0) entries.push({ tag: 16, perm: random(8), id: 0xffffffff });
  return entries;
}

describe.runIf(hasBorgModules())("against Borg", () => {
  it("captures the same texts, and restores what Borg restores", () => {
    const files: string[] = [];
    for (let i = 0; i < 120; i++) {
      const file = path.join(work, `f${i}`);
      if (i % 3 === 0) mkdirSync(file);
      else writeFileSync(file, "");
      if (i % 5 !== 4) xattr.setXattr(file, ACL_ACCESS_XATTR, formatAclXattr(randomAcl()));
      if (i % 6 === 0) xattr.setXattr(file, ACL_DEFAULT_XATTR, formatAclXattr(randomAcl()));
      files.push(file);
    }
    const program = `
import sys, os, json
from borg.platform import acl_get, acl_set
out = []
for name in sys.stdin.read().split():
    st = os.lstat(name)
    for numeric in (False, True):
        item = {}
        acl_get(name, item, st, numeric)
        copy = name + '.copy'
        (os.mkdir if os.path.isdir(name) else lambda p: open(p, 'w').close())(copy)
        os.chmod(copy, st.st_mode)
        from borg.item import Item
        acl_set(copy, Item(path='x', mode=st.st_mode, **item), numeric)
        kept = {}
        for x in os.listxattr(copy): kept[x] = os.getxattr(copy, x).hex()
        os.rmdir(copy) if os.path.isdir(copy) else os.unlink(copy)
        out.append([{k: v.decode() for k, v in item.items()}, kept])
json.dump(out, sys.stdout)`;
    const answer = execFileSync("/usr/bin/python3", ["-c", program], {
      input: files.join("\n"),
      encoding: "utf8",
    });
    const theirs = JSON.parse(answer) as [Record<string, string>, Record<string, string>][];
    const problems: unknown[] = [];
    files.forEach((file, i) => {
      [false, true].forEach((numericIds, k) => {
        const [expected, kept] = theirs[2 * i + k]!;
        const stat = fs.lstat(file);
        const { acl_access, acl_default } = new MetadataCollector({ numericIds }).statExtAttrs(stat, file);
        expect({ file, acl_access: string(acl_access), acl_default: string(acl_default) }).toEqual({
          file,
          acl_access: expected["acl_access"],
          acl_default: expected["acl_default"],
        });
        const copy = `${file}.copy`;
        if (i % 3 === 0) mkdirSync(copy);
        else writeFileSync(copy, "");
        const { mode, uid, gid } = stat;
        const item = {
          path: "x",
          mode,
          uid,
          gid,
          ...(acl_access && { acl_access }),
          ...(acl_default && { acl_default }),
        };
        new MetadataRestorer({ numericIds, onProblem: (p) => problems.push(p) }).restoreAttrs(
          { path: copy },
          item,
        );
        const names = xattr.listXattrs(copy);
        const ours = Object.fromEntries(
          names.map((n) => [n, Buffer.from(xattr.getXattr(copy, n)!).toString("hex")]),
        );
        expect({ file, ...ours }).toEqual({ file, ...kept });
        rmSync(copy, { recursive: true });
      });
    });
    expect(problems).toEqual([]);
  });
});

describe("the text", () => {
  it("falls back to the stored id for a name that is unknown here", () => {
    expect(aclFromText(text("user:nobody-like-this:rw-:4711"), false)).toEqual([
      { tag: 2, perm: 6, id: 4711 },
    ]);
    expect(aclFromText(text("user:daemon:r--:4711"), true)).toEqual([{ tag: 2, perm: 4, id: 4711 }]);
    expect(aclFromText(text("user:daemon:r--:4711"), false)).toEqual([{ tag: 2, perm: 4, id: 1 }]);
    expect(aclFromText(text("g:4711:r-x\t"), false)).toEqual([{ tag: 8, perm: 5, id: 4711 }]);
  });

  it("refuses what is none", () => {
    for (const bad of [
      "user:nobody-like-this:rw-",
      "user::rwq",
      "friend::r--",
      "user:x:rw-:-1",
      "user:x:rw-:99999999999",
    ]) {
      expect(() => aclFromText(text(bad), false), bad).toThrow(RangeError);
    }
    for (const bad of ["", "01000000", "02000000ff", "020000000300070000000000"]) {
      expect(() => parseAclXattr(Buffer.from(bad, "hex")), bad).toThrow(RangeError);
    }
  });

  it("says what the mode says where there is no ACL", () => {
    expect(string(aclToText(aclFromMode(0o100751), false))).toBe("user::rwx\ngroup::r-x\nother::--x");
  });
});
