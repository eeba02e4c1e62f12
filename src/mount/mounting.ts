// Attaching a /dev/fuse descriptor to a directory, and detaching it. Root asks mount(8) with the descriptor
// inherited as number 3; other users ask the set-uid fusermount3, which sends a descriptor over a Unix socket.
// Where that cannot be received (Node without a foreign function interface), python3 or perl receives it and
// becomes this program again, with the descriptor inherited: see `receiverCommand`.
import { spawn } from "node:child_process";
import { accessSync, closeSync, constants, openSync, statSync, writeFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { delimiter, join } from "node:path";
import process from "node:process";
import { AlcoveError } from "../errors.ts";
import { runtime } from "../runtime/platform.ts";
import {
  adoptDescriptor,
  canReceiveDescriptors,
  closeDescriptor,
  receiveDescriptor,
  socketPair,
} from "./fusermount-ffi.ts";
import type { MountOptions } from "./options.ts";

/** Where the receiver has put the descriptor, if this process was started by one. */
export const FUSE_FD_VARIABLE = "ALCOVE_FUSE_FD";
/** Set to "sshfs", that is used wherever it is installed. */
const WAY_VARIABLE = "ALCOVE_MOUNT_WAY";
/** Where a READ may go ahead of the reader; the kernel's own 128 KiB cost 8 requests a MiB. */
const READ_AHEAD_KIB = 1024;

/** @throws AlcoveError where Borg refuses the mount point */
export function checkMountPoint(directory: string): void {
  let fine = false;
  try {
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK);
    fine = statSync(directory).isDirectory();
  } catch {
    fine = false;
  }
  if (!fine) throw new AlcoveError(`${directory}: Mount point must be a writable directory`);
}

export const isRoot = (): boolean => process.geteuid?.() === 0;

/** Directories that are searched besides those of PATH. */
const sbin = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

export function findProgram(
  names: readonly string[],
  extraDirectories: readonly string[] = [],
): string | undefined {
  const directories = [...(process.env["PATH"] ?? "").split(delimiter), ...extraDirectories];
  for (const name of names) {
    for (const directory of directories) {
      if (directory === "") continue;
      const path = join(directory, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // the next one
      }
    }
  }
  return undefined;
}

const fusermount = (): string | undefined => findProgram(["fusermount3", "fusermount"], sbin);

interface Finished {
  code: number;
  stderr: string;
}

function run(
  program: string,
  args: readonly string[],
  inherited?: number,
  env: Record<string, string | undefined> = process.env,
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const extra = inherited === undefined ? [] : [inherited];
    const child = spawn(program, args, {
      stdio: ["ignore", "ignore", "pipe", ...extra],
      env: env as NodeJS.ProcessEnv,
    });
    let stderr = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      if (stderr.length < 4096) stderr += text;
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? 255, stderr: stderr.trim() }));
  });
}

function failed(what: string, { code, stderr }: Finished): AlcoveError {
  return new AlcoveError(`FUSE mount failed: ${stderr || `${what} ended with ${code}`}`);
}

/** Options that both ways of mounting take, in the kernel's names. */
function commonOptions(o: MountOptions): string[] {
  const list = ["ro"];
  if (o.nosuid) list.push("nosuid");
  if (o.nodev) list.push("nodev");
  if (!o.ignorePermissions) list.push("default_permissions");
  if (o.allowOther) list.push("allow_other");
  list.push(...o.passed);
  return list;
}

/** Mounts on a directory. Requests may be read from the descriptor when this is done, not before.
 *  @throws AlcoveError */
export async function mountOn(directory: string, options: MountOptions): Promise<number> {
  const given = process.env[FUSE_FD_VARIABLE];
  if (given !== undefined) {
    delete process.env[FUSE_FD_VARIABLE];
    return adoptDescriptor(Number(given));
  }
  return isRoot() ? mountAsRoot(directory, options) : mountAsUser(directory, options);
}

async function mountAsRoot(directory: string, options: MountOptions): Promise<number> {
  let fd: number;
  try {
    fd = openSync("/dev/fuse", "r+");
  } catch (e) {
    throw noFuse(e as Error);
  }
  const list = [
    "fd=3",
    "rootmode=40000",
    `user_id=${process.getuid?.() ?? 0}`,
    `group_id=${process.getgid?.() ?? 0}`,
    ...commonOptions(options),
  ];
  const type = options.subtype ? `fuse.${options.subtype}` : "fuse";
  const mount = findProgram(["mount"], sbin) ?? "mount";
  try {
    const done = await run(mount, ["-i", "-t", type, "-o", list.join(","), options.fsname, directory], fd);
    if (done.code !== 0) throw failed("mount", done);
    return fd;
  } catch (e) {
    closeSync(fd);
    throw e;
  }
}

/** What fusermount is called with: it looks up the user itself and checks what the user may do. */
function fusermountArguments(directory: string, options: MountOptions): string[] {
  // fusermount knows nosuid and nodev as its defaults, and lets only root change them.
  const list = commonOptions(options).filter((o) => o !== "nosuid" && o !== "nodev");
  list.push(`fsname=${options.fsname.replaceAll(/([\\,])/g, "\\$1")}`);
  if (options.subtype) list.push(`subtype=${options.subtype}`);
  return ["-o", list.join(","), "--", directory];
}

async function mountAsUser(directory: string, options: MountOptions): Promise<number> {
  const program = fusermount();
  if (!program) throw noFusermount();
  const [ours, theirs] = socketPair();
  try {
    const done = await run(program, fusermountArguments(directory, options), theirs, {
      ...process.env,
      _FUSE_COMMFD: "3",
    });
    if (done.code !== 0) throw failed(program, done);
    const raw = receiveDescriptor(ours);
    if (raw === undefined) throw new AlcoveError("FUSE mount failed: fusermount sent no descriptor");
    return adoptDescriptor(raw);
  } finally {
    closeDescriptor(ours);
    closeDescriptor(theirs);
  }
}

function noFusermount(): AlcoveError {
  return new AlcoveError(
    "FUSE mount failed: fusermount3 is not installed",
    "Error",
    2,
    [],
    "Install the package fuse3, mount as root, or use: mount --webdav",
  );
}

function noFuse(cause: Error): AlcoveError {
  return new AlcoveError(
    `FUSE mount failed: ${cause.message}`,
    "Error",
    2,
    [],
    "Is the fuse module loaded? Where there is none, the same files can be had with: mount --webdav",
  );
}

/** Whether a receiver has mounted already: then the mount point must not be touched before it is served. */
export function alreadyMounted(): boolean {
  return process.env[FUSE_FD_VARIABLE] !== undefined;
}

/** Whether mounting takes a receiver: an ordinary user, and no way to receive a descriptor in this process. */
export function needsReceiver(): boolean {
  return !isRoot() && process.env[FUSE_FD_VARIABLE] === undefined && !canReceiveDescriptors();
}

// Both do the same: a socket pair, fusermount with one end, the descriptor from the other; then the rest of the
// arguments is executed with the descriptor inherited. Python makes descriptors close-on-exec unless told otherwise.
const python = `
import array, os, socket, subprocess, sys
n = int(sys.argv[1]); mount = sys.argv[2:2 + n]; then = sys.argv[2 + n:]
a, b = socket.socketpair()
env = dict(os.environ, _FUSE_COMMFD=str(b.fileno()))
rc = subprocess.call(mount, env=env, pass_fds=[b.fileno()])
if rc: sys.exit(2)
fds = array.array("i")
_, anc, _, _ = a.recvmsg(1, socket.CMSG_LEN(fds.itemsize))
for level, kind, data in anc:
    if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS: fds.frombytes(data[:fds.itemsize])
if not fds: sys.exit("fusermount sent no descriptor")
os.set_inheritable(fds[0], True)
os.environ["${FUSE_FD_VARIABLE}"] = str(fds[0])
os.execv(then[0], then)
`;

// Perl has no recvmsg, but can make any system call (its number is the third word).
const perl = `
use Socket; $^F = 1000;
my $nr = shift; my $n = shift; my @mount = splice(@ARGV, 0, $n);
socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0) or die "socketpair: $!\n";
{ local $ENV{_FUSE_COMMFD} = fileno($b); system(@mount) == 0 or exit 2; }
my $byte = " "; my $control = chr(0) x 24;
my $iov = pack("P Q", $byte, 1);
my $head = pack("Q Q P Q P Q Q", 0, 0, $iov, 1, $control, 24, 0);
syscall($nr, fileno($a), $head, 0) == 1 or die "fusermount sent no descriptor\n";
my (undef, $level, $kind, $fd) = unpack("Q l l l", $control);
die "fusermount sent no descriptor\n" unless $level == 1 && $kind == 1;
$ENV{${FUSE_FD_VARIABLE}} = $fd;
exec { $ARGV[0] } @ARGV; die "$ARGV[0]: $!\n";
`;
const recvmsgNumber: Partial<Record<string, number>> = { x64: 47, arm64: 212 };

/** Whether `receiverCommand` finds a program that can receive a descriptor. */
function hasReceiver(): boolean {
  if (findProgram(["python3"], sbin)) return true;
  return recvmsgNumber[runtime.arch] !== undefined && findProgram(["perl"], sbin) !== undefined;
}

export const sshfs = (): string | undefined => findProgram(["sshfs"], sbin);

/** Whether mounting is left to sshfs, the last resort. */
export function usesSshfs(): boolean {
  if (!sshfs()) return false;
  return process.env[WAY_VARIABLE] === "sshfs" || (needsReceiver() && !hasReceiver());
}

/** The command that mounts and then becomes `self` with the descriptor inherited. @throws AlcoveError */
export function receiverCommand(directory: string, options: MountOptions, self: readonly string[]): string[] {
  const program = fusermount();
  if (!program) throw noFusermount();
  const mount = [program, ...fusermountArguments(directory, options)];
  const withPython = findProgram(["python3"], sbin);
  if (withPython) return [withPython, "-c", python, String(mount.length), ...mount, ...self];
  const number = recvmsgNumber[runtime.arch];
  const withPerl = number === undefined ? undefined : findProgram(["perl"], sbin);
  if (withPerl) return [withPerl, "-e", perl, "--", String(number), String(mount.length), ...mount, ...self];
  throw new AlcoveError(
    "FUSE mount failed: there is neither a foreign function interface nor python3 or perl",
    "Error",
    2,
    [],
    "Mount as root, install koffi (npm), python3 or sshfs, or use: mount --webdav",
  );
}

/** Detaches a file system, even a busy one. Never throws. */
export async function detach(directory: string): Promise<void> {
  if (isRoot() && (await attempt(umountProgram(), ["-i", "-l", directory]))) return;
  const program = fusermount();
  if (program) await attempt(program, ["-u", "-q", "-z", "--", directory]);
}

/** Root only: unmounts and cuts off whoever still has files open, which wakes every thread that reads requests. */
export async function forceUnmount(directory: string): Promise<void> {
  if (isRoot()) await attempt(umountProgram(), ["-i", "-f", "-l", directory]);
}

/** Unmounts unless the file system is in use. */
export async function unmountIdle(directory: string): Promise<boolean> {
  return isRoot() ? attempt(umountProgram(), ["-i", directory]) : false;
}

const umountProgram = (): string => findProgram(["umount"], sbin) ?? "umount";

async function attempt(program: string, args: readonly string[]): Promise<boolean> {
  return (await run(program, args).catch(() => undefined))?.code === 0;
}

/** Unmounts for the umount command: as the user would by hand, so a busy file system stays. */
export async function unmountByHand(directory: string): Promise<Finished> {
  const program = fusermount();
  // Like Borg: fusermount first, which every user may call; umount where there is none.
  if (program) return run(program, ["-u", "--", directory]);
  return run(umountProgram(), [directory]);
}

/** After a lazy unmount, cuts off who still has files open, so that no thread stays in a read for ever. */
export function abortConnection(minor: number): void {
  try {
    writeFileSync(`/sys/fs/fuse/connections/${minor}/abort`, "1");
  } catch {
    // not allowed, or gone already
  }
}

/** Device number (minor) of the mount, by which the kernel names its connection; asks the mounted root. */
export async function connectionNumber(directory: string): Promise<number> {
  const { dev } = await stat(directory);
  return (dev & 0xff) | ((dev >>> 12) & 0xfff00);
}

/** Lets the kernel read further ahead; only root may say so. */
export function raiseReadAhead(minor: number): void {
  try {
    writeFileSync(`/sys/class/bdi/0:${minor}/read_ahead_kb`, String(READ_AHEAD_KIB));
  } catch {
    // An ordinary user stays with the kernel's own.
  }
}
