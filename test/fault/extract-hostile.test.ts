// Archives made to do harm are extracted: nothing is written outside the target, what is refused is refused with
// Borg's warning and exit code (1, or the modern one), and what is honest in the same archive is still restored.
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { alcoveCommand, type Result, Sandbox } from "../support/programs.ts";
import { type Crafted, craft } from "./extract-craft.ts";

const DIR = 0o040755;
const LINK = 0o120777;
const isRoot = process.getuid?.() === 0;

let box: Sandbox;
let count = 0;
beforeAll(() => {
  box = new Sandbox();
  box.ok(box.alcove(["init", "-e", "none", "repo"]));
});
afterAll(() => box.remove());

interface Outcome {
  result: Result;
  modern: Result;
  target: string;
  outside: string;
  msgids: string[];
}

/** Extracts twice, with legacy and with modern exit codes, into out/target beside out/outside, which must not change. */
async function extract(
  items: (outside: string) => Crafted[],
  options: { args?: string[]; prepare?: (target: string, outside: string) => void; workers?: string } = {},
): Promise<Outcome> {
  const n = count++;
  const dir = box.path(`case${n}`);
  const outside = `${dir}/outside`;
  mkdirSync(outside, { recursive: true });
  writeFileSync(`${outside}/victim`, "victim");
  await craft(box.path("repo"), `a${n}`, items(outside), box.env);
  const run = (name: string, env: Record<string, string>): Result => {
    const target = `${dir}/${name}`;
    mkdirSync(target);
    options.prepare?.(target, outside);
    const args = ["--log-json", "extract", ...(options.args ?? []), `${box.path("repo")}::a${n}`];
    const workers = options.workers === undefined ? [] : ["--workers", options.workers];
    return box.alcove([...workers, ...args], { cwd: target, env, timeout: 60_000 });
  };
  const result = run("target", {});
  const modern = run("modern", { BORG_EXIT_CODES: "modern" });
  expect(readdirSync(outside)).toEqual(["victim"]);
  expect(readFileSync(`${outside}/victim`, "utf8")).toBe("victim");
  expect(readdirSync(dir).sort()).toEqual(["modern", "outside", "target"]);
  expect(result.stderr).not.toMatch(/\n\s+at /);
  const msgids = result.stderr
    .split("\n")
    .filter(Boolean)
    .map((line) => (JSON.parse(line) as { msgid?: string }).msgid)
    .filter((id): id is string => id !== undefined);
  return { result, modern, target: `${dir}/target`, outside, msgids };
}

const honest: Crafted = { path: "honest", content: ["kept"] };
const kept = (o: Outcome): void => expect(readFileSync(`${o.target}/honest`, "utf8")).toBe("kept");

function refused(o: Outcome, msgid: string, code: number): void {
  expect(o.msgids).toContain(msgid);
  expect([o.result.code, o.modern.code]).toEqual([1, code]);
  kept(o);
}

describe.each(["0", "2"])("with %s workers", (workers) => {
  it.each([
    ["above the target", "../escaped"],
    ["above it in the middle", "a/../../escaped"],
    ["dots at the end", "a/.."],
  ])("refuses a path %s", async (_what, path) => {
    refused(
      await extract(() => [{ path, content: ["x"] }, honest], { workers }),
      "BackupPathTraversalError",
      109,
    );
  });

  it("refuses an absolute path", async () => {
    const o = await extract((outside) => [{ path: `${outside}/absolute`, content: ["x"] }, honest], {
      workers,
    });
    refused(o, "BackupPathTraversalError", 109);
  });

  it("refuses everything below a symlink of the archive", async () => {
    const o = await extract(
      (outside) => [
        { path: "link", mode: LINK, source: outside },
        { path: "link/file", content: ["x"] },
        { path: "link/victim", content: ["x"] },
        { path: "link/dir", mode: DIR },
        { path: "link/sym", mode: LINK, source: "x" },
        { path: "link/fifo", mode: 0o010644 },
        { path: "link/deep/er", content: ["x"] },
        honest,
      ],
      { workers },
    );
    refused(o, "BackupSymlinkParentError", 108);
    expect(o.msgids.filter((m) => m === "BackupSymlinkParentError")).toHaveLength(6);
    expect(lstatSync(`${o.target}/link`).isSymbolicLink()).toBe(true);
  });

  it("refuses everything below a symlink that was there before", async () => {
    const o = await extract(() => [{ path: "link/file", content: ["x"] }, honest], {
      workers,
      prepare: (target, outside) => symlinkSync(outside, `${target}/link`),
    });
    refused(o, "BackupSymlinkParentError", 108);
  });

  it("refuses hard links through symlinks and to outside", async () => {
    const o = await extract(
      (outside) => [
        { path: "link", mode: LINK, source: outside },
        { path: "one", source: "link/victim" },
        { path: "two", source: "../outside/victim" },
        { path: "three", source: `${outside}/victim` },
        honest,
      ],
      { workers },
    );
    refused(o, "BackupHardlinkSourceError", 110);
    for (const name of ["one", "two", "three"]) expect(existsSync(`${o.target}/${name}`)).toBe(false);
    expect(lstatSync(`${o.outside}/victim`).nlink).toBe(1);
  });

  it("links a symlink itself, not what it leads to, and never writes through it", async () => {
    const o = await extract(
      (outside) => [
        { path: "link", mode: LINK, source: `${outside}/victim` },
        { path: "same", source: "link" },
        { path: "link", content: ["replaced"] },
        honest,
      ],
      { workers },
    );
    kept(o);
    expect(o.result.code).toBe(0);
    expect(readlinkSync(`${o.target}/same`)).toBe(`${o.outside}/victim`);
    expect(lstatSync(`${o.target}/link`).isFile()).toBe(true);
    expect(readFileSync(`${o.target}/link`, "utf8")).toBe("replaced");
  });

  it("keeps the last of several items on one path", async () => {
    const o = await extract(
      () => [
        { path: "x", content: ["first"] },
        { path: "x", content: ["second"] },
        { path: "./x", content: ["third"] },
        { path: "y", content: ["file"] },
        { path: "y", mode: DIR },
        { path: "y/inside", content: ["in"] },
        { path: "z", mode: DIR },
        { path: "z", content: ["file"] },
        { path: "full", mode: DIR },
        { path: "full/inside", content: ["in"] },
        { path: "full", content: ["file"] },
        honest,
      ],
      { workers },
    );
    kept(o);
    expect(readFileSync(`${o.target}/x`, "utf8")).toBe("third");
    expect(readFileSync(`${o.target}/y/inside`, "utf8")).toBe("in");
    expect(readFileSync(`${o.target}/z`, "utf8")).toBe("file");
    // As with Borg a directory with something in it stays.
    expect(readFileSync(`${o.target}/full/inside`, "utf8")).toBe("in");
    expect(o.result.code).toBe(1);
  });

  it("does not follow a directory that becomes a symlink", async () => {
    const o = await extract(
      (outside) => [
        { path: "d", mode: DIR },
        { path: "d", mode: LINK, source: outside },
        { path: "d/file", content: ["x"] },
        { path: "e", mode: DIR },
        { path: "e/first", content: ["x"] },
        { path: "e", mode: LINK, source: outside },
        { path: "e/second", content: ["y"] },
        honest,
      ],
      { workers },
    );
    expect(o.msgids).toContain("BackupSymlinkParentError");
    kept(o);
    expect(readFileSync(`${o.target}/e/second`, "utf8")).toBe("y");
  });

  it("takes sizes that are lies, and huge holes, without filling the disk", async () => {
    const zero = new Uint8Array(8 << 20);
    const o = await extract(
      () => [
        { path: "liar", content: ["abc"], size: 2 ** 50 },
        {
          path: "holes",
          content: [zero],
          size: 40 * zero.length,
          tamper: ([c]) => new Array(40).fill(c),
        },
        honest,
      ],
      { workers, args: ["--sparse"] },
    );
    kept(o);
    expect(o.result.code).toBe(1);
    expect(o.result.stderr).toContain("Size inconsistency");
    expect(readFileSync(`${o.target}/liar`, "utf8")).toBe("abc");
    const { size, blocks } = lstatSync(`${o.target}/holes`);
    expect(size).toBe(40 * zero.length);
    expect(blocks).toBeLessThan(64);
  });

  it("refuses a chunk that unpacks to more than any chunk may have", async () => {
    const o = await extract(() => [honest, { path: "bomb", content: [new Uint8Array(64 << 20)] }], {
      workers,
    });
    expect(o.result.code).toBe(2);
    expect(existsSync(`${o.target}/bomb`)).toBe(false);
  });

  it("makes devices for root only, and gives set-id bits to the right owner", async () => {
    const items: Crafted[] = [
      { path: "device", mode: 0o020666, rdev: (1 << 8) | 3 },
      { path: "setid", mode: 0o106755, uid: 1, gid: 2, content: ["#!"] },
      honest,
    ];
    if (isRoot) {
      const o = await extract(() => items, { workers });
      expect(o.result.code).toBe(0);
      expect(lstatSync(`${o.target}/device`).isCharacterDevice()).toBe(true);
      const { uid, gid, mode } = lstatSync(`${o.target}/setid`);
      expect([uid, gid, mode & 0o7777]).toEqual([1, 2, 0o6755]);
      return;
    }
    const o = await extract(() => items, { workers });
    expect(existsSync(`${o.target}/device`)).toBe(false);
    refused(o, "BackupPermissionError", 105);
  });
});

it.runIf(isRoot)(
  "as an ordinary user makes no device, no set-id file of another's, and goes on",
  async () => {
    const n = count++;
    await craft(
      box.path("repo"),
      `a${n}`,
      [
        { path: "device", mode: 0o060666, rdev: (8 << 8) | 1 },
        { path: "fifo", mode: 0o010600 },
        { path: "setid", mode: 0o106755, uid: 0, gid: 0, content: ["#!"] },
        honest,
      ],
      box.env,
    );
    const target = box.path(`case${n}`);
    mkdirSync(target);
    spawnSync("cp", ["-a", box.path("repo"), `${target}/repo`]);
    mkdirSync(`${target}/out`);
    spawnSync("chown", ["-R", "65534:65534", target]);
    chmodSync(box.dir, 0o755);
    const r = box.run(
      [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        ...alcoveCommand(),
        "extract",
        `../repo::a${n}`,
      ],
      {
        cwd: `${target}/out`,
        env: { HOME: target, BORG_BASE_DIR: `${target}/base`, BORG_EXIT_CODES: "modern" },
      },
    );
    expect(r.stderr).toContain("device");
    expect(r.code).toBe(105);
    expect(readdirSync(`${target}/out`).sort()).toEqual(["fifo", "honest", "setid"]);
    // As with borg, root's set-id program becomes one of whoever extracts it; never is it root's.
    const { uid, gid, mode } = lstatSync(`${target}/out/setid`);
    expect([uid, gid, mode & 0o7777]).toEqual([65534, 65534, 0o6755]);
    rmSync(target, { recursive: true });
  },
);

it.each(["the C library", "node:fs alone"])(
  "writes nothing outside while somebody swaps a directory for a symlink, by %s",
  async (by) => {
    const n = count++;
    const items: Crafted[] = [{ path: "d", mode: DIR }];
    for (let i = 0; i < 4000; i++) items.push({ path: `d/f${i}`, content: [`content ${i}`] });
    await craft(box.path("repo"), `a${n}`, items, box.env);
    const dir = box.path(`case${n}`);
    const [target, outside] = [`${dir}/target`, `${dir}/outside`];
    mkdirSync(outside, { recursive: true });
    mkdirSync(target);
    if (isRoot) chownSync(outside, 0, 0);
    const [program, ...args] = [...alcoveCommand(), "extract", `${box.path("repo")}::a${n}`];
    const env = {
      ...box.env,
      ...(by === "node:fs alone" ? { ALCOVE_FFI: "none" } : {}),
    } as NodeJS.ProcessEnv;
    const child = spawn(program!, args, { cwd: target, env, stdio: "ignore" });
    const ended = new Promise<void>((resolve) => child.on("exit", () => resolve()));
    let running = true;
    void ended.then(() => {
      running = false;
    });
    let swaps = 0;
    const d = `${target}/d`;
    while (running) {
      try {
        renameSync(d, `${target}/aside`);
        symlinkSync(outside, d);
        swaps++;
        rmSync(d);
        renameSync(`${target}/aside`, d);
      } catch {
        // Not there yet, or made anew meanwhile.
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    await ended;
    expect(swaps).toBeGreaterThan(0);
    expect(readdirSync(outside)).toEqual([]);
  },
  60_000,
);

it("shows control characters of names to no terminal", async () => {
  const n = count++;
  await craft(
    box.path("repo"),
    `a${n}`,
    [{ path: "evil\x1b]0;title\x07\r\x9b2J\nnext", content: ["x"] }, honest],
    box.env,
  );
  const target = box.path(`case${n}`);
  mkdirSync(target);
  const command = [...alcoveCommand(), "extract", "--list", `${box.path("repo")}::a${n}`];
  const script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
  const r = box.run(["python3", "-c", script, ...command], { cwd: target, input: "" });
  expect(r.stdout).toContain("evil");
  for (const control of ["\x1b", "\x07", "\x9b"]) expect(r.stdout).not.toContain(control);
  expect(r.stdout).toContain("honest");
});
