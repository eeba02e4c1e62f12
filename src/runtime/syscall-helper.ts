// A process that makes system calls for a runtime that cannot: Perl, which nearly every Linux has (Debian's perl-base cannot
// be removed), and which has a function for any call by its number. It is asked in writing and answers at once, for as long
// as this process lives. Without it the tools of src/runtime/tools.ts do the same: two of them a directory in a backup, and
// two a file in an extraction, which took 70 of 75 seconds.
import { type ChildProcess, spawn } from "node:child_process";
import { readSync, writeSync } from "node:fs";
import process from "node:process";
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  FS_APPEND_FL,
  FS_IMMUTABLE_FL,
  FS_IOC_GETFLAGS,
  FS_IOC_SETFLAGS,
  FS_NODUMP_FL,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_NONBLOCK,
} from "./constants.ts";
import { FieldReader, text, u32 } from "./fields.ts";
import { fsDecode, fsEncode } from "./pathbytes.ts";
import { isLinux, runtime } from "./platform.ts";
import { S_IFDIR, S_IFMT, S_IFREG, splitNs } from "./stat.ts";

/** Numbers of llistxattr, lgetxattr, lsetxattr, utimensat (of 64-bit times) and statx. */
const NUMBERS: Partial<Record<string, readonly number[]>> = {
  x64: [195, 192, 189, 280, 332],
  arm64: [12, 9, 6, 88, 291],
  riscv64: [12, 9, 6, 88, 291],
  arm: [233, 230, 227, 412, 397],
};

const FLAG_BITS = FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL;
const NO_FLAGS = 0xffffffff;
const START_MS = 10_000;
/** The kernel's largest list of names, and largest value. */
const MOST = 65536;

// Requests and answers are bytes behind their length, strings too; numbers have 32 bits, the highest first. To Perl's
// syscall what was used as a number is one, and everything else the address of a string, which has to be a variable.
const SCRIPT = `
$SIG{$_} = "IGNORE" for qw(INT TERM HUP QUIT);
binmode STDIN; binmode STDOUT;
my ($list, $get, $set, $utimens, $statx) = map { 0 + $_ } @ARGV;
my $big = "\\0" x ${MOST}; my $small = "\\0" x 512; my $status = "\\0" x 256;
my ($data, $at);
sub failed { return if $! == 4; select(undef, undef, undef, 0.001), return if $! == 11; exit 1 }
sub from {
  my ($n) = @_; my $b = "";
  while (length($b) < $n) {
    my $r = sysread(STDIN, $b, $n - length($b), length($b));
    defined $r ? $r || exit 0 : failed();
  }
  return $b;
}
sub answer {
  my $b = pack("N/a*", $_[0]); my $done = 0;
  while ($done < length($b)) {
    my $r = syswrite(STDOUT, $b, length($b) - $done, $done);
    defined $r ? ($done += $r) : failed();
  }
}
sub bytes { my ($n) = @_; $at += $n; return substr($data, $at - $n, $n) }
sub number { return unpack("N", bytes(4)) }
sub string { return bytes(number()) }
sub opened { my $h; return sysopen($h, $_[0], ${O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC}) ? $h : undef }
sub flags {
  my $f = "\\0" x 8;
  return $_[0] && ioctl($_[0], ${FS_IOC_GETFLAGS}, $f) ? unpack("L", $f) : undef;
}
sub look {
  my $out = ""; my $i = 0;
  for my $path (split(/\\0/, $data)) {
    my $names = \\$small; my $n = syscall($list, $path, $small, 512);
    if ($n < 0 && $! == 34) { $names = \\$big; $n = syscall($list, $path, $big, ${MOST}) }
    for my $name ($n > 0 ? split(/\\0/, substr($$names, 0, $n)) : ()) {
      my $m = syscall($get, $path, $name, $big, ${MOST});
      $out .= pack("NCN/a*N/a*", $i, 1, $name, substr($big, 0, $m)) if $m >= 0;
    }
    my ($had, $known, $kind) = (0, 0, 0);
    if (syscall($statx, ${AT_FDCWD}, $path, ${AT_SYMLINK_NOFOLLOW}, 0, $status) == 0) {
      ($had, $kind, $known) = unpack("x8 L x16 S x26 L", $status);
    } else { $kind = (lstat($path))[2] || 0 }
    $kind &= ${S_IFMT};
    $had = flags(opened($path)) || 0
      if ($known & ${FLAG_BITS}) != ${FLAG_BITS} && ($kind == ${S_IFREG} || $kind == ${S_IFDIR});
    $out .= pack("NCN", $i, 2, $had & ${FLAG_BITS}) if $had & ${FLAG_BITS};
    $i++;
  }
  return $out;
}
sub change {
  my $out = "";
  my $wrong = sub { $out .= pack("N/a*", "$_[0]: $_[1]: $!") };
  while ($at < length($data)) {
    my $path = string();
    for (1 .. number()) {
      my $name = string(); my $value = string();
      $wrong->($path, $name) if syscall($set, $path, $name, $value, length($value), 0) != 0;
    }
    my $times = string();
    $wrong->($path, "times")
      if $times ne "" && syscall($utimens, ${AT_FDCWD}, $path, $times, ${AT_SYMLINK_NOFOLLOW}) != 0;
    my $wanted = number();
    next if $wanted == ${NO_FLAGS};
    my $handle = opened($path); my $now = flags($handle);
    next if !defined $now && !$wanted;
    my $then = ($now || 0) & ~${FLAG_BITS} | $wanted;
    next if defined $now && $then == $now;
    my $f = pack("L2", $then, 0);
    $wrong->($path, "flags") if !defined $now || !ioctl($handle, ${FS_IOC_SETFLAGS}, $f);
  }
  return $out;
}
for (;;) {
  $data = from(unpack("N", from(4))); $at = 1;
  my $what = substr($data, 0, 1);
  if ($what eq "r") { $data = substr($data, 1); answer(look()) }
  elsif ($what eq "w") { answer(change()) }
  else {
    my ($path, $times) = ("", "\\0" x 32);
    syscall($utimens, ${AT_FDCWD}, $path, $times, 0);
    answer($! == 2 ? "ready" : "");
  }
}
`;

/** What is to be set of a path, in this order. */
export interface AttributeChange {
  path: string;
  xattrs: readonly (readonly [name: string, value: Uint8Array])[];
  times: { atime: bigint; mtime: bigint } | undefined;
  /** FS_*_FL; those of immutable, append and nodump that are not given are cleared. */
  flags: number | undefined;
}

export interface FoundAttributes {
  xattrs: Map<string, Uint8Array>;
  flags: number;
}

/** The end of a pipe to a child: Node's has a descriptor, which this thread may wait on. */
interface Pipe {
  _handle?: { fd?: number; readStop?: () => unknown };
  unref?: () => unknown;
}

const pause = new Int32Array(new SharedArrayBuffer(4));

export class SyscallHelper {
  readonly #child: ChildProcess;
  readonly #to: number;
  readonly #from: number;
  #gone = false;
  /** Until when it has to answer: a wrapper may take its place that never does. Later a system call may take any time. */
  #deadline = performance.now() + START_MS;

  private constructor(child: ChildProcess, to: number, from: number) {
    this.#child = child;
    this.#to = to;
    this.#from = from;
  }

  /** Undefined where there is no such way on this machine. @param perl its path */
  static start(perl: string): SyscallHelper | undefined {
    const numbers = NUMBERS[runtime.arch];
    if (!isLinux || runtime.name !== "node" || !numbers) return undefined;
    const { PERL5OPT: _, PERL_UNICODE: __, PERL5DB: ___, ...env } = process.env;
    const child = spawn(perl, ["-e", SCRIPT, ...numbers.map(String)], {
      stdio: ["pipe", "pipe", "ignore"],
      env: { ...env, LC_ALL: "C" },
    });
    // Nothing is asked of what could not be started, nor killed: Node 20 sends such a signal to its whole process group.
    child.on("error", () => undefined);
    if (child.pid === undefined) return undefined;
    child.unref();
    const pipes = [child.stdin, child.stdout] as (Pipe | null)[];
    for (const pipe of pipes) pipe?.unref?.();
    const [to, from] = pipes.map((pipe) => pipe?._handle?.fd ?? -1) as [number, number];
    if (to < 0 || from < 0) {
      child.kill("SIGKILL");
      return undefined;
    }
    // What it writes is read here, not in the event loop.
    pipes[1]?._handle?.readStop?.();
    const helper = new SyscallHelper(child, to, from);
    const answer = helper.#ask("?", new Uint8Array(0));
    helper.#deadline = Number.POSITIVE_INFINITY;
    if (answer && fsDecode(answer) === "ready") return helper;
    child.kill("SIGKILL");
    return undefined;
  }

  /** Attributes and flags by the index of their path; of most there are none. Undefined if the helper is gone. */
  read(paths: readonly string[]): Map<number, FoundAttributes> | undefined {
    const answer = this.#ask("r", fsEncode(paths.join("\0")));
    if (!answer) return undefined;
    const found = new Map<number, FoundAttributes>();
    for (const reader = new FieldReader(answer); reader.more; ) {
      const i = reader.u32();
      let one = found.get(i);
      if (!one) {
        one = { xattrs: new Map(), flags: 0 };
        found.set(i, one);
      }
      if (reader.u8() === 1) {
        const name = fsDecode(reader.text());
        one.xattrs.set(name, reader.text().slice());
      } else one.flags = reader.u32();
    }
    return found;
  }

  /** Sets all of it; what could not be set, in words. Undefined if the helper is gone: then it is to be done again. */
  write(changes: readonly AttributeChange[]): string[] | undefined {
    const parts: Uint8Array[] = [];
    for (const { path, xattrs, times, flags } of changes) {
      parts.push(text(fsEncode(path)), u32(xattrs.length));
      for (const [name, value] of xattrs) parts.push(text(fsEncode(name)), text(value));
      parts.push(text(times ? timespecs(times.atime, times.mtime) : ""), u32(flags ?? NO_FLAGS));
    }
    const answer = this.#ask("w", Buffer.concat(parts));
    if (!answer) return undefined;
    const complaints: string[] = [];
    for (const reader = new FieldReader(answer); reader.more; ) complaints.push(fsDecode(reader.text()));
    return complaints;
  }

  /** The answer to a request; undefined, from then on, if the helper has died. */
  #ask(kind: string, data: Uint8Array): Uint8Array | undefined {
    if (this.#gone) return undefined;
    try {
      const request = text(Buffer.concat([Buffer.from(kind, "latin1"), data]));
      this.#all(request, (at) => writeSync(this.#to, request, at));
      const length = Buffer.alloc(4);
      this.#all(length, (at) => readSync(this.#from, length, at, length.length - at, null));
      const answer = new Uint8Array(length.readUInt32BE());
      this.#all(answer, (at) => readSync(this.#from, answer, at, answer.length - at, null));
      return answer;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === undefined) throw error;
      this.#gone = true;
      this.#child.kill("SIGKILL");
      return undefined;
    }
  }

  /** Goes on until all bytes have passed: the descriptor does not wait by itself. */
  #all(bytes: Uint8Array, pass: (at: number) => number): void {
    let wait = 0.02;
    for (let at = 0; at < bytes.length; ) {
      try {
        const n = pass(at);
        if (n === 0) throw Object.assign(new Error("the helper has ended"), { code: "EPIPE" });
        at += n;
        wait = 0.02;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN" || performance.now() > this.#deadline)
          throw error;
        Atomics.wait(pause, 0, 0, wait);
        wait = Math.min(2 * wait, 2);
      }
    }
  }
}

/** Two `struct timespec` of 64-bit fields, little-endian as all machines are that NUMBERS has. */
function timespecs(atime: bigint, mtime: bigint): Uint8Array {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  for (const [i, ns] of [atime, mtime].entries()) {
    const [sec, nsec] = splitNs(ns);
    view.setBigInt64(16 * i, BigInt(sec), true);
    view.setBigInt64(16 * i + 8, BigInt(nsec), true);
  }
  return bytes;
}
