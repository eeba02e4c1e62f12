// The FUSE mount and its WebDAV form over repositories that real borg has written, judged by diff, rsync, tar and
// find. Needs /dev/fuse and root, as CI has; the runs as an ordinary user need a world-accessible /dev/fuse.
// Whatever happens, the mount is detached at the end: a test that dies must not leave anything that hangs.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { alcoveCommand, type RuntimeLabel, root, Sandbox } from "../support/programs.ts";

function usable(): boolean {
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
  } catch {
    return false;
  }
  return process.getuid?.() === 0 && spawnSync("borg", ["--version"]).status === 0;
}

const labels: RuntimeLabel[] = (["node", "node20", "node26", "deno", "bun"] as RuntimeLabel[]).filter(
  (label) => existsSync(alcoveCommand(label)[0]!),
);
const user = spawnSync("id", ["-u", "nobody"]).status === 0 ? "nobody" : undefined;

describe.skipIf(!usable())("mount", () => {
  const box = new Sandbox();
  const mnt = box.path("mnt");
  let program = "";
  const children: ChildProcess[] = [];

  /** The built program as the runtime starts it: made from the sources that are here, whatever dist/ holds. */
  const alcove = (label: RuntimeLabel, args: readonly string[]): string[] => [
    ...alcoveCommand(label).slice(0, -1),
    program,
    ...args,
  ];
  const sh = (script: string, env: Record<string, string> = {}) =>
    box.ok(box.run(["bash", "-c", script], { timeout: 60_000, env })).stdout;
  const detach = () => spawnSync("umount", ["-l", mnt], { timeout: 10_000 });
  const waitFor = async (what: () => boolean) => {
    for (let i = 0; i < 200 && !what(); i++) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(what()).toBe(true);
  };
  const mounted = () => readFileSync("/proc/self/mounts", "utf8").includes(` ${mnt} fuse`);

  beforeAll(async () => {
    mkdirSync(mnt);
    const entry = box.path("entry.ts");
    writeFileSync(
      entry,
      `import { loaders } from ${JSON.stringify(join(root, "cli/commands/index.ts"))};
(loaders as any).mount ??= () => import(${JSON.stringify(join(root, "cli/commands/mount.ts"))});
const { main } = await import(${JSON.stringify(join(root, "cli/process.ts"))});
await main();
`,
    );
    program = box.path("alcove.mjs");
    await build({
      entryPoints: [entry],
      outfile: program,
      bundle: true,
      format: "esm",
      platform: "node",
      external: ["koffi", "bun:ffi", "node:ffi"],
      define: { __ALCOVE_VERSION__: '"0.0.0"' },
      banner: {
        js: 'import { createRequire as __c } from "node:module"; const require = __c(import.meta.url);',
      },
      logLevel: "error",
    });
    sh(`set -e
      ln -s ${root}/node_modules node_modules
      mkdir -p src/d/e src/many; cd src
      head -c 5000000 /dev/urandom > big; ln big d/link; ln -s ../big d/sym; ln -s /nowhere d/out
      mknod d/dev c 300 70000; mkfifo d/fifo; : > empty; chmod 4755 big
      for i in $(seq 400); do echo $i > many/f$i; done
      printf x > "d/$(printf 'b\\xffd')"; touch -d '1971-05-05 05:05:05.123456789' d/e; chown 1234:2345 many
      setfattr -n user.x -v y empty; setfacl -m u:1:r many/f1 || true
      cd ..; borg init -e repokey repo 2>/dev/null; cd src; borg create ../repo::one . ; echo more > more; borg create ../repo::two .; rm more`);
    chmodSync(box.dir, 0o755);
  });
  afterEach(() => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
    while (mounted() && detach().status === 0);
  });
  afterAll(() => {
    detach();
    box.remove();
  });

  /** Everything that tools can see of a tree but inode numbers, and sizes of directories. */
  const seen = (directory: string) =>
    sh(
      `cd ${directory} && find . -mindepth 1 \\( -type d -printf '%P %y %m %U %G %T@\\n' \\) -o -printf '%P %y %m %n %U %G %s %T@ %l\\n' | sort`,
    );
  const tarOf = (directory: string) =>
    sh(`cd ${directory} && tar c --sort=name --numeric-owner * | sha256sum`);

  for (const label of labels) {
    test(`${label}: the tree is the one that was backed up`, async () => {
      box.ok(box.run(alcove(label, ["mount", "repo", mnt]), { timeout: 60_000 }));
      expect(readFileSync("/proc/self/mounts", "utf8")).toMatch(/^borgfs \S+ fuse ro,nosuid,nodev/m);
      expect(sh(`ls ${mnt}`)).toBe("one\ntwo\n");
      expect(seen(`${mnt}/one`)).toBe(seen(box.path("src")));
      expect(tarOf(`${mnt}/one`)).toBe(tarOf(box.path("src")));
      expect(sh(`diff -r --no-dereference -x fifo -x dev src ${mnt}/one && echo same`)).toBe("same\n");
      expect(
        sh(`rsync -aHAXn --checksum --delete -i src/ ${mnt}/one/ | grep -v '^.d..t...... ./$' || true`),
      ).toBe("");
      const attributes = (d: string) => sh(`cd ${d} && getfattr -d -m - empty many/f1 && getfacl -n many/f1`);
      expect(attributes(`${mnt}/one`)).toBe(attributes(box.path("src")));
      expect(statSync(`${mnt}/one/big`).ino).toBe(statSync(`${mnt}/one/d/link`).ino);
      box.ok(box.run(alcove(label, ["umount", mnt]), { timeout: 20_000 }));
      await waitFor(() => !mounted());
      // The lock goes with the process.
      await waitFor(
        () =>
          !existsSync(box.path("repo/lock.roster")) ||
          readFileSync(box.path("repo/lock.roster"), "utf8") === "{}",
      );
    });
  }

  test("patterns, --strip-components, versions and -o options", async () => {
    const run = (args: string[]) => box.ok(box.run(alcove("node", ["mount", ...args]), { timeout: 60_000 }));
    run([
      "repo::one",
      mnt,
      "many",
      "-e",
      "sh:many/f?",
      "--strip-components",
      "1",
      "-o",
      "umask=077,uid=1,gid=1",
    ]);
    expect(sh(`ls ${mnt} | wc -l; stat -c '%a %u %g' ${mnt}/f10`)).toBe("391\n600 1 1\n");
    detach();
    run(["-o", "versions", "repo", mnt, "empty", "many"]);
    expect(sh(`ls ${mnt}/many/f1`)).toBe("f1.00001\n");
    detach();
    run(["repo", mnt, "--last", "1"]);
    expect(sh(`ls ${mnt}; cat ${mnt}/two/more`)).toBe("two\nmore\n");
  });

  test("in the foreground it ends with a signal, also while a file is open", async () => {
    const [command, ...args] = alcove("node", ["mount", "-f", "repo::one", mnt]);
    const child = spawn(command!, args, { cwd: box.dir, env: box.env as NodeJS.ProcessEnv, stdio: "ignore" });
    children.push(child);
    await waitFor(mounted);
    const reader = spawn("bash", ["-c", `exec 3<${mnt}/big; sleep 30`], { stdio: "ignore" });
    children.push(reader);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const ended = new Promise((resolve) => child.on("close", resolve));
    child.kill("SIGINT");
    await ended;
    expect(mounted()).toBe(false);
  });

  test("killed with -9 it leaves an error, and can be unmounted", async () => {
    const [command, ...args] = alcove("node", ["mount", "-f", "repo::one", mnt]);
    const child = spawn(command!, args, { cwd: box.dir, env: box.env as NodeJS.ProcessEnv, stdio: "ignore" });
    children.push(child);
    await waitFor(mounted);
    sh(`ls ${mnt} > /dev/null`);
    const ended = new Promise((resolve) => child.on("close", resolve));
    child.kill("SIGKILL");
    await ended;
    // A directory that was not looked at: what was, the kernel may still show from its own memory.
    const r = box.run(["timeout", "5", "ls", `${mnt}/many`]);
    expect(r.code).toBe(2);
    expect(r.stderr).toContain("not connected");
    expect(spawnSync("umount", [mnt], { timeout: 5000 }).status).toBe(0);
  });

  test("refusals", () => {
    const file = box.run(alcove("node", ["mount", "repo", box.path("src/big")]));
    expect([file.code, file.stderr]).toEqual([
      2,
      expect.stringContaining("Mount point must be a writable directory"),
    ]);
    const none = box.run(alcove("node", ["mount", "repo::nothing", mnt]), { timeout: 30_000 });
    expect(none.code).toBe(2);
    expect(none.stderr).toContain("nothing does not exist");
    expect(mounted()).toBe(false);
  });

  const worldAccessible = existsSync("/dev/fuse") && (statSync("/dev/fuse").mode & 0o006) === 0o006;
  describe.skipIf(!user || !worldAccessible)("as an ordinary user", () => {
    for (const way of ["", "none"]) {
      test(way ? "through python3 or perl" : "through FFI", async () => {
        sh(`rm -rf theirs; mkdir theirs; cp -a repo theirs/repo; mkdir theirs/mnt; chown -R ${user} theirs`);
        const env = `ALCOVE_FFI=${way} HOME=${box.path("theirs")} BORG_BASE_DIR=${box.path("theirs")}`;
        const command = alcove("node", ["mount", "repo::one", "mnt"]).join(" ");
        const there = box.path("theirs/mnt");
        try {
          sh(`cd theirs && setpriv --reuid ${user} --clear-groups env ${env} timeout 60 ${command}`);
          const list = sh(
            `setpriv --reuid ${user} --clear-groups sh -c 'cd ${there} && md5sum many/* big empty'`,
          );
          expect(list).toBe(sh("cd src && md5sum many/* big empty"));
          sh(`cd theirs && setpriv --reuid ${user} --clear-groups fusermount3 -u mnt`);
        } finally {
          spawnSync("umount", ["-l", there], { timeout: 5000 });
        }
      });
    }
  });
});
