// A real system root (a minimal Debian), with capabilities, ACLs, device nodes and flags added, is backed up as root
// and restored by Alcove and by borg: every field is as it was, and getcap -r says the same.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cleanTree, compareTrees, isRoot } from "../runtime/tree.ts";
import { Sandbox } from "../support/programs.ts";

/** Made once a machine: it takes longer than the test. */
const cached = join(tmpdir(), "alcove-debian-root");

/** A minimal Debian by debootstrap; where that is not installed or gets nothing, a part of this system. */
function systemRoot(target: string): void {
  if (!existsSync(cached) && spawnSync("debootstrap", ["--version"]).status === 0) {
    const part = `${cached}.${process.pid}`;
    const made = spawnSync("debootstrap", ["--variant=minbase", "bookworm", part], { timeout: 200_000 });
    if (made.status === 0) renameSync(part, cached);
    else rmSync(part, { recursive: true, force: true });
  }
  if (existsSync(cached) && lstatSync(cached).uid === 0) {
    execFileSync("cp", ["-a", cached, target]);
    return;
  }
  mkdirSync(target);
  execFileSync("cp", ["-a", "/etc", "/usr/sbin", "/var/lib/dpkg", target]);
}

const added = `set -e
mkdir -p dev/extra usr/local/extra
mknod -m 660 dev/extra/block b 8 1
mknod -m 666 dev/extra/null c 1 3
mknod -m 600 dev/extra/large b 259 70000
mkfifo -m 640 dev/extra/fifo
cd usr/local/extra
printf x > ping; chmod 4755 ping; chown 0:5 ping
printf x > net; chmod 755 net
printf x > shared; mkdir team
ln ping ping-again
truncate -s 3M holes
setcap cap_net_raw,cap_net_admin+ep net || echo no capabilities
setfacl -m u:1:rw,g:4:r,u:12345:x shared && setfacl -d -m u:1:rwx,g:54321:rx team || echo no ACLs
setfattr -n user.note -v value shared || echo no attributes
chattr +d shared || echo no flags
touch -d '2001-02-03 04:05:06.123456789' net
`;

describe.runIf(isRoot)("a system's root", () => {
  const box = new Sandbox();
  const source = box.path("root");
  let before: string;
  beforeAll(() => {
    systemRoot(source);
    execFileSync("sh", ["-c", added], { cwd: source });
    // Now, as it changes access times of directories.
    before = capabilities(source);
    box.ok(box.alcove(["init", "-e", "repokey", "repo"]));
    const sources = ["create", "--atime", "--sparse", "--chunker-params", "buzhash,10,16,14,4095"];
    const { stderr } = box.ok(box.alcove([...sources, "repo::a", "root"]));
    expect(stderr).toBe("");
  }, 280_000);
  afterAll(() => cleanTree(box.dir));

  const capabilities = (dir: string): string => {
    const r = spawnSync("getcap", ["-r", "."], { cwd: dir, encoding: "utf8" });
    return r.error ? "" : r.stdout.split("\n").sort().join("\n");
  };

  it.each(["alcove", "borg"] as const)(
    "comes back equal by %s",
    (program) => {
      if (program === "borg" && spawnSync("borg", ["--version"]).error) return;
      const target = box.path(`by-${program}`);
      mkdirSync(target);
      const { stderr } = box.ok(box[program](["extract", "--sparse", "../repo::a"], { cwd: target }));
      expect(stderr).toBe("");
      expect(compareTrees(source, join(target, "root"), ["holes"])).toBe("");
      expect(capabilities(join(target, "root"))).toBe(before);
    },
    120_000,
  );

  it("has what was meant to be tested", () => {
    const { stdout } = spawnSync("find", [".", "-type", "b", "-o", "-type", "c"], {
      cwd: source,
      encoding: "utf8",
    });
    expect(stdout.split("\n").length).toBeGreaterThan(3);
    if (!spawnSync("getcap", ["-h"]).error) expect(before).toContain("cap_net_raw");
  });
});
