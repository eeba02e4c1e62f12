// Every command line of the README works as it stands there. Blocks marked sh are run in order in one directory; those
// marked "sh pi" as one script, as root, in a minimal Debian that stands for the Raspberry Pi and for the computer that
// restores its card. Stand-ins are there for the network (ssh, scp) and for the card's device; `npm run demo` and
// `npm test` are run by CI itself, and what npm installs is in package.test.ts.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { debian } from "../support/debian.ts";
import { alcoveCommand, alcoveFile, root, Sandbox } from "../support/programs.ts";

const readme = readFileSync(join(root, "README.md"), "utf8");
const boxes: Sandbox[] = [];
afterAll(() => {
  for (const box of boxes) box.remove();
});

function newBox(): Sandbox {
  const box = new Sandbox();
  boxes.push(box);
  return box;
}

/** Lines of all blocks of a kind; those inside list items without the indentation. */
function linesOf(kind: string): string[] {
  return [...readme.matchAll(new RegExp(`^( *)\`\`\`${kind}\n([\\s\\S]*?)^ *\`\`\``, "gm"))].flatMap((m) =>
    m[2]!.split("\n").map((line) => line.slice(m[1]!.length)),
  );
}

function program(path: string, text: string): void {
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
}

it("runs the README's commands", () => {
  const lines = linesOf("sh").filter((line) => line && !line.startsWith("npm "));
  expect(lines.length).toBeGreaterThan(30);
  const box = newBox();
  const bin = box.path("bin");
  const pi = box.path("pi");
  for (const dir of [bin, pi, box.path("documents"), box.path("node_modules/.bin")])
    mkdirSync(dir, { recursive: true });
  copyFileSync(alcoveFile, box.path("alcove.mjs"));
  writeFileSync(box.path("documents/letter.txt"), "Dear reader,\n");
  // As npm would have installed it.
  writeFileSync(box.path("package.json"), JSON.stringify({ dependencies: { alcove: "*" } }));
  symlinkSync(root, box.path("node_modules/alcove"));
  symlinkSync("../alcove/dist/alcove.mjs", box.path("node_modules/.bin/alcove"));
  const [deno, bun] = (["deno", "bun"] as const).map((on) => alcoveCommand(on)[0]!);
  program(join(bin, "deno"), `exec '${deno}' "$@"`);
  program(join(bin, "bunx"), `exec '${bun}' x --no-install "$@"`);
  program(join(bin, "scp"), `cp "$1" '${pi}'`);
  program(join(bin, "ssh"), `while [ "$1" != pi ]; do shift; done; shift; cd '${pi}'; exec sh -c "$*"`);
  let cwd = box.dir;
  for (const line of lines) {
    if (line.startsWith("cd ")) {
      cwd = join(cwd, line.slice(3));
      continue;
    }
    const r = box.run(["sh", "-c", line.replaceAll("/usr/local/bin", bin)], {
      cwd,
      env: { PATH: `${bin}:${process.env["PATH"]}`, npm_config_offline: "true" },
    });
    expect(r, line).toMatchObject({ code: 0 });
    if (line.startsWith("borg --version")) expect(r.stdout).toBe("borg 1.4.5\n");
  }
  for (const restored of ["documents", "restored/documents"])
    expect(readFileSync(box.path(restored, "letter.txt"), "utf8")).toBe("Dear reader,\n");
  expect(existsSync(box.path("pi/backups/config"))).toBe(true);
});

const system = process.platform === "linux" && process.arch === "x64" ? debian("amd64") : undefined;
const able =
  system !== undefined && spawnSync("unshare", ["--mount", "--pid", "--fork", "true"]).status === 0;
if (!able) console.warn("The README's Raspberry Pi is not restored: that takes root and debootstrap.");

it.skipIf(!able)("restores the README's Raspberry Pi", () => {
  const box = newBox();
  const pi = box.path("pi");
  box.ok(box.run(["cp", "-a", system!, pi]));
  // Half of the files, none of which the test needs.
  box.ok(box.run(["rm", "-rf", join(pi, "usr/share")]));
  writeFileSync(
    join(pi, "etc/fstab"),
    "proc            /proc           proc    defaults          0       0\n" +
      "PARTUUID=0ld-01  /boot/firmware  vfat    defaults          0       2\n" +
      "PARTUUID=0ld-02  /               ext4    defaults,noatime  0       1\n",
  );
  const tools = box.path("tools");
  mkdirSync(tools);
  copyFileSync(alcoveFile, join(tools, "alcove.mjs"));
  // Bun brings an FFI, so that attributes need no tools, which the minimal system lacks.
  copyFileSync(join(root, "test/runtimes/node_modules/bun/bin/bun.exe"), join(tools, "bun"));
  program(join(tools, "alcove"), 'exec /opt/bun /opt/alcove.mjs "$@"');
  program(join(tools, "lsblk"), "echo sdb sdb1 sdb2");
  program(join(tools, "mkfs.ext4"), "rm -rf /opt/card/sdb2; mkdir -p /opt/card/sdb2");
  program(
    join(tools, "mount"),
    'case $1 in /dev/sdb?) exec /bin/mount --bind /opt/card/$(basename $1) "$2";; esac; exec /bin/mount "$@"',
  );
  program(
    join(tools, "blkid"),
    'for device; do case $device in /dev/sdb?) echo "new-0$(basename $device | tr -d a-z)";; esac; done',
  );
  const pis = linesOf("sh pi");
  expect(pis.filter((line) => line).length).toBeGreaterThan(20);
  writeFileSync(
    join(tools, "script.sh"),
    [
      "set -e",
      "export PATH=/opt:$PATH HOME=/root",
      "mkdir -p /boot/firmware /mnt/disk /opt/card/sdb1",
      "echo 'console=tty1 root=PARTUUID=0ld-02 rootwait' > /boot/firmware/cmdline.txt",
      "echo old > /opt/card/sdb1/start4.elf; echo firmware > /boot/firmware/start4.elf",
      ...pis,
      "cat /opt/card/sdb2/etc/fstab /opt/card/sdb1/cmdline.txt",
      "diff /boot/firmware/start4.elf /opt/card/sdb1/start4.elf",
      "for dir in /bin /sbin /lib /usr/bin /usr/lib /var/lib; do",
      "  diff -r --no-dereference $dir /opt/card/sdb2$dir",
      "done",
      "diff -r --no-dereference -x fstab /etc /opt/card/sdb2/etc",
      "echo restored",
    ].join("\n"),
  );
  // What is mounted is another file system, so that --one-file-system leaves it out.
  const mounts = ["boot", "mnt", "opt"].map((dir) => `mount -t tmpfs tmpfs '${pi}/${dir}'`);
  const enter = `${mounts.join(" && ")} && mount -t proc proc '${pi}/proc' && cp '${tools}'/* '${pi}/opt/' &&
exec chroot '${pi}' sh /opt/script.sh`;
  const r = box.run(["unshare", "--mount", "--pid", "--fork", "sh", "-c", enter], {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", BORG_BASE_DIR: undefined, BORG_PASSPHRASE: undefined },
  });
  box.ok(r);
  expect(r.stdout).toMatch(/^PARTUUID=new-01 {2}\/boot\/firmware /m);
  expect(r.stdout).toMatch(/^PARTUUID=new-02 {2}\/ /m);
  expect(r.stdout).toContain("root=PARTUUID=new-02 rootwait");
  expect(r.stdout).not.toContain("0ld");
  expect(r.stdout).toMatch(/^restored$/m);
});
