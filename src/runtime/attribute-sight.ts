// Which extended attributes this process is told of when it lists a file's.
import { readFileSync } from "node:fs";
import { isLinux } from "./platform.ts";

/** All there are, or all but the trusted ones, which only CAP_SYS_ADMIN of the machine itself is shown. */
export type AttributeSight = "all" | "some";

const CAP_SYS_ADMIN = 21n;
/** Mount options that hide attributes or ACLs until the file system is mounted without them. */
const HIDING = /[ ,](noacl|nouser_xattr|noxattr)(,|$)/m;

/** Undefined where that cannot be told, or where another mount of a file system might show more. */
export function attributeSight(): AttributeSight | undefined {
  if (!isLinux) return undefined;
  try {
    const read = (name: string): string => readFileSync(`/proc/self/${name}`, "latin1");
    if (HIDING.test(read("mountinfo"))) return undefined;
    const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(read("status"))?.[1];
    if (effective === undefined) return undefined;
    const isOfMachine = /^\s*0\s+0\s+4294967295\s*$/.test(read("uid_map"));
    return isOfMachine && (BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n ? "all" : "some";
  } catch {
    return undefined; // no /proc
  }
}
