// Metadata through the system's own programs, for a runtime that cannot call the C library: Perl (syscall-helper.ts), or
// getfattr and setfattr (which carry POSIX ACLs and capabilities too), lsattr and chattr, touch; mknod and mkfifo. Starting
// a program costs a millisecond, so reading is done for a whole directory at once and writing is collected and flushed.
// Names go over standard input (xargs -0, sh), because arguments cannot hold bytes that are no UTF-8.
import { spawnSync } from "node:child_process";
import nodeFs from "node:fs";
import process from "node:process";
import { FS_APPEND_FL, FS_IMMUTABLE_FL, FS_NODUMP_FL } from "./constants.ts";
import { systemError } from "./errno.ts";
import { libc } from "./libc.ts";
import { fsDecode, fsEncode, nodePath } from "./pathbytes.ts";
import { isLinux, runtime } from "./platform.ts";
import { devMajor, devMinor, S_IFBLK, S_IFIFO, S_IFMT, splitNs } from "./stat.ts";
import { type AttributeChange, SyscallHelper } from "./syscall-helper.ts";

const known = new Map<string, string | null>();

/** Where a program is, as the shell would find it, with the system directories added. */
export function findTool(name: string): string | undefined {
  let found = known.get(name);
  if (found === undefined) {
    const directories = `${process.env["PATH"] ?? "/usr/bin:/bin"}:/usr/sbin:/sbin`.split(":");
    found = directories.map((d) => `${d}/${name}`).find(isExecutable) ?? null;
    known.set(name, found);
  }
  return found ?? undefined;
}

let helper: SyscallHelper | null | undefined;

/** What sets and tells attributes for this thread by system calls; undefined where only the tools can. ALCOVE_HELPER=none: as
 *  if there were none. */
function syscallHelper(): SyscallHelper | undefined {
  if (helper === undefined) {
    const perl = process.env["ALCOVE_HELPER"] === "none" ? undefined : findTool("perl");
    helper = (perl && SyscallHelper.start(perl)) || null;
  }
  return helper ?? undefined;
}

function isExecutable(path: string): boolean {
  try {
    nodeFs.accessSync(path, nodeFs.constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

interface Output {
  stdout: Uint8Array;
  /** Lines that the program wrote about its troubles. */
  complaints: string[];
}

function run(program: string, args: string[], input: Uint8Array): Output {
  const env = { ...process.env, LC_ALL: "C" };
  const result = spawnSync(findTool(program) ?? program, args, { input, env, maxBuffer: 1 << 30 });
  if (result.error) return { stdout: new Uint8Array(0), complaints: [`${program}: ${result.error.message}`] };
  const complaints = fsDecode(result.stderr)
    .split("\n")
    .filter((line) => line !== "");
  return { stdout: result.stdout, complaints };
}

// --- reading ---

export interface ToolAttributes {
  /** Every attribute with its value, `system.posix_acl_*` among them. */
  xattrs: Map<string, Uint8Array>;
}

const NONE: ToolAttributes = { xattrs: new Map() };

/** Attributes of many paths, symlinks not followed. Paths without any are not in the answer. */
export function readXattrs(paths: readonly string[]): Map<string, ToolAttributes> {
  const found = new Map<string, ToolAttributes>();
  if (!findTool("getfattr") || !findTool("xargs")) return found;
  const args = ["-0", "getfattr", "-h", "-d", "-m", "-", "-e", "hex", "--absolute-names", "--"];
  const { stdout } = run("xargs", args, fsEncode(paths.map((p) => `${p}\0`).join("")));
  let current: ToolAttributes | undefined;
  for (const line of fsDecode(stdout).split("\n")) {
    if (line.startsWith("# file: ")) {
      current = { xattrs: new Map() };
      found.set(unescapeOctal(line.slice(8)), current);
    } else if (current && line !== "") {
      const equals = line.indexOf("=");
      const value = equals < 0 ? "" : line.slice(equals + 1).replace(/^0x/, "");
      const name = unescapeOctal(equals < 0 ? line : line.slice(0, equals));
      current.xattrs.set(name, Uint8Array.from(Buffer.from(value, "hex")));
    }
  }
  return found;
}

/** FS_*_FL flags (immutable, append, nodump) of files and directories; others and failures are left out. */
export function readFlags(paths: readonly string[]): Map<string, number> {
  const found = new Map<string, number>();
  if (!findTool("lsattr") || !findTool("xargs")) return found;
  const { stdout } = run(
    "xargs",
    ["-0", "lsattr", "-d", "--"],
    fsEncode(paths.map((p) => `${p}\0`).join("")),
  );
  const text = fsDecode(stdout);
  let at = 0;
  // One line for each path, in their order, without those that have no flags. Names may hold newlines.
  for (const path of paths) {
    const letters = /^[-\w]+ +/.exec(text.slice(at, at + 80))?.[0];
    if (letters === undefined || !text.startsWith(`${path}\n`, at + letters.length)) continue;
    let flags = 0;
    if (letters.includes("i")) flags |= FS_IMMUTABLE_FL;
    if (letters.includes("a")) flags |= FS_APPEND_FL;
    if (letters.includes("d")) flags |= FS_NODUMP_FL;
    found.set(path, flags);
    at += letters.length + path.length + 1;
  }
  return found;
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => {
    const byte = Number.parseInt(digits, 8);
    return String.fromCharCode(byte < 0x80 ? byte : 0xdc00 | byte);
  });
}

/** Looks whole directories up at once, so that a backup starts two programs a directory, not two a file. */
export class ToolReader {
  private directory: string | undefined;
  private xattrs = new Map<string, ToolAttributes>();
  private flags = new Map<string, number>();
  private asked = new Set<string>();

  xattrsOf(path: string): Map<string, Uint8Array> {
    this.load(path);
    return (this.xattrs.get(path) ?? NONE).xattrs;
  }

  flagsOf(path: string): number | undefined {
    this.load(path);
    return this.flags.get(path);
  }

  private load(path: string): void {
    if (this.asked.has(path)) return;
    const slash = path.lastIndexOf("/");
    const directory = slash < 0 ? "." : path.slice(0, slash + 1);
    const paths = new Set([path]);
    if (directory !== this.directory) {
      this.directory = directory;
      try {
        for (const name of nodeFs.readdirSync(nodePath(directory), { encoding: "buffer" })) {
          paths.add((slash < 0 ? "" : directory) + fsDecode(name));
        }
      } catch {
        // the directory cannot be read: this path alone then
      }
    }
    this.asked = paths;
    const asked = [...paths];
    const found = syscallHelper()?.read(asked);
    if (found) {
      const all = [...found].map(([i, one]) => [asked[i]!, one] as const);
      this.xattrs = new Map(all);
      this.flags = new Map(all.map(([p, { flags }]) => [p, flags]));
    } else {
      this.xattrs = readXattrs(asked);
      this.flags = readFlags(asked);
    }
  }
}

// --- writing ---

interface Pending extends AttributeChange {
  xattrs: [name: string, value: Uint8Array][];
}

/** Collects attributes to set; `flush` sets them in Borg's order: attributes, times, flags. */
export class ToolWriter {
  private readonly pending = new Map<string, Pending>();

  get size(): number {
    return this.pending.size;
  }

  xattr(path: string, name: string, value: Uint8Array): void {
    this.entry(path).xattrs.push([name, value]);
  }

  times(path: string, atime: bigint, mtime: bigint): void {
    this.entry(path).times = { atime, mtime };
  }

  /** FS_*_FL flags; those of immutable, append and nodump that are not given are cleared. */
  flags(path: string, flags: number): void {
    this.entry(path).flags = flags;
  }

  private entry(path: string): Pending {
    let entry = this.pending.get(path);
    if (!entry) {
      entry = { path, xattrs: [], times: undefined, flags: undefined };
      this.pending.set(path, entry);
    }
    return entry;
  }

  /** What could not be set, as the programs said it. */
  flush(): string[] {
    const all = [...this.pending.values()];
    this.pending.clear();
    if (all.length === 0) return [];
    const done = syscallHelper()?.write(all);
    if (done) return done;
    const complaints: string[] = [];
    const withXattrs = all.filter((p) => p.xattrs.length > 0);
    if (withXattrs.length > 0 && findTool("setfattr")) {
      const text = withXattrs.map(
        (p) => `# file: ${escapeOctal(p.path)}\n${p.xattrs.map(dumpLine).join("")}\n`,
      );
      complaints.push(...run("setfattr", ["-h", "--restore=-"], fsEncode(text.join(""))).complaints);
    }
    const script = all.map((p) => touchLines(p)).join("") + all.map((p) => chattrLine(p)).join("");
    if (script !== "") complaints.push(...run("sh", ["-s"], fsEncode(script)).complaints);
    return complaints;
  }
}

function dumpLine([name, value]: [string, Uint8Array]): string {
  return `${escapeOctal(name)}=0x${Buffer.from(value).toString("hex")}\n`;
}

function escapeOctal(text: string): string {
  return text.replace(/[\\=\n\r]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

/** One word for sh, whatever bytes it holds. */
function shellWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function touchLines(p: Pending): string {
  if (!p.times) return "";
  const path = shellWord(p.path);
  const touch = (which: string, time: bigint): string =>
    `touch -h -c ${which}-d @${decimal(time)} -- ${path}\n`;
  const { atime, mtime } = p.times;
  return atime === mtime ? touch("", mtime) : touch("-a ", atime) + touch("-m ", mtime);
}

/** Nanoseconds as seconds with nine decimals: exact, which a double is not. */
function decimal(ns: bigint): string {
  const [sec, nsec] = splitNs(ns < 0n ? -ns : ns);
  return `${ns < 0n ? "-" : ""}${sec}.${String(nsec).padStart(9, "0")}`;
}

function chattrLine(p: Pending): string {
  if (p.flags === undefined || !findTool("chattr")) return "";
  let [on, off] = ["", ""];
  for (const [letter, bit] of [
    ["i", FS_IMMUTABLE_FL],
    ["a", FS_APPEND_FL],
    ["d", FS_NODUMP_FL],
  ] as const) {
    if (p.flags & bit) on += letter;
    else off += letter;
  }
  return `chattr ${off && `-${off} `}${on && `+${on} `}-- ${shellWord(p.path)}\n`;
}

/** A fifo or device by mkfifo or mknod. @throws a system error with the program's words */
export function makeNode(path: string, mode: number, rdev: number | bigint): void {
  const type = mode & S_IFMT;
  const program = type === S_IFIFO ? "mkfifo" : "mknod";
  if (!findTool(program)) throw systemError(program, 38 /* ENOSYS */, path);
  const numbers =
    type === S_IFIFO ? "" : ` ${type === S_IFBLK ? "b" : "c"} ${devMajor(rdev)} ${devMinor(rdev)}`;
  // Not by -m, which the mknod of the BSDs and macOS has not.
  const umask = (~mode & 0o777).toString(8).padStart(4, "0");
  const script = `umask ${umask}; ${program} -- ${shellWord(path)}${numbers}\n`;
  const { complaints } = run("sh", ["-s"], fsEncode(script));
  if (complaints.length > 0) {
    const errno = /permitted|denied/.test(complaints[0]!) ? 1 : /exists/.test(complaints[0]!) ? 17 : 22;
    throw Object.assign(systemError(program, errno, path), { message: complaints[0] });
  }
}

/** Which kinds of attributes are wanted: not with --noxattrs, --noacls, --noflags. */
export interface WantedAttributes {
  xattrs?: boolean;
  acls?: boolean;
  flags?: boolean;
}

/**
 * One sentence on what of a file's metadata cannot be saved (or restored) on this machine, and what would help;
 * undefined where nothing is lost.
 */
export function metadataLimits(direction: "save" | "restore", wanted: WantedAttributes): string | undefined {
  if (libc()) return undefined;
  const save = direction === "save";
  const attributes = [
    wanted.xattrs !== false ? "extended attributes" : "",
    wanted.xattrs !== false && isLinux ? "capabilities" : "",
    wanted.acls !== false ? "ACLs" : "",
  ].filter(Boolean);
  const lost: string[] = [];
  if (isLinux) {
    // Deno's own file functions know text only; Node's and Bun's take bytes.
    if (runtime.name === "deno") lost.push("names that are not UTF-8 (run deno with --allow-ffi)");
    const helped = syscallHelper() !== undefined;
    const withoutTools =
      !helped && (!findTool(save ? "getfattr" : "setfattr") || (save && !findTool("xargs")));
    if (attributes.length > 0 && withoutTools)
      lost.push(`${listed(attributes)} (install perl or the package attr)`);
    if (wanted.flags !== false && !helped && !findTool(save ? "lsattr" : "chattr"))
      lost.push("file flags (install e2fsprogs)");
    if (!save && !helped && !findTool("touch")) lost.push("nanoseconds of times (install coreutils)");
    if (!save && !findTool("mknod")) lost.push("device nodes (install coreutils)");
    if (!save && !findTool("mkfifo")) lost.push("fifos (install coreutils)");
    if (lost.length === 0) return undefined;
    return `This runtime cannot call the C library, so these cannot be ${save ? "saved" : "restored"}: ${lost.join("; ")}.`;
  }
  if (wanted.flags !== false) attributes.push("file flags");
  if (!save) attributes.push("nanoseconds of times");
  if (attributes.length === 0) return undefined;
  return `On this operating system (${runtime.os}) these cannot be ${save ? "saved" : "restored"}: ${listed(attributes)}.`;
}

/** "a", "a and b", "a, b and c" */
function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join() : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}
