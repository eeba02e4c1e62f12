// Who we are, as Borg says it in its locks: FQDN@NODE, where FQDN is getaddrinfo's canonical name of the host
// name (Borg's platform/base.py) and NODE is Python's uuid.getnode(). A lock whose host id is not exactly ours
// belongs to a foreign machine and is never broken unasked, so this has to come out the same as in Borg.
import { execFileSync, type StdioOptions } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import os from "node:os";
import process from "node:process";
import { type Libc, libc, PATH_A, POINTER, pointerAt, putPointer, SMALL, VALUE } from "./libc.ts";
import { is32bit } from "./platform.ts";

/** Where struct addrinfo has its first pointer: after five fields of four bytes, aligned. */
const ADDRINFO = is32bit ? 20 : 24;

let cachedFqdn: string | undefined;
let cachedNode: bigint | undefined;

/** "HOST.DOMAIN@NODE", or what BORG_HOST_ID says. */
export function hostId(): string {
  return process.env["BORG_HOST_ID"] || `${fqdn()}@${getnode()}`;
}

/** The full host name as the kernel has it. */
export function fullHostname(): string {
  return os.hostname();
}

/** Borg's `{hostname}`: the part before the first dot. */
export function hostname(): string {
  return os.hostname().split(".")[0]!;
}

/** Borg's `{fqdn}`: the first canonical name that getaddrinfo gives for the host name, else the host name. */
export function fqdn(): string {
  cachedFqdn ??= canonicalName(os.hostname()) ?? os.hostname();
  return cachedFqdn;
}

function canonicalName(name: string): string | undefined {
  const c = libc();
  if (c?.find("getaddrinfo")) return canonicalNameFfi(c, name);
  // getent asks getaddrinfo for the same and prints the name on its first line (glibc; musl's has no "ahosts").
  try {
    const options = { stdio: ["ignore", "pipe", "ignore"] as StdioOptions, timeout: 20_000 };
    const found = String(execFileSync("getent", ["ahosts", name], options))
      .split("\n")[0]
      ?.trim()
      .split(/\s+/)[2];
    if (found) return found;
  } catch {
    // no getent, or the name is unknown to it
  }
  return canonicalNameFromHosts(name);
}

function canonicalNameFromHosts(name: string): string | undefined {
  try {
    for (const line of readFileSync("/etc/hosts", "utf8").split("\n")) {
      const words = line.replace(/#.*/, "").trim().split(/\s+/).slice(1);
      if (words.includes(name)) return words[0];
    }
  } catch {
    // no such file on this system
  }
  return undefined;
}

/** struct addrinfo on Linux: four ints, socklen_t, then from the next multiple of a pointer's size ai_addr,
 *  ai_canonname and ai_next. */
function canonicalNameFfi(c: Libc, name: string): string | undefined {
  const SOCK_DGRAM = 2;
  const AI_CANONNAME = 2;
  const hints = SMALL >> 2;
  c.i32.fill(0, hints, hints + 16);
  c.i32[hints] = AI_CANONNAME;
  c.i32[hints + 2] = SOCK_DGRAM;
  const result = SMALL + 64;
  const status = c.get("getaddrinfo")(c.path(name, PATH_A), 0, c.address + SMALL, c.address + result);
  if (status !== 0) return undefined;
  const first = pointerAt(c.memory, result);
  try {
    for (let at = first; at !== 0; ) {
      const info = c.ffi.peek(at, ADDRINFO + 3 * POINTER);
      const canonical = pointerAt(info, ADDRINFO + POINTER);
      if (canonical !== 0) {
        const text = peekString(c, canonical);
        if (text) return text;
      }
      at = pointerAt(info, ADDRINFO + 2 * POINTER);
    }
  } finally {
    c.get("freeaddrinfo")(first);
  }
  return undefined;
}

function peekString(c: Libc, address: number): string {
  const bytes: number[] = [];
  // Byte by byte: nothing beyond the closing zero may be touched.
  for (let i = 0; i < 1025; i++) {
    const byte = c.ffi.peek(address + i, 1)[0]!;
    if (byte === 0) break;
    bytes.push(byte);
  }
  return new TextDecoder().decode(new Uint8Array(bytes));
}

/**
 * Python's uuid.getnode(), 48 bits. Python asks libuuid, which takes the hardware address of the first interface
 * with an IPv4 address whose address is not zero. Without such an interface both make a random number for the
 * life of the process, with the multicast bit set.
 */
export function getnode(): bigint {
  cachedNode ??= nodeFromInterfaces() ?? nodeFromSystem() ?? randomNode();
  return cachedNode;
}

/** As libuuid does it: SIOCGIFCONF into 1024 bytes, then SIOCGIFHWADDR for each. Both are of struct ifreq: a name of
 *  16 bytes and a union whose largest member, struct ifmap, begins with two longs. */
function nodeFromInterfaces(): bigint | undefined {
  const c = libc();
  if (!c?.find("socket")) return undefined;
  const SIOCGIFCONF = 0x8912;
  const SIOCGIFHWADDR = 0x8927;
  const IFREQ = 24 + 2 * POINTER;
  const socket = c.get("socket")(2, 2, 0);
  if (socket < 0) return undefined;
  try {
    const ioctl = c.get("ioctl");
    c.memory.fill(0, VALUE, VALUE + 2048);
    // struct ifconf: int length, and the pointer at its own size
    c.memory.fill(0, SMALL, SMALL + 16);
    c.i32[SMALL >> 2] = 1024;
    putPointer(c.memory, SMALL + POINTER, c.address + VALUE);
    if (ioctl(socket, SIOCGIFCONF, c.address + SMALL) < 0) return undefined;
    const length = c.i32[SMALL >> 2]!;
    const request = VALUE + 1024;
    for (let at = VALUE; at + IFREQ <= VALUE + length; at += IFREQ) {
      c.memory.fill(0, request, request + IFREQ);
      c.memory.copyWithin(request, at, at + 16);
      if (ioctl(socket, SIOCGIFHWADDR, c.address + request) < 0) continue;
      const mac = macNumber(c.memory.subarray(request + 18, request + 24));
      if (mac !== 0n) return mac;
    }
    return undefined;
  } finally {
    c.get("close")(socket);
  }
}

function macNumber(mac: ArrayLike<number>): bigint {
  let n = 0n;
  for (let i = 0; i < 6; i++) n = (n << 8n) | BigInt(mac[i]!);
  return n;
}

/** The same from what the runtime knows; its list has only interfaces that are up. */
function nodeFromSystem(): bigint | undefined {
  try {
    for (const addresses of Object.values(os.networkInterfaces())) {
      const a = addresses?.find((x) => x.family === "IPv4");
      const mac = a && BigInt(`0x${a.mac.replaceAll(":", "")}`);
      if (mac) return mac;
    }
  } catch {
    // Deno without the permission
  }
  return undefined;
}

function randomNode(): bigint {
  return macNumber(randomBytes(6)) | (1n << 40n);
}
/** Who holds a lock: host id, process id, thread. Borg's thread is always 0. */
export function processId(): { host: string; pid: number; thread: number } {
  return { host: hostId(), pid: process.pid, thread: 0 };
}

/**
 * Whether a lock's holder may still be alive. Only for a process of this very host the answer can be no: of any
 * other machine, or of a thread number that Borg never writes, nothing is known.
 */
export function processAlive(host: string, pid: number, thread: number): boolean {
  if (host !== hostId() || thread !== 0) return true;
  return localPidAlive(pid);
}

export function localPidAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return true; // 0 and below mean process groups to kill(2)
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Anything but "no such process" (EPERM, say) means that there is one.
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
