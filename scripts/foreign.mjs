// What is for another processor than this one, for building and testing: packages of npm that npm would refuse to
// install here, and arm system libraries of Debian. Kept below build/, fetched once.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root } from "./setup.mjs";

const cache = join(root, "build", "packages");

/** A package of npm. @returns its directory. @throws where the registry cannot be reached */
export function foreignPackage(name, version) {
  return fetched(`${name.replace(/.*\//, "")}-${version}`, (directory) => {
    // npm verifies the registry's checksum of what it packs.
    const flags = ["pack", `${name}@${version}`, "--silent", "--pack-destination", directory];
    execFileSync("npm", flags, { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
    const tarball = readdirSync(directory).find((f) => f.endsWith(".tgz"));
    execFileSync("tar", ["xzf", tarball, "--strip-components=1"], { cwd: directory });
    rmSync(join(directory, tarball));
  });
}

/** A root for emulated arm64 programs: Debian's cross libraries, installed or unpacked. @throws if there are none */
export function arm64Root() {
  return crossRoot("arm64", "aarch64-linux-gnu");
}

/** The same for 32-bit arm with hardware floating point. */
export function armhfRoot() {
  return crossRoot("armhf", "arm-linux-gnueabihf", "libatomic.so.1");
}

function crossRoot(arch, triplet, last = "libstdc++.so.6") {
  const installed = `/usr/${triplet}`;
  if (existsSync(join(installed, "lib", last))) return installed;
  const names = ["libc6", "libstdc++6", "libgcc-s1", "libatomic1"].map((n) => `${n}-${arch}-cross`);
  return join(debianFiles(`${arch}-libraries`, names), installed);
}

/** The files of Debian packages, unpacked and not installed. @returns their root. @throws if they cannot be had */
export function debianFiles(name, packages) {
  return fetched(name, (directory) => {
    execFileSync("apt-get", ["download", "-qq", ...packages], { cwd: directory, stdio: "ignore" });
    for (const deb of readdirSync(directory)) {
      execFileSync("dpkg-deb", ["-x", deb, "."], { cwd: directory });
      rmSync(join(directory, deb));
    }
  });
}

/** The 32-bit arm emulator's command; undefined where there is none. */
export function armhfEmulator() {
  return ["qemu-arm-static", "qemu-arm"].find((n) => spawnSync(n, ["--version"]).status === 0);
}

/** The emulator's command; undefined where there is none. */
export function arm64Emulator() {
  return ["qemu-aarch64-static", "qemu-aarch64"].find((n) => spawnSync(n, ["--version"]).status === 0);
}

/** What `fetch` puts into a directory of that name, made once. */
export function fetched(name, fetch) {
  const target = join(cache, name);
  if (existsSync(target)) return target;
  // Complete or not there at all: whoever is interrupted, or comes second, leaves nothing half done.
  const making = `${target}.${process.pid}`;
  mkdirSync(making, { recursive: true });
  try {
    fetch(making);
    if (!existsSync(target)) renameSync(making, target);
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
  return target;
}
