// Which extended attributes this process is told of when it lists a file's.
import { readFileSync } from "node:fs";
import { isLinux } from "./platform.ts";

/** All there are, or all but the trusted ones, which only CAP_SYS_ADMIN of the machine itself is shown. */
export type AttributeSight = "all" | "some";

const CAP_SYS_ADMIN = 21n;
/** Mount options that hide attributes or ACLs until the file system is mounted without them. */
const HIDING = /[ ,](noacl|nouser_xattr|noxattr)([ ,]|$)/m;

/** Undefined where that cannot be told, or where another mount of a file system might show more. */
export function attributeSight(): AttributeSight | undefined {
  if (!isLinux) return undefined;
  try {
    const [mountinfo, status, map] = ["mountinfo", "status", "uid_map"].map((name) =>
      readFileSync(`/proc/self/${name}`, "latin1"),
    );
    return sightOf(mountinfo!, status!, map!);
  } catch {
    return undefined; // no /proc
  }
}

/** The same from the texts of those files. */
export function sightOf(mountinfo: string, status: string, uidMap: string): AttributeSight | undefined {
  if (HIDING.test(mountinfo)) return undefined;
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  if (effective === undefined) return undefined;
  // Root of a user namespace has the capability, but not that of the machine.
  const isOfMachine = /^\s*0\s+0\s+4294967295\s*$/.test(uidMap);
  return isOfMachine && (BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n ? "all" : "some";
}
