// POSIX ACLs: from the text that Borg stores (acl_to_text with the numeric id as a fourth field) to the binary
// form of the extended attributes system.posix_acl_access and system.posix_acl_default (Linux posix_acl_xattr.h),
// so that tools that read ACLs find them on a mount.

export interface AclIds {
  uid(name: string): number | undefined;
  gid(name: string): number | undefined;
}

const VERSION = 2;
const NO_ID = 0xffffffff;
const order = { user: 0x01, namedUser: 0x02, group: 0x04, namedGroup: 0x08, mask: 0x10, other: 0x20 };

/** Binary ACL, undefined where the text is none. `ids` absent: numbers as stored. */
export function aclToXattr(text: string, ids?: AclIds): Uint8Array | undefined {
  const entries: { tag: number; permissions: number; id: number }[] = [];
  for (const line of text.split(/[\n,]/)) {
    const entry = line.replace(/#.*$/, "").trim();
    if (entry === "") continue;
    const [kind, name = "", letters = "", stored] = entry.split(":");
    let permissions = 0;
    if (letters.includes("r")) permissions |= 4;
    if (letters.includes("w")) permissions |= 2;
    if (letters.includes("x")) permissions |= 1;
    let tag: number;
    let id = NO_ID;
    if (kind === "user" || kind === "u") {
      tag = name ? order.namedUser : order.user;
      if (name) id = ids?.uid(name) ?? Number(stored ?? name);
    } else if (kind === "group" || kind === "g") {
      tag = name ? order.namedGroup : order.group;
      if (name) id = ids?.gid(name) ?? Number(stored ?? name);
    } else if (kind === "mask" || kind === "m") tag = order.mask;
    else if (kind === "other" || kind === "o") tag = order.other;
    else return undefined;
    if (!Number.isInteger(id) || id < 0 || id > NO_ID) return undefined;
    entries.push({ tag, permissions, id });
  }
  if (entries.length === 0) return undefined;
  entries.sort((a, b) => a.tag - b.tag);
  const bytes = new Uint8Array(4 + 8 * entries.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, VERSION, true);
  entries.forEach((e, i) => {
    view.setUint16(4 + 8 * i, e.tag, true);
    view.setUint16(6 + 8 * i, e.permissions, true);
    view.setUint32(8 + 8 * i, e.id, true);
  });
  return bytes;
}
