// Faults of the system around the program: a disk that really fills up, too few file descriptors, sources that change
// under the reader, a clock that jumps back. Nothing committed is lost, the message says what is wrong, the next run works.
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { openManifest } from "../../src/archive/session.ts";
import { alcoveCommand, Sandbox } from "../support/programs.ts";
import { randomBytes } from "../support/tree.ts";
import { World } from "./world.ts";

const box = new Sandbox();
afterAll(() => box.remove());
const STACK = /^\s+at .*:\d+:\d+/m;

describe.runIf(process.platform === "linux" && process.getuid?.() === 0)("a full file system", () => {
  const mount = box.path("small");
  const repository = join(mount, "repo");
  let mounted = false;
  beforeAll(() => {
    mkdirSync(mount);
    mkdirSync(box.path("src"));
    for (let i = 0; i < 40; i++) writeFileSync(box.path("src", `f${i}`), randomBytes(150_000, i));
    // Containers may forbid it.
    mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=10m", "tmpfs", mount]).status === 0;
  });
  afterAll(() => {
    if (mounted) spawnSync("umount", [mount]);
  });

  it("is told, loses nothing, and the next run works", ({ skip }) => {
    if (!mounted) skip();
    box.ok(box.alcove(["init", "-e", "repokey", repository]));
    box.ok(box.alcove(["create", `${repository}::first`, "src"]));
    for (let i = 0; i < 60; i++) writeFileSync(box.path("src", `g${i}`), randomBytes(150_000, 1000 + i));
    const failed = box.alcove(["create", `${repository}::second`, "src"]);
    expect(failed.code).toBe(2);
    expect(failed.stderr).toMatch(/no space left|not enough free space/i);
    expect(failed.stderr).not.toMatch(STACK);
    // Reading works with the disk as full as it is left.
    expect(box.ok(box.alcove(["list", "--short", repository])).stdout).toBe("first\n");
    box.ok(box.alcove(["extract", "--dry-run", `${repository}::first`]));
    for (let i = 0; i < 55; i++) unlinkSync(box.path("src", `g${i}`));
    box.ok(box.alcove(["create", `${repository}::third`, "src"]));
    box.ok(box.borg(["check", "--verify-data", repository]));
    expect(box.ok(box.borg(["list", "--short", repository])).stdout).toBe("first\nthird\n");
  });

  it("in the cache's place is told as well", ({ skip }) => {
    if (!mounted) skip();
    const env = { BORG_CACHE_DIR: join(mount, "cache") };
    rmSync(repository, { recursive: true });
    box.ok(box.alcove(["init", "-e", "none", "elsewhere"], { env }));
    writeFileSync(join(mount, "filler"), Buffer.alloc(9_500_000, 1));
    spawnSync("sh", ["-c", `cat /dev/zero > ${join(mount, "rest")} 2>/dev/null`]);
    const failed = box.alcove(["create", "elsewhere::a", "src"], { env });
    expect(failed.code).toBe(2);
    expect(failed.stderr).toMatch(/no space left/i);
    expect(failed.stderr).not.toMatch(STACK);
    unlinkSync(join(mount, "rest"));
    unlinkSync(join(mount, "filler"));
    // Whether the archive was committed before the cache failed is open; that it is whole is not.
    box.ok(box.alcove(["create", "elsewhere::b", "src"], { env }));
    box.ok(box.borg(["check", "--verify-data", "elsewhere"], { env }));
  });
});

describe("few file descriptors", () => {
  it("end in a message, or in a whole archive", () => {
    mkdirSync(box.path("many"), { recursive: true });
    for (let i = 0; i < 50; i++) writeFileSync(box.path("many", `${i}`), `${i}`);
    box.ok(box.alcove(["init", "-e", "none", "few"]));
    for (const limit of [20, 24, 32, 64]) {
      const command = [...alcoveCommand(), "create", `few::l${limit}`, "many"].map((w) => `'${w}'`).join(" ");
      const r = box.run(["bash", "-c", `ulimit -n ${limit}; exec ${command}`]);
      // Node itself may be unable to start with so few: then it is not our message, and nothing was touched.
      if (r.code === 0) box.ok(box.borg(["extract", "--dry-run", `few::l${limit}`]));
      else if (!/node::|libuv|uv_/.test(r.stderr)) expect(r.stderr).not.toMatch(STACK);
    }
    box.ok(box.alcove(["create", "few::after", "many"]));
    box.ok(box.borg(["check", "few"]));
  });
});

describe("in process", () => {
  const base = box.path("world", "base");
  const world = new World(base, "secret");
  beforeAll(async () => {
    mkdirSync(base, { recursive: true });
    await world.open(async () => {}, true);
    await world.init("repokey");
  });

  it("a clock that jumps back does not take the manifest's timestamp with it", async () => {
    const stamp = () =>
      world.open(async ({ repository, environment }) => {
        const m = await openManifest(repository, environment, { operations: ["read"] });
        return m.timestamp!;
      });
    mkdirSync(box.path("clock"));
    writeFileSync(box.path("clock", "file"), "x");
    const before = await stamp();
    vi.useFakeTimers({ toFake: ["Date"], now: new Date("2001-01-01T00:00:00Z") });
    try {
      await world.create("past", [box.path("clock")]);
      expect((await stamp()) > before).toBe(true);
    } finally {
      vi.useRealTimers();
    }
    expect(await world.cacheErrors()).toEqual([]);
  });

  it.each(["shrinks", "grows", "vanishes", "becomes a FIFO", "becomes a directory"])(
    "a source that %s between its stat and its reading",
    async (what) => {
      const dir = box.path(`race-${what.replaceAll(" ", "-")}`);
      mkdirSync(dir);
      for (const name of ["a", "b", "c"])
        writeFileSync(join(dir, name), randomBytes(100_000, name.charCodeAt(0)));
      const victim = join(dir, "b");
      const change = () => {
        if (what === "shrinks") return writeFileSync(victim, "now short");
        if (what === "grows") return writeFileSync(victim, randomBytes(300_000, 9));
        unlinkSync(victim);
        if (what === "becomes a FIFO") spawnSync("mkfifo", [victim]);
        if (what === "becomes a directory") mkdirSync(victim);
      };
      const warnings: string[] = [];
      await world.create(`race ${what}`, [dir], {
        onWarning: (w) => warnings.push(w.msgid),
        beforeRead: change,
      });
      const archives = await world.archives();
      expect(archives.has(`race ${what}`)).toBe(true);
      expect(await world.cacheErrors()).toEqual([]);
      if (what === "vanishes") expect(warnings).toEqual(["BackupFileNotFoundError"]);
      if (what.startsWith("becomes")) expect(warnings).toEqual(["BackupRaceConditionError"]);
    },
  );
});
