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

const installed = (["node20", "node24", "node26", "deno", "bun"] as RuntimeLabel[]).filter((label) =>
  existsSync(alcoveCommand(label)[0]!),
);
const labels: RuntimeLabel[] = installed.length ? installed : ["node"];
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
  /** Asynchronous, as servers started here may have their output read by this process. */
  const curl = (words: string[]): Promise<string> =>
    new Promise((resolve, reject) => {
      const script = `curl -sS -m 30 ${words.join(" ")}`;
      const child = spawn("bash", ["-c", script], { stdio: ["ignore", "pipe", "inherit"] });
      let text = "";
      child.stdout.on("data", (bytes) => {
        text += bytes;
      });
      child.on("error", reject);
      child.on("close", () => resolve(text));
    });
  const unlocked = (repository: string): boolean => {
    const roster = box.path(repository, "lock.roster");
    return !existsSync(roster) || readFileSync(roster, "utf8") === "{}";
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

  /** Runs a script as the mount's user; root if there is none named. */
  const as = (who: string | undefined, script: string) =>
    who
      ? box.ok(
          box.run(["setpriv", "--reuid", who, "--clear-groups", "bash", "-c", script], {
            timeout: 60_000,
            env: { HOME: box.path("theirs"), BORG_BASE_DIR: box.path("theirs") },
          }),
        ).stdout
      : sh(script);
  /** Everything that tools can see of a tree but inode numbers, blocks, and the sizes of directories. */
  const seen = (directory: string, who?: string) =>
    as(
      who,
      `cd ${directory} && find . -mindepth 1 \\( -type d -printf '%P %y %m %U %G %T@\\n' \\) -o -printf '%P %y %m %n %U %G %s %T@ %l\\n' | sort`,
    );
  const listed = (directory: string, who?: string) =>
    as(
      who,
      `cd ${directory} && find . -mindepth 1 -ls | awk '{ $1 = $2 = ""; if ($3 ~ /^d/) $4 = $7 = ""; print }' | sort`,
    );
  const tarOf = (directory: string, who?: string) =>
    as(who, `cd ${directory} && tar c --sort=name --numeric-owner * | sha256sum`);
  /** The mounted tree against the one that was backed up, by four programs that read trees. */
  const isTheTree = (directory: string, who?: string) => {
    const src = box.path("src");
    expect(seen(directory, who)).toBe(seen(src));
    expect(listed(directory, who)).toBe(listed(src));
    expect(tarOf(directory, who)).toBe(tarOf(src));
    expect(as(who, `diff -r --no-dereference -x fifo -x dev ${src} ${directory} && echo same`)).toBe(
      "same\n",
    );
    expect(
      as(
        who,
        `rsync -aHAXn --checksum --delete -i ${src}/ ${directory}/ | grep -v -e '^.d..t...... ./$' -e '^skipping non-regular file .d/dev.$' || true`,
      ),
    ).toBe("");
    const attributes = (d: string) =>
      as(who, `cd ${d} && getfattr -d -m - empty many/f1 && getfacl -n many/f1`);
    expect(attributes(directory)).toBe(attributes(src));
    expect(as(who, `stat -c %i ${directory}/big`)).toBe(as(who, `stat -c %i ${directory}/d/link`));
  };

  for (const label of labels) {
    test(`${label}: the tree is the one that was backed up`, async () => {
      box.ok(box.run(alcove(label, ["mount", "repo", mnt]), { timeout: 60_000 }));
      expect(readFileSync("/proc/self/mounts", "utf8")).toMatch(/^borgfs \S+ fuse ro,nosuid,nodev/m);
      expect(sh(`ls ${mnt}`)).toBe("one\ntwo\n");
      isTheTree(`${mnt}/one`);
      box.ok(box.run(alcove(label, ["umount", mnt]), { timeout: 20_000 }));
      await waitFor(() => !mounted());
      // The lock goes with the process.
      await waitFor(() => unlocked("repo"));
    });

    test(`${label}: over WebDAV the same files, and byte ranges, until a signal`, async () => {
      const [command, ...args] = alcove(label, ["mount", "--webdav", "-f", "repo::one"]);
      const child = spawn(command!, args, { cwd: box.dir, env: box.env as NodeJS.ProcessEnv });
      children.push(child);
      let out = "";
      child.stdout.on("data", (text) => {
        out += text;
      });
      await waitFor(() => out.includes("\n"));
      const url = out.trim();
      expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{24}\/$/);
      const [big, range, many] = await Promise.all([
        curl([`${url}big | md5sum`]),
        curl(["-r", "4000000-4000999", `${url}d/link | md5sum`]),
        curl(["-X", "PROPFIND", "-H", "Depth:1", `${url}many/`]),
      ]);
      expect(big).toBe(sh("md5sum < src/big"));
      expect(range).toBe(sh("tail -c +4000001 src/big | head -c 1000 | md5sum"));
      expect(many.match(/<D:href>/g)?.length).toBe(401);
      const ended = new Promise((resolve) => child.on("close", (code) => resolve(code)));
      child.kill("SIGTERM");
      expect(await ended).toBe(0);
    });
  }

  test("--webdav goes into the background, too, and only without it a mount point is needed", async () => {
    const started = box.ok(box.run(alcove("node", ["mount", "--webdav=127.0.0.1:0", "repo", "many"])));
    const url = started.stdout.trim();
    const served = () => sh("grep -lsz -- --webdav=127.0.0.1:0 /proc/[0-9]*/cmdline | cut -d/ -f3 || true");
    const pid = served()
      .split("\n")
      .find((p) => p && sh(`readlink /proc/${p}/cwd || true`).trim() === box.dir);
    try {
      expect(await curl([`${url}two/many/f7`])).toBe("7\n");
      expect(await curl(["-o", "/dev/null", "-w", "%{http_code}", `${url}two/more`])).toBe("404");
    } finally {
      process.kill(Number(pid));
    }
    await waitFor(() => !existsSync(`/proc/${pid}/cwd`));
    const none = box.run(alcove("node", ["mount", "repo"]));
    expect([none.code, none.stderr]).toEqual([2, expect.stringContaining("required: MOUNTPOINT")]);
  });

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
    const there = box.path("theirs/mnt");
    const start = (label: RuntimeLabel, variables: string): boolean => {
      const command = alcove(label, ["mount", "repo::one", "mnt"]);
      const [program = "", ...args] = command;
      const runs = ["setpriv", "--reuid", user!, "--clear-groups", program, "--version"];
      if (box.run(runs, { timeout: 20_000 }).code !== 0) return false; // the runtime is where this user cannot go
      sh(`rm -rf theirs; mkdir theirs; cp -a repo theirs/repo; mkdir theirs/mnt; chown -R ${user} theirs`);
      as(user, `cd theirs && ${variables} timeout 60 ${[program, ...args].join(" ")}`);
      return true;
    };
    for (const [label, ffi] of [...labels.map((l) => [l, ""] as const), [labels[0]!, "none"] as const]) {
      test(`${label}, ${ffi ? "through python3 or perl" : "through FFI"}: the same tree`, ({ skip }) => {
        try {
          if (!start(label, `ALCOVE_FFI=${ffi}`)) skip();
          isTheTree(there, user);
          as(user, "cd theirs && fusermount3 -u mnt");
        } finally {
          spawnSync("umount", ["-l", there], { timeout: 5000, stdio: "ignore" });
        }
      });
    }

    const sshfs = spawnSync("sshfs", ["--version"]).status === 0;
    test.skipIf(!sshfs)(
      "through sshfs and our SFTP server, the last resort: the same files",
      async ({ skip }) => {
        try {
          if (!start(labels[0]!, "ALCOVE_FFI=none ALCOVE_MOUNT_WAY=sshfs")) skip();
          expect(readFileSync("/proc/self/mounts", "utf8")).toContain(`borgfs ${there} fuse.sshfs ro,`);
          const src = box.path("src");
          const compared = `diff -r --no-dereference -x fifo -x dev ${src} ${there} && echo same`;
          expect(as(user, compared)).toBe("same\n");
          const shown = (d: string) =>
            as(
              user,
              `cd ${d} && find . -mindepth 1 ! -path ./d/e ! -type d -printf '%P %y %m %U %G %s %Ts %l\\n' | sort`,
            );
          expect(shown(there)).toBe(shown(src));
          as(user, "cd theirs && fusermount3 -u mnt");
          await waitFor(() => unlocked("theirs/repo"));
        } finally {
          spawnSync("umount", ["-l", there], { timeout: 5000, stdio: "ignore" });
        }
      },
    );
  });
});
