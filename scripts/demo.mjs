// `npm run demo`: all set-up, then the main job on real files of this machine: make a repository, back up twice,
// list, restore, compare, check. Everything happens in a temporary directory; nothing else is touched.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkNode, packages, root, run } from "./setup.mjs";

checkNode();
packages();
run(process.execPath, ["scripts/build.mjs"]);

const dir = mkdtempSync(join(tmpdir(), "alcove-demo-"));
const env = {
  ...process.env,
  BORG_BASE_DIR: join(dir, "base"),
  BORG_PASSPHRASE: "demo",
  BORG_REPO: join(dir, "repository"),
};
const program = join(root, "dist", "alcove.mjs");
const sources = ["/usr/share/doc", "/usr/include", "/etc", join(root, "src")]
  .filter((p) => existsSync(p))
  .slice(0, 2);

function alcove(args, options = {}) {
  console.log(`\n$ alcove ${args.join(" ")}`);
  const r = spawnSync(process.execPath, [program, ...args], { env, stdio: "inherit", cwd: dir, ...options });
  // 1 is a warning: a file of the system that this user may not read, for instance.
  if (r.status !== 0 && r.status !== 1) throw new Error(`alcove ${args[0]} ended with ${r.status}`);
}

try {
  const data = join(dir, "data");
  mkdirSync(data);
  for (const s of sources) execFileSync("cp", ["-a", "--", s, data]);
  alcove(["init", "--encryption", "repokey-blake2"]);
  alcove(["create", "--stats", "--compression", "zstd", "::first", "data"]);
  writeFileSync(join(data, "new-file"), "written between the two backups\n");
  alcove(["create", "--stats", "--compression", "zstd", "::second", "data"]);
  alcove(["list"]);
  alcove(["diff", "::first", "second"]);
  alcove(["info", "::second"]);
  const restored = join(dir, "restored");
  mkdirSync(restored);
  alcove(["extract", "::second"], { cwd: restored });
  execFileSync("diff", ["-r", "--no-dereference", data, join(restored, "data")], { stdio: "inherit" });
  console.log("\nThe restored files are identical.");
  alcove(["check", "--verify-data", "--info"]);
  const borg = spawnSync("borg", ["--version"], { encoding: "utf8" });
  if (borg.status === 0) {
    console.log(`\n$ borg check    # ${borg.stdout.trim()}, the original, on the same repository`);
    execFileSync("borg", ["check", "--info"], { env, stdio: "inherit" });
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}
