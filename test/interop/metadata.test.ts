// A tree with every kind of metadata is backed up and restored by Alcove and Alcove, Alcove and borg, borg and
// Alcove, as root and as an ordinary user, on every runtime; a judge in Python compares each field to the nanosecond.
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cleanTree, compareTrees, isRoot, makeTree, nobody, type User } from "../runtime/tree.ts";
import { alcoveCommand, type RuntimeLabel, Sandbox } from "../support/programs.ts";

type Program = "borg" | RuntimeLabel;

const box = new Sandbox();
const hasBorg = spawnSync("borg", ["--version"]).status === 0;
const labels: RuntimeLabel[] = (["node20", "node24", "node26", "deno", "bun"] as const).filter((l) => {
  const [first, second] = alcoveCommand(l);
  return existsSync(first!) && (second !== "run" || existsSync(first!));
});
let count = 0;

interface Place {
  name: string;
  user: User;
  dir: string;
}
const places: Place[] = [];

beforeAll(() => {
  chmodSync(box.dir, 0o755);
  for (const [name, user] of [
    [isRoot ? "root" : "user", {}],
    ...(isRoot ? ([["nobody", nobody]] as const) : []),
  ] as [string, User][]) {
    const dir = box.path(name);
    mkdirSync(dir);
    if (user.uid !== undefined) chownSync(dir, user.uid, user.gid!);
    makeTree(`${dir}/source`, { root: isRoot && user.uid === undefined, borg: true }, user);
    places.push({ name, user, dir });
  }
});
afterAll(() => cleanTree(box.dir));

function run(program: Program, place: Place, args: string[], cwd = place.dir, extra = {}): string {
  const command = program === "borg" ? ["borg"] : alcoveCommand(program);
  const drop =
    place.user.uid === undefined
      ? []
      : ["setpriv", `--reuid=${place.user.uid}`, `--regid=${place.user.gid}`, "--clear-groups"];
  const env = {
    HOME: place.dir,
    BORG_BASE_DIR: `${place.dir}/base`,
    DENO_DIR: `${place.dir}/deno`,
    ...extra,
  };
  return box.ok(box.run([...drop, ...command, ...args], { cwd, env })).stderr;
}

function mkdir(place: Place, dir: string): void {
  mkdirSync(dir);
  if (place.user.uid !== undefined) chownSync(dir, place.user.uid, place.user.gid!);
}

// Holes come back where whole chunks are zero: with small chunks all of them do.
const holes = ["--sparse", "--chunker-params", "fixed,4096"];

/** A new repository with the tree in it, made by one program. */
function save(saver: Program, place: Place): string {
  const repo = `repo${count++}`;
  run(saver, place, ["init", "-e", "none", repo]);
  expect(run(saver, place, ["create", "--atime", ...holes, `${repo}::a`, "source"])).toBe("");
  return repo;
}

/** Restores with the other; what differs. */
function restored(restorer: Program, place: Place, repo: string): string {
  const target = `${place.dir}/target${count++}`;
  mkdir(place, target);
  expect(run(restorer, place, ["extract", "--sparse", `../${repo}::a`], target)).toBe("");
  const differences = compareTrees(`${place.dir}/source`, `${target}/source`, [], place.user);
  if (differences === "") cleanTree(target);
  return differences;
}

const users = isRoot ? ["root", "nobody"] : ["user"];
const placeOf = (name: string): Place => places.find((p) => p.name === name)!;
/** The Node that runs the tests only where it is none of the others. */
const programs: RuntimeLabel[] = labels.length > 0 ? labels : ["node"];

// Every pair of programs, on every runtime, as each user: what one runtime saves it restores itself and borg does;
// what borg saves every runtime restores.
describe.each(users)("as %s", (user) => {
  let theirs: string;
  beforeAll(() => {
    if (hasBorg) theirs = save("borg", placeOf(user));
  }, 60_000);

  it.each(programs)(
    "%s to itself and to borg",
    (label) => {
      const place = placeOf(user);
      const repo = save(label, place);
      expect(restored(label, place, repo)).toBe("");
      if (hasBorg) expect(restored("borg", place, repo)).toBe("");
    },
    90_000,
  );

  it.runIf(hasBorg).each(programs)(
    "borg to %s",
    (label) => {
      expect(restored(label, placeOf(user), theirs)).toBe("");
    },
    60_000,
  );
});

const tools = ["getfattr", "setfattr", "lsattr", "chattr"].every((t) => spawnSync("which", [t]).status === 0);
const LONG = process.env["ALCOVE_LONG"] === "1";
const withoutFfi = programs.filter((l, i) => l !== "deno" && (LONG || i === 0 || l === "bun"));

// Deno's file functions know no names that are not UTF-8: without FFI it says so, and the rest is for the others.
describe.runIf(tools).each(users)("without FFI, as %s", (user) => {
  // Node asks Perl, if it may.
  it.each(
    withoutFfi.flatMap(
      (l) =>
        (l === "bun"
          ? [[l, "none"]]
          : [
              [l, "perl"],
              [l, "none"],
            ]) as [typeof l, string][],
    ),
  )(
    "%s to itself and to borg, helper: %s",
    (label, helper) => {
      const place = placeOf(user);
      const none = { ALCOVE_FFI: "none", ALCOVE_HELPER: helper };
      const [repo, target] = [`repo${count++}`, `${place.dir}/target${count++}`];
      mkdir(place, target);
      run(label, place, ["init", "-e", "none", repo], place.dir, none);
      expect(
        run(label, place, ["create", "--atime", ...holes, `${repo}::a`, "source"], place.dir, none),
      ).toBe("");
      expect(run(label, place, ["extract", "--sparse", `../${repo}::a`], target, none)).toBe("");
      // Reading a directory without O_NOATIME is seen in the source.
      expect(compareTrees(`${place.dir}/source`, `${target}/source`, ["atime"], place.user)).toBe("");
      cleanTree(target);
      if (!hasBorg) return;
      mkdir(place, target);
      expect(run("borg", place, ["extract", "--sparse", `../${repo}::a`], target)).toBe("");
      expect(compareTrees(`${place.dir}/source`, `${target}/source`, ["atime"], place.user)).toBe("");
      cleanTree(target);
    },
    90_000,
  );
});

describe("options", () => {
  const source = (): Place => placeOf(users[0]!);
  const names = (out: string): string[] => out.split("\n").filter(Boolean);

  it.runIf(hasBorg)(
    "--noacls --noxattrs --noflags --numeric-ids as borg, saving and restoring",
    () => {
      const place = source();
      const n = count++;
      run("borg", place, ["init", "-e", "none", `repo${n}`]);
      const options = ["--noacls", "--noxattrs", "--noflags", "--numeric-ids"];
      run("node", place, ["create", "--atime", `repo${n}::full`, "source"]);
      run("node", place, ["create", "--atime", ...options, `repo${n}::bare`, "source"]);
      run("borg", place, ["create", "--atime", ...options, `repo${n}::theirs`, "source"]);
      const targets: string[] = [];
      for (const [program, archive, extra] of [
        ["node", "bare", []],
        ["borg", "theirs", []],
        ["node", "full", options],
        ["borg", "full", options],
        ["node", "theirs", ["--numeric-ids"]],
      ] as [Program, string, string[]][]) {
        const target = `${place.dir}/target${count++}`;
        mkdir(place, target);
        run(program, place, ["extract", "--sparse", ...extra, `../repo${n}::${archive}`], target);
        targets.push(`${target}/source`);
      }
      for (const other of targets.slice(1)) expect(compareTrees(targets[0]!, other)).toBe("");
      expect(compareTrees(`${place.dir}/source`, targets[0]!)).toContain("xattrs");
    },
    120_000,
  );

  it.runIf(hasBorg)(
    "--exclude-nodump leaves out what borg leaves out",
    () => {
      const place = source();
      const n = count++;
      run("borg", place, ["init", "-e", "none", `repo${n}`]);
      run("node", place, ["create", "--exclude-nodump", `repo${n}::ours`, "source"]);
      run("borg", place, ["create", "--exclude-nodump", `repo${n}::theirs`, "source"]);
      const list = (archive: string): string[] => {
        const env = { BORG_BASE_DIR: `${place.dir}/base` };
        const r = box.ok(box.borg(["list", "--short", `repo${n}::${archive}`], { cwd: place.dir, env }));
        return names(r.stdout);
      };
      const ours = list("ours");
      expect(ours).toEqual(list("theirs"));
      expect(ours.filter((p) => p.includes("nodump"))).toEqual([]);
    },
    60_000,
  );

  it.runIf(hasBorg)(
    "--sparse cuts the chunks that borg cuts, and leaves the holes that borg leaves",
    () => {
      const place = source();
      const [repo, dir] = [`repo${count++}`, `${place.dir}/holes`];
      mkdirSync(dir);
      const script = `set -e
truncate -s 9M hole; truncate -s 0 empty
truncate -s 20M islands; for at in 0 1 4096 4097 9000; do printf island | dd of=islands bs=1k seek=$at conv=notrunc; done
truncate -s 70000 short; printf end | dd of=short bs=1k seek=67 conv=notrunc; truncate -s 50000 small
head -c 3000000 /dev/zero > zeros; head -c 300000 /dev/urandom > full; truncate -s 6000001 full`;
      box.ok(box.run(["sh", "-c", script], { cwd: dir }));
      run("borg", place, ["init", "-e", "none", repo]);
      const env = { BORG_BASE_DIR: `${place.dir}/base` };
      const chunks = (archive: string): unknown => {
        const r = box.borg(["debug", "dump-archive", `${repo}::${archive}`, "-"], { cwd: place.dir, env });
        const { _items } = JSON.parse(box.ok(r).stdout) as { _items: Record<string, unknown>[] };
        return _items.map(({ path, size, chunks }) => ({ path, size, chunks }));
      };
      for (const [n, [params, ...sparse]] of [
        ["fixed,4096", "--sparse"],
        ["fixed,65536,4096", "--sparse"],
        ["fixed,1048576", "--sparse"],
        ["fixed,8192,100000", "--sparse"],
        ["fixed,8192,100000"],
        ["10,16,14,4095", "--sparse"],
      ].entries()) {
        const options = ["--files-cache", "disabled", "--chunker-params", params!, ...sparse];
        const workers = ["--workers", n % 2 ? "0" : "2"];
        run("node", place, [...workers, "create", ...options, `${repo}::ours${n}`, "holes"]);
        run("borg", place, ["create", ...options, `${repo}::theirs${n}`, "holes"]);
        expect(chunks(`ours${n}`), `${params} ${sparse}`).toEqual(chunks(`theirs${n}`));
      }
      const names = ["hole", "empty", "islands", "zeros", "full", "short", "small"];
      const blocks = (program: Program, sparse: string[]): number[] => {
        const target = `${place.dir}/target${count++}`;
        mkdir(place, target);
        run(program, place, ["extract", ...sparse, `../${repo}::ours0`], target);
        expect(compareTrees(dir, `${target}/holes`, ["holes", "atime"])).toBe("");
        return names.map((f) => lstatSync(`${target}/holes/${f}`).blocks);
      };
      const sparse = blocks("node", ["--sparse"]);
      expect(sparse).toEqual(blocks("borg", ["--sparse"]));
      // A hole is one whether it was one or only zeros.
      expect(sparse.slice(0, 2)).toEqual([0, 0]);
      expect(sparse[3]).toBeLessThan(100);
      const plain = blocks("node", []);
      expect(plain).toEqual(blocks("borg", []));
      expect(plain[0]).toBeGreaterThanOrEqual((9 << 20) / 512);
      rmSync(dir, { recursive: true });
    },
    120_000,
  );

  const readers = programs.filter((l) => LONG || (l !== "node20" && l !== "node24"));
  it.each([...readers, ...(hasBorg ? (["borg"] as const) : [])])(
    "--read-special: %s reads what is in a fifo, also behind a symlink, and keeps other symlinks",
    (program) => {
      const place = source();
      const [repo, dir, target] = [
        `repo${count++}`,
        `${place.dir}/special${count++}`,
        `${place.dir}/target${count++}`,
      ];
      const outside = `${dir}.fifo`;
      for (const d of [dir, target]) mkdir(place, d);
      box.ok(
        box.run(
          ["sh", "-c", 'mkfifo -m 640 pipe "$0"; ln -s "$0" link; ln -s /etc dir; echo x > file', outside],
          {
            cwd: dir,
          },
        ),
      );
      run("node", place, ["init", "-e", "none", repo]);
      const command = program === "borg" ? ["borg"] : alcoveCommand(program);
      // Whoever opens a fifo for writing waits until somebody reads.
      const script = `seq 1 300000 > pipe & seq 1 70000 > '${outside}' & cd .. && "$@"; wait`;
      const words = [...command, "create", "--read-special", `${repo}::a`, dir.slice(place.dir.length + 1)];
      const env = { BORG_BASE_DIR: `${place.dir}/base`, HOME: place.dir, DENO_DIR: `${place.dir}/deno` };
      box.ok(box.run(["timeout", "60", "bash", "-c", script, "bash", ...words], { cwd: dir, env }));
      run("node", place, ["extract", `../${repo}::a`], target);
      const found = `${target}/${dir.slice(place.dir.length + 1)}`;
      const lines = (n: number): string => Array.from({ length: n }, (_, i) => `${i + 1}\n`).join("");
      for (const [name, n] of [
        ["pipe", 300_000],
        ["link", 70_000],
      ] as const) {
        const st = lstatSync(`${found}/${name}`);
        expect([name, st.isFile(), st.mode & 0o777]).toEqual([name, true, 0o640]);
        expect(readFileSync(`${found}/${name}`, "latin1") === lines(n), name).toBe(true);
      }
      expect(readlinkSync(`${found}/dir`)).toBe("/etc");
      expect(readFileSync(`${found}/file`, "latin1")).toBe("x\n");
    },
    90_000,
  );

  it.runIf(hasBorg)(
    "visits the tree in borg's order, with FFI and without",
    () => {
      const place = source();
      const repo = `repo${count++}`;
      run("borg", place, ["init", "-e", "none", repo]);
      run("borg", place, ["create", `${repo}::borg`, "source"]);
      run("node", place, ["create", `${repo}::ffi`, "source"]);
      const env = { BORG_BASE_DIR: `${place.dir}/base`, ALCOVE_FFI: "none" };
      box.ok(box.run([...alcoveCommand(), "create", `${repo}::none`, "source"], { cwd: place.dir, env }));
      const order = (archive: string): string[] =>
        names(box.ok(box.alcove(["list", "--short", `${repo}::${archive}`], { cwd: place.dir, env })).stdout);
      const theirs = order("borg");
      expect(theirs.length).toBeGreaterThan(80);
      expect(order("ffi")).toEqual(theirs);
      // Hard links have one number: node:fs gives them by name, the kernel as they come.
      const single = (list: string[]): string[] => list.filter((p) => !/hard-[ab]$/.test(p));
      expect(single(order("none"))).toEqual(single(theirs));
    },
    60_000,
  );

  it.each(["0", "2"])(
    "tells of a file that changes while it is read, with %s workers",
    (workers) => {
      const place = source();
      const n = count++;
      const dir = `${place.dir}/changing${n}`;
      mkdirSync(dir);
      writeFileSync(`${dir}/log`, Buffer.alloc(96 << 20, "line\n"));
      run("node", place, ["init", "-e", "none", `repo${n}`]);
      const script = `import os, sys, time
while os.path.exists(sys.argv[1]):
    with open(sys.argv[1], "ab") as f: f.write(b"more")
    time.sleep(0.002)`;
      const writer = spawn("python3", ["-c", script, `${dir}/log`], { stdio: "ignore" });
      try {
        const command = [...alcoveCommand(), "--workers", workers, "create", "--list", `repo${n}::a`, dir];
        const env = { BORG_BASE_DIR: `${place.dir}/base`, BORG_EXIT_CODES: "modern" };
        const r = box.run(command, { cwd: place.dir, env });
        expect(r.stderr).toMatch(/^C .*log$/m);
        expect(r.code).toBe(100);
      } finally {
        writer.kill();
        rmSync(dir, { recursive: true });
      }
    },
    60_000,
  );
});
