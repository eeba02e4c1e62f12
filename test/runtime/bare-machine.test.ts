// A machine that has Node and nothing else: a minimal Debian that can be read only, without network, npm, compiler or
// Python (and, for Node, without /proc; Bun does not start without it). The one file is copied there, backs up and restores; real borg judges from outside.
import { chmodSync, copyFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { debian } from "../support/debian.ts";
import { alcoveCommand, alcoveFile, type RuntimeLabel, Sandbox } from "../support/programs.ts";
import { describeTree, makeTree } from "../support/tree.ts";

const inside = `set -eu
cd /mnt
for program in npm npx gcc cc python3 borg curl wget; do
  if command -v $program; then echo "there is $program"; exit 1; fi
done
if touch /usr/here 2>/dev/null; then echo "the system can be written"; exit 1; fi
test ! -e /sys/class/net
alcove() { ./runtime alcove.mjs "$@"; }
export HOME=/mnt/home BORG_PASSPHRASE='correct horse'
alcove --version
alcove init -e repokey-blake2 repo
# 1 is a warning: Node without an FFI, and without the package attr, says that it cannot save attributes.
alcove create -C zstd,3 repo::first tree /etc || test $? = 1
echo changed > tree/new
alcove create repo::second tree /etc /usr/bin || test $? = 1
mkdir out
cd out
../runtime ../alcove.mjs extract ../repo::second || test $? = 1
cd ..
diff -r --no-dereference tree out/tree
diff -r --no-dereference /etc out/etc
diff -r --no-dereference /usr/bin out/usr/bin
alcove check --verify-data repo
alcove list --short repo
`;

const root = process.platform === "linux" ? debian("amd64") : undefined;
if (!root) console.warn("A machine with Node alone is not tested: that takes root and debootstrap.");

describe.skipIf(!root || process.arch !== "x64")("a machine with a runtime and nothing else", () => {
  const boxes: Sandbox[] = [];
  let unshares = true;
  beforeAll(() => {
    const box = newBox();
    unshares = box.run(["unshare", "--mount", "--net", "true"]).code === 0;
    if (!unshares) console.warn("A machine with Node alone is not tested: namespaces cannot be made here.");
  });
  afterAll(() => {
    for (const box of boxes) box.remove();
  });
  function newBox(): Sandbox {
    const box = new Sandbox();
    boxes.push(box);
    return box;
  }

  it.for(["node20", "node24", "bun"] as const satisfies RuntimeLabel[])("%s", (on, { skip }) => {
    if (!unshares) skip();
    const box = newBox();
    copyFileSync(alcoveFile, box.path("alcove.mjs"));
    copyFileSync(program(on), box.path("runtime"));
    chmodSync(box.path("runtime"), 0o755);
    mkdirSync(box.path("home"));
    makeTree(box.path("tree"), 9);
    writeFileSync(box.path("inside.sh"), inside);
    const proc = on === "bun" ? `mount -t proc proc '${root}/proc' &&` : "";
    const enter = `mount --bind '${root}' '${root}' && mount -o remount,bind,ro '${root}' &&
mount -t tmpfs tmpfs '${root}/tmp' && ${proc}
mount --bind '${box.dir}' '${root}/mnt' && exec chroot '${root}' sh /mnt/inside.sh`;
    const { stdout, stderr } = box.ok(
      box.run(["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-c", enter], {
        env: {
          PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
          BORG_BASE_DIR: undefined,
          ...(on === "node20" && { ALCOVE_HELPER: "none" }),
        },
      }),
    );
    expect(stdout).toMatch(/^alcove \d.*\n(.*\n)*first\nsecond\n$/);
    // Perl is on every Debian; where it is not, something is lost that Bun's FFI can do.
    if (on === "node20") expect(stderr).toContain("install perl or the package attr");
    else expect(stderr).not.toContain("cannot be");
    expect(describeTree(box.path("out/tree"))).toBe(describeTree(box.path("tree")));
    expect(readdirSync(box.path("out/usr/bin")).length).toBeGreaterThan(100);
    box.ok(box.borg(["check", "--verify-data", "repo"]));
  });
});

/** The runtime's binary itself. */
function program(on: RuntimeLabel): string {
  const [command] = alcoveCommand(on);
  return on === "bun" ? `${dirname(command!)}/../bun/bin/bun.exe` : command!;
}
