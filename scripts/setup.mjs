// Sets up what the other scripts need, on a machine that has Node and npm and nothing else: npm packages, the
// runtimes the tests run on, and (as root on Debian) the programs the tests compare with. Does nothing twice.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Runs a program, and ends as it does where it fails. */
export function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit", ...options });
  if (status === 0) return;
  console.error(`${command} ${args.join(" ")}: ${error?.message ?? `ended with ${status}`}`);
  process.exit(status || 1);
}

// "install --no-save", not "ci": a lock file written on one platform lacks the optional packages of others (npm's
// own omission), and ci refuses such a file. Versions still come from the lock file, which stays as it is.
function npmInstall(directory) {
  const lock = join(directory, "package-lock.json");
  const done = join(directory, "node_modules", ".package-lock.json");
  if (existsSync(done) && statSync(done).mtimeMs >= statSync(lock).mtimeMs) return;
  run("npm", ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: directory });
}

export function packages() {
  npmInstall(root);
}

export function runtimes() {
  npmInstall(join(root, "test", "runtimes"));
}

const debianPrograms = {
  borg: "borgbackup",
  sshd: "openssh-server",
  sshfs: "sshfs",
  fusermount3: "fuse3",
  getfacl: "acl",
  getfattr: "attr",
  lz4: "lz4",
  zstd: "zstd",
  xz: "xz-utils",
  xxhsum: "xxhash",
  rsync: "rsync",
  "mount.davfs": "davfs2",
  python3: "python3",
  borgmatic: "borgmatic",
  setcap: "libcap2-bin",
  debootstrap: "debootstrap",
  lsattr: "e2fsprogs",
  cadaver: "cadaver",
  zsh: "zsh",
  fish: "fish",
  groff: "groff-base",
  "systemd-analyze": "systemd",
  "qemu-aarch64-static": "qemu-user-static",
};

/** What is no program. borg mounts with its help, and imports it at every start where it is: Debian recommends it. */
const debianFiles = { "/usr/lib/python3/dist-packages/_pyfuse3.py": "python3-pyfuse3" };

/** Installs what is missing where that is possible; elsewhere says what the tests will miss. */
export function programs() {
  const missing = [
    ...Object.entries(debianPrograms).filter(([name]) => !has(name)),
    ...Object.entries(debianFiles).filter(([path]) => !existsSync(path)),
  ];
  // Root in a container or CI may not let users mount; the tests that do need the device to be theirs to open.
  if (process.getuid?.() === 0 && existsSync("/dev/fuse")) chmodSync("/dev/fuse", 0o666);
  if (missing.length === 0) return;
  const names = missing.map(([, p]) => p);
  const isDebian = existsSync("/etc/debian_version") && has("apt-get");
  if (!isDebian || process.getuid?.() !== 0) {
    console.warn(`Not installed, and tests that need them will fail: ${names.join(" ")}`);
    return;
  }
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  run("apt-get", ["update", "-qq"], { env });
  run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...names], {
    env,
    stdio: ["ignore", "ignore", "inherit"],
  });
}

function has(program) {
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  return (
    spawnSync("sh", ["-c", `command -v ${program}`], { env: { ...process.env, PATH: path } }).status === 0
  );
}

/** The engines field, for a clear message instead of a syntax error somewhere. */
export function checkNode() {
  const wanted = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).engines.node;
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    console.error(`Node ${wanted} is needed, this is ${process.versions.node}.`);
    process.exit(1);
  }
}
