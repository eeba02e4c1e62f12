// POSIX ACLs: between the kernel's binary form (the attributes system.posix_acl_access and _default, version 2)
// and the text that Borg keeps in acl_access and acl_default, which is libacl's with one more field, the numeric
// id (linux.pyx: acl_append_numeric_ids, acl_numeric_ids, acl_use_local_uid_gid, posix_acl_use_stored_uid_gid).
import { fsDecode, fsEncode } from "../format/bytes.ts";
import { groupId, groupName, userId, userName } from "../runtime/users.ts";

export const ACL_ACCESS_XATTR = "system.posix_acl_access";
export const ACL_DEFAULT_XATTR = "system.posix_acl_default";

const VERSION = 2;
const USER_OBJ = 0x01;
const USER = 0x02;
const GROUP_OBJ = 0x04;
const GROUP = 0x08;
const MASK = 0x10;
const OTHER = 0x20;
const NO_ID = 0xffffffff;

export interface AclEntry {
  tag: number;
  /** rwx as 4, 2, 1. */
  perm: number;
  /** User or group id of a named entry. */
  id: number;
}

const tagNames: Record<number, string> = {
  [USER_OBJ]: "user",
  [USER]: "user",
  [GROUP_OBJ]: "group",
  [GROUP]: "group",
  [MASK]: "mask",
  [OTHER]: "other",
};

/** Entries of the kernel's binary form, sorted by tag and id. @throws RangeError if it is none */
export function parseAclXattr(bytes: Uint8Array): AclEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4 || (bytes.length - 4) % 8 !== 0 || view.getUint32(0, true) !== VERSION) {
    throw new RangeError("not an ACL of version 2");
  }
  const entries: AclEntry[] = [];
  for (let at = 4; at < bytes.length; at += 8) {
    const tag = view.getUint16(at, true);
    if (!(tag in tagNames)) throw new RangeError(`an ACL with the unknown tag ${tag}`);
    entries.push({ tag, perm: view.getUint16(at + 2, true) & 7, id: view.getUint32(at + 4, true) });
  }
  return sort(entries);
}

/** The kernel's binary form. */
export function formatAclXattr(entries: readonly AclEntry[]): Uint8Array {
  const out = new Uint8Array(4 + 8 * entries.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, VERSION, true);
  sort([...entries]).forEach((e, i) => {
    view.setUint16(4 + 8 * i, e.tag, true);
    view.setUint16(6 + 8 * i, e.perm, true);
    view.setUint32(8 + 8 * i, e.tag === USER || e.tag === GROUP ? e.id : NO_ID, true);
  });
  return out;
}

function sort(entries: AclEntry[]): AclEntry[] {
  return entries.sort((a, b) => a.tag - b.tag || a.id - b.id);
}

/** The three entries that say no more than the mode does: what libacl gives for a file without an access ACL. */
export function aclFromMode(mode: number): AclEntry[] {
  return [
    { tag: USER_OBJ, perm: (mode >> 6) & 7, id: NO_ID },
    { tag: GROUP_OBJ, perm: (mode >> 3) & 7, id: NO_ID },
    { tag: OTHER, perm: mode & 7, id: NO_ID },
  ];
}

/** Borg's text. With `numericIds` the names stay out of it. */
export function aclToText(entries: readonly AclEntry[], numericIds: boolean): Uint8Array {
  const mask = entries.find((e) => e.tag === MASK)?.perm ?? 7;
  const lines = entries.map((e) => {
    // libacl appends a tab and "#effective:..." where the mask takes something away; Borg cuts off the comment,
    // the tab stays. Written alike, equal metadata stay equal chunks.
    const masked = (e.tag & (USER | GROUP | GROUP_OBJ)) !== 0 && (e.perm & mask) !== e.perm;
    const start = `${tagNames[e.tag]}:`;
    const rights = permText(e.perm) + (masked ? "\t" : "");
    if (e.tag !== USER && e.tag !== GROUP) return `${start}:${rights}`;
    const name = numericIds ? null : e.tag === USER ? userName(e.id) : groupName(e.id);
    return `${start}${name === null ? e.id : quote(name)}:${rights}:${e.id}`;
  });
  return fsEncode(lines.join("\n"));
}

/**
 * Entries of Borg's text. Names are looked up here and fall back to the stored id; with `numericIds` the stored id
 * is taken. @throws RangeError if the text is no ACL or names somebody unknown
 */
export function aclFromText(text: Uint8Array, numericIds: boolean): AclEntry[] {
  const entries: AclEntry[] = [];
  for (const raw of fsDecode(text).split("\n")) {
    const line = raw.replace(/#.*/, "").trim();
    if (line !== "") entries.push(parseLine(line, numericIds));
  }
  return sort(entries);
}

function parseLine(line: string, numericIds: boolean): AclEntry {
  const [type = "", who = "", rights = "", stored] = line.split(":").map((field) => field.trim());
  const bad = (why: string) => new RangeError(`cannot use the ACL entry "${line}": ${why}`);
  if (!/^[rwx-]*$/.test(rights)) throw bad("unknown permissions");
  const perm =
    (rights.includes("r") ? 4 : 0) | (rights.includes("w") ? 2 : 0) | (rights.includes("x") ? 1 : 0);
  const named = (tag: number, lookUp: (name: string) => number | null): AclEntry => {
    const name = unquote(who);
    const found = numericIds && stored ? null : lookUp(name);
    const id = found ?? Number(stored || (/^\d+$/.test(name) ? name : "x"));
    if (!Number.isSafeInteger(id) || id < 0 || id >= NO_ID) throw bad("unknown name");
    return { tag, perm, id };
  };
  switch (type) {
    case "user":
    case "u":
      return who === "" ? { tag: USER_OBJ, perm, id: NO_ID } : named(USER, userId);
    case "group":
    case "g":
      return who === "" ? { tag: GROUP_OBJ, perm, id: NO_ID } : named(GROUP, groupId);
    case "mask":
    case "m":
      return { tag: MASK, perm, id: NO_ID };
    case "other":
    case "o":
      return { tag: OTHER, perm, id: NO_ID };
    default:
      throw bad("unknown kind");
  }
}

function permText(perm: number): string {
  return (perm & 4 ? "r" : "-") + (perm & 2 ? "w" : "-") + (perm & 1 ? "x" : "-");
}

/** libacl writes characters that would break the text as a backslash and three octal digits. */
function quote(name: string): string {
  return name.replace(/[:, \t\n\r\\#]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

function unquote(name: string): string {
  return name.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
