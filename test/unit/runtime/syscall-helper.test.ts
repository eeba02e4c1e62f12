// The process that makes system calls where the runtime cannot.
import { execFileSync } from "node:child_process";
import { lstatSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fsEncode } from "../../../src/runtime/index.ts";
import { nodePath } from "../../../src/runtime/pathbytes.ts";
import { type AttributeChange, SyscallHelper } from "../../../src/runtime/syscall-helper.ts";
import { findTool } from "../../../src/runtime/tools.ts";

const perl = findTool("perl");
const dir = mkdtempSync(join(tmpdir(), "alcove-helper-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const change = (path: string, more: Partial<AttributeChange>): AttributeChange => ({
  path,
  xattrs: [],
  times: undefined,
  flags: undefined,
  ...more,
});

describe.runIf(process.platform === "linux" && perl)("the helper", () => {
  let helper: SyscallHelper;
  beforeAll(() => {
    helper = SyscallHelper.start(perl!)!;
    expect(helper).toBeDefined();
  });

  it("sets and tells attributes of any bytes, for names of any bytes", () => {
    const path = join(dir, "odd \udcff 'name\n");
    writeFileSync(nodePath(path), "");
    const xattrs: [string, Uint8Array][] = [
      ["user.empty", new Uint8Array(0)],
      ["user.123", Buffer.from("42")],
      ["user.bytes", Uint8Array.from({ length: 256 }, (_, i) => i)],
      // More names than fit the first list that is asked for.
      ...Array.from({ length: 30 }, (_, i): [string, Uint8Array] => [
        `user.${"n".repeat(30)}${i}`,
        fsEncode(`${i}`),
      ]),
    ];
    expect(helper.write([change(path, { xattrs })])).toEqual([]);
    const found = helper.read([join(dir, "none"), path, dir])!;
    expect([...found.keys()]).toEqual([1]);
    const told = [...found.get(1)!.xattrs].map(([name, value]): [string, number[]] => [name, [...value]]);
    expect(told.sort()).toEqual(xattrs.map(([n, v]): [string, number[]] => [n, [...v]]).sort());
  });

  it("sets times to the nanosecond, of symlinks themselves, before 1970 too", () => {
    const [file, link] = [join(dir, "file"), join(dir, "link")];
    writeFileSync(file, "");
    symlinkSync("file", link);
    const times = { atime: 1_700_000_000_123_456_789n, mtime: -1n };
    const other = { atime: 1n, mtime: 2_000_000_000_999_999_999n };
    expect(helper.write([change(file, { times }), change(link, { times: other })])).toEqual([]);
    const of = (path: string) => lstatSync(path, { bigint: true });
    expect([of(file).atimeNs, of(file).mtimeNs]).toEqual([times.atime, times.mtime]);
    expect([of(link).atimeNs, of(link).mtimeNs]).toEqual([other.atime, other.mtime]);
  });

  it("says what could not be set, and goes on", () => {
    const file = join(dir, "last");
    writeFileSync(file, "");
    const times = { atime: 5n, mtime: 6n };
    const complaints = helper.write([
      change(join(dir, "gone"), { times, xattrs: [["user.a", new Uint8Array(1)]] }),
      change(file, { times, xattrs: [["nonsense", new Uint8Array(1)]] }),
    ])!;
    expect(complaints).toEqual([
      `${dir}/gone: user.a: No such file or directory`,
      `${dir}/gone: times: No such file or directory`,
      expect.stringMatching(/last: nonsense: Operation not supported$/),
    ]);
    expect(lstatSync(file, { bigint: true }).mtimeNs).toBe(6n);
  });

  it("answers many and long questions", () => {
    const paths = Array.from({ length: 20_000 }, (_, i) => join(dir, `${"x".repeat(60)}${i}`));
    expect(helper.read([...paths, join(dir, "odd \udcff 'name\n")])!.has(20_000)).toBe(true);
    expect(helper.read([])).toEqual(new Map());
    expect(helper.write([])).toEqual([]);
  });

  it("outlives Ctrl-C of the terminal, and its death is noticed", () => {
    const children = (): number[] =>
      execFileSync("pgrep", ["-P", String(process.pid), "perl"], { encoding: "utf8" })
        .trim()
        .split("\n")
        .map(Number);
    const [pid] = children();
    process.kill(pid!, "SIGINT");
    process.kill(pid!, "SIGTERM");
    expect(helper.read([dir])).toBeDefined();
    process.kill(pid!, "SIGKILL");
    expect(helper.read([dir])).toBeUndefined();
    expect(helper.write([change(dir, {})])).toBeUndefined();
  });

  it("is not there where it cannot be started", () => {
    expect(SyscallHelper.start("/bin/false")).toBeUndefined();
    expect(SyscallHelper.start(join(dir, "no-perl"))).toBeUndefined();
    expect(SyscallHelper.start("/bin/cat")).toBeUndefined();
  });
});
