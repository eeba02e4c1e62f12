// A real system root (a minimal Debian, of x86-64 and of arm64), with capabilities, ACLs, device nodes and flags added, is backed up as root
// and restored by Alcove and by borg: every field is as it was, and getcap -r says the same.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cleanTree, compareTrees, isRoot } from "../runtime/tree.ts";
import { debian, type Processor } from "../support/debian.ts";
import { Sandbox } from "../support/programs.ts";

/** A minimal Debian; without debootstrap, for this machine's processor, a part of this system. */
function systemRoot(processor: Processor, target: string): boolean {
  const made = debian(processor);
  if (made !== undefined) execFileSync("cp", ["-a", made, target]);
  else if (processor === "arm64") return false;
  else {
    mkdirSync(target);
    execFileSync("cp", ["-a", "/etc", "/usr/sbin", "/var/lib/dpkg", target]);
  }
  return true;
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

describe.runIf(isRoot).each(["amd64", "arm64"] as const)("a system's root, %s", (processor) => {
  const box = new Sandbox();
  const source = box.path("root");
  let before: string;
  let there = false;
  beforeAll(() => {
    there = systemRoot(processor, source);
    if (!there) {
      console.warn(`a root of ${processor} is not tested: debootstrap gets none`);
      return;
    }
    execFileSync("sh", ["-c", added], { cwd: source });
    // Now, as it changes access times of directories.
    before = capabilities(source);
    box.ok(box.alcove(["init", "-e", "repokey", "repo"]));
    const sources = ["create", "--atime", "--sparse", "--chunker-params", "buzhash,10,16,14,4095"];
    const { stderr } = box.ok(box.alcove([...sources, "repo::a", "root"]));
    expect(stderr).toBe("");
  }, 320_000);
  afterAll(() => cleanTree(box.dir));

  const capabilities = (dir: string): string => {
    const r = spawnSync("getcap", ["-r", "."], { cwd: dir, encoding: "utf8" });
    return r.error ? "" : r.stdout.split("\n").sort().join("\n");
  };

  it.for(["alcove", "borg"] as const)("comes back equal by %s", { timeout: 120_000 }, (program, { skip }) => {
    if (!there || (program === "borg" && spawnSync("borg", ["--version"]).error)) skip();
    const target = box.path(`by-${program}`);
    mkdirSync(target);
    const { stderr } = box.ok(box[program](["extract", "--sparse", "../repo::a"], { cwd: target }));
    expect(stderr).toBe("");
    expect(compareTrees(source, join(target, "root"), ["holes"])).toBe("");
    expect(capabilities(join(target, "root"))).toBe(before);
    cleanTree(target);
  });

  it("has what was meant to be tested", ({ skip }) => {
    if (!there) skip();
    const find = (...words: string[]) =>
      spawnSync("find", [source, ...words], { encoding: "utf8" })
        .stdout.split("\n")
        .filter(Boolean);
    expect(find("-type", "b", "-o", "-type", "c").length).toBeGreaterThan(2);
    expect(find("-type", "f", "-perm", "/6000").length).toBeGreaterThan(1);
    if (!spawnSync("getcap", ["-h"]).error) expect(before).toContain("cap_net_raw");
    const machine = spawnSync("od", ["-An", "-tu2", "-j18", "-N2", join(source, "usr/bin/env")], {
      encoding: "utf8",
    });
    // e_machine of the ELF header: 62 is x86-64, 183 is AArch64.
    if (existsSync(join(source, "usr/bin/env")))
      expect(Number(machine.stdout)).toBe(processor === "amd64" ? 62 : 183);
  });
});
