// Names of users and groups, as Python's pwd and grp modules answer: /etc/passwd and /etc/group first, then
// whatever else the system's name service knows (LDAP, systemd, …) through the C library or getent. Answers are
// kept for the life of the process, as in Borg.
import { execFileSync, type StdioOptions } from "node:child_process";
import { readFileSync } from "node:fs";
import os from "node:os";
import process from "node:process";
import { type Libc, libc, NAME, POINTER, pointerAt, SMALL, VALUE, VALUE_SIZE } from "./libc.ts";
import { fsDecode } from "./pathbytes.ts";

type Database = "passwd" | "group";

class Names {
  private readonly database: Database;
  private readonly names = new Map<number, string | null>();
  private readonly ids = new Map<string, number | null>();
  private loaded = false;

  constructor(database: Database) {
    this.database = database;
  }

  name(id: number): string | null {
    this.load();
    let name = this.names.get(id);
    if (name === undefined) {
      name = ask(this.database, String(id), id)?.name ?? null;
      this.names.set(id, name);
    }
    return name;
  }

  id(name: string): number | null {
    this.load();
    let id = this.ids.get(name);
    if (id === undefined) {
      // A name of digits only would be taken for an id by getent.
      const found = name === "" || /^\d+$/.test(name) ? undefined : ask(this.database, name);
      id = found && found.name === name ? found.id : null;
      this.ids.set(name, id);
    }
    return id;
  }

  private load(): void {
    if (this.loaded) return;
    this.loaded = true;
    let text: string;
    try {
      text = fsDecode(readFileSync(`/etc/${this.database}`));
    } catch {
      return; // no such file: everything is asked for
    }
    for (const line of text.split("\n")) {
      const entry = parseEntry(line);
      if (!entry) continue;
      if (!this.names.has(entry.id)) this.names.set(entry.id, entry.name);
      if (!this.ids.has(entry.name)) this.ids.set(entry.name, entry.id);
    }
  }
}

interface Entry {
  name: string;
  id: number;
}

function parseEntry(line: string): Entry | undefined {
  const [name, , id] = line.split(":");
  // "+" and "-" lines are directives of the old compat mode, not names.
  if (!name || !id || !/^\d+$/.test(id) || /^[#+-]/.test(name)) return undefined;
  return { name, id: Number(id) };
}

function ask(database: Database, key: string, id?: number): Entry | undefined {
  const c = libc();
  if (c) {
    const found = askLibc(c, database, key, id);
    if (found !== "again") return found;
  }
  try {
    const options = { stdio: ["ignore", "pipe", "ignore"] as StdioOptions, timeout: 20_000 };
    return parseEntry(fsDecode(execFileSync("getent", [database, key], options)).split("\n")[0]!);
  } catch {
    return undefined; // not found, or no getent
  }
}

/** By getpwnam_r and its like; "again" where they gave no answer. Exported for the test of the layouts.
 *  struct passwd and struct group both begin with two pointers, the first one the name's; then comes the id. */
export function askLibc(c: Libc, database: Database, key: string, id?: number): Entry | undefined | "again" {
  const what = database === "passwd" ? "getpw" : "getgr";
  const name = `${what}${id === undefined ? "nam" : database === "passwd" ? "uid" : "gid"}_r` as "getpwnam_r";
  const f = c.find(name);
  if (!f) return "again";
  const result = SMALL + 128;
  c.memory.fill(0, SMALL, result + 8);
  const first = id === undefined ? c.path(key, NAME) : id;
  const status = f(first, c.address + SMALL, c.address + VALUE, VALUE_SIZE, c.address + result);
  if (status !== 0) return "again"; // a huge group may need more room than there is here
  if (pointerAt(c.memory, result) === 0) return undefined;
  const at = pointerAt(c.memory, SMALL) - c.address;
  if (at < VALUE || at >= VALUE + VALUE_SIZE) return "again";
  const end = c.memory.indexOf(0, at);
  return { name: c.decode(at, end - at), id: c.u32[(SMALL + 2 * POINTER) >> 2]! };
}

const users = new Names("passwd");
const groups = new Names("group");

/** Name of a user id, or null. */
export function userName(uid: number): string | null {
  return users.name(uid);
}

export function groupName(gid: number): string | null {
  return groups.name(gid);
}

/** Id of a user name, or null. */
export function userId(name: string): number | null {
  return users.id(name);
}

export function groupId(name: string): number | null {
  return groups.id(name);
}

/** Borg's `{user}`: the name of the real user id, or the number itself. */
export function osUserName(): string {
  const uid = process.getuid?.();
  if (uid === undefined) return os.userInfo().username;
  return userName(uid) ?? String(uid);
}
