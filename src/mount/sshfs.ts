// The last way to mount, for ordinary users where nobody can receive a descriptor of /dev/fuse (no foreign function
// interface, no python3, no perl): sshfs mounts, and asks an SFTP server over its standard streams, which is this
// program. What SFTP does not know is lost: nanoseconds, hard links, extended attributes.
import { spawn, spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { AlcoveError } from "../errors.ts";
import { FileSystem, type FileSystemOptions } from "./filesystem.ts";
import { tidySoon } from "./garbage.ts";
import { detach, sshfs } from "./mounting.ts";
import type { MountOptions } from "./options.ts";
import { SftpServer } from "./sftp.ts";
import type { MountSource } from "./source.ts";

export interface SshfsOptions {
  directory: string;
  mount: MountOptions;
  fileSystem: FileSystemOptions;
  log?: (level: "debug" | "warning", message: string) => void;
  /** Aborted: unmount and end. */
  signal: AbortSignal;
  /** The mount answers. */
  onReady: (fs: FileSystem) => void;
}

function sshfsArguments(program: string, directory: string, o: MountOptions): string[] {
  const list = ["passive", "ro", `fsname=${o.fsname.replaceAll(/([\\,])/g, "\\$1")}`, ...o.passed];
  if (!o.ignorePermissions) list.push("default_permissions");
  if (o.allowOther) list.push("allow_other");
  // Newer ones hide links that are absolute or have ".." in them, unless told that the tree is to be shown as it is.
  const contains = "no_contain_symlinks";
  if (spawnSync(program, ["--help"], { encoding: "utf8", timeout: 10_000 }).stdout?.includes(contains)) {
    list.push(contains);
  }
  // sshfs looks for the directory itself, so one that begins with a dash must not look like an option.
  return [":/", directory, "-f", "-o", list.join(",")];
}

/** Mounts through sshfs and serves until it is unmounted. @throws AlcoveError where it cannot be mounted */
export async function serveSshfs(source: MountSource, options: SshfsOptions): Promise<void> {
  const { directory, signal, log } = options;
  const fs = new FileSystem(source, options.fileSystem);
  await fs.start();
  signal.throwIfAborted();
  log?.("warning", "mount: through sshfs: without nanoseconds, hard links and extended attributes");
  const before = statSync(directory).dev;
  const program = sshfs()!;
  const child = spawn(program, sshfsArguments(program, directory, options.mount), {
    stdio: ["pipe", "pipe", "pipe"],
    // A Ctrl-C at the terminal is for this process, which then unmounts.
    detached: true,
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    if (stderr.length < 4096) stderr += text;
  });
  child.stdin.on("error", () => undefined); // it has ended: said by "close"
  const ended = new Promise<number>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 255));
  });
  const stop = (): void => void detach(directory).then(() => child.kill("SIGTERM"));
  signal.addEventListener("abort", stop, { once: true });
  try {
    const serving = new SftpServer(fs, child.stdin, log).serve(child.stdout);
    let over = false;
    const end = ended.finally(() => {
      over = true;
    });
    end.catch(() => undefined);
    let mounted = false;
    while (!over && !mounted) {
      mounted = (await stat(directory).catch(() => undefined))?.dev !== before;
      if (!mounted) await Promise.race([sleep(20), end]);
    }
    if (mounted && !over) {
      if (!signal.aborted) options.onReady(fs);
      tidySoon();
    }
    const code = await end;
    await serving.catch(() => undefined); // its streams end with sshfs
    if (!mounted) throw new AlcoveError(`FUSE mount failed: ${stderr.trim() || `sshfs ended with ${code}`}`);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
