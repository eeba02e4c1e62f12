// Where Borg keeps what belongs to a user and not to a repository: cache, keys and security information. The rules
// are those of Borg 1.4's helpers/fs.py: BORG_*_DIR, then BORG_BASE_DIR, then XDG, then the home directory.

import { readFileSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { dirname, join, resolve } from "node:path";
import { type Environment, silentPrompter } from "../crypto/environment.ts";
import { AlcoveError, describeSystemError } from "../errors.ts";
import { PosixStorage } from "../storage/posix.ts";
import type { Storage } from "../storage/types.ts";

export const CACHE_TAG_NAME = "CACHEDIR.TAG";
/** What a cache directory's tag begins with (bford.info/cachedir). */
export const CACHE_TAG_CONTENTS = "Signature: 8a477f597d28d172789f06886806bc55";

type Env = Environment["env"];

/** Home directory of root and of a user by name, from the password file; undefined if it is not there. */
function passwdHome(match: (name: string, uid: string) => boolean): string | undefined {
  let text: string;
  try {
    text = readFileSync("/etc/passwd", "utf8");
  } catch {
    // No password file: a system that names its users elsewhere. The callers have another answer.
    return undefined;
  }
  for (const line of text.split("\n")) {
    const [name, , uid, , , home] = line.split(":");
    if (name !== undefined && uid !== undefined && home && match(name, uid)) return home;
  }
  return undefined;
}

/** The directory under which the others are, by default. */
export function baseDir(env: Env): string {
  if (env["BORG_BASE_DIR"]) return env["BORG_BASE_DIR"];
  const home = env["HOME"];
  const uid = process.geteuid?.();
  if (home) {
    // sudo and mount helpers leave root's HOME to a process that is not root, and cannot write there.
    if (uid === undefined || uid === 0) return home;
    const root = passwdHome((_, id) => id === "0");
    if (root === undefined || resolve(home) !== resolve(root)) return home;
    const own = passwdHome((_, id) => id === String(uid)) ?? userInfo().homedir;
    if (own) return own;
  }
  const user = env["USER"];
  const named = user ? passwdHome((name) => name === user) : undefined;
  return named ?? homedir();
}

/** XDG applies only where BORG_BASE_DIR does not. */
function under(env: Env, own: string, xdg: string, dot: string): string {
  const given = env[own];
  if (given !== undefined) return given;
  const home = (env["BORG_BASE_DIR"] ? undefined : env[xdg]) ?? join(baseDir(env), dot);
  return join(home, "borg");
}

export function cacheDirPath(env: Env): string {
  return under(env, "BORG_CACHE_DIR", "XDG_CACHE_HOME", ".cache");
}

export function configDirPath(env: Env): string {
  return under(env, "BORG_CONFIG_DIR", "XDG_CONFIG_HOME", ".config");
}

export function keysDirPath(env: Env): string {
  return env["BORG_KEYS_DIR"] ?? join(configDirPath(env), "keys");
}

export function securityDirPath(env: Env, repositoryIdHex?: string): string {
  const dir = env["BORG_SECURITY_DIR"] ?? join(configDirPath(env), "security");
  return repositoryIdHex === undefined ? dir : join(dir, repositoryIdHex);
}

/** Makes a directory and its parents, for their owner only. @throws AlcoveError */
export function ensureDir(path: string, storage: (root: string) => Storage): string {
  const absolute = resolve(path);
  try {
    makeDirs(absolute, storage);
  } catch (error) {
    throw new AlcoveError(
      `The directory ${path} cannot be made: ${describeSystemError(error as NodeJS.ErrnoException)}`,
    );
  }
  return absolute;
}

// Not by mkdir's own option "recursive", which on Node never returns where a file system (/proc, say) answers ENOENT
// although the parent is there.
function makeDirs(path: string, storage: (root: string) => Storage): void {
  const here = storage(path);
  try {
    here.makeRoot(0o700);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const parent = dirname(path);
    if (code === "ENOENT" && !storage(parent).exists("")) {
      makeDirs(parent, storage);
      makeDirs(path, storage);
    } else if (!here.exists("") || here.stat("").kind !== "dir") throw error;
  }
}

/** The surroundings of a real user: directories by the rules above, files on the local file system. */
export function localEnvironment(
  env: Env,
  options: Partial<Pick<Environment, "prompter" | "log" | "storage">> = {},
): Environment {
  const storage = options.storage ?? ((root: string) => new PosixStorage(root));
  return {
    env,
    prompter: options.prompter ?? silentPrompter(env),
    log: options.log ?? (() => {}),
    storage,
    keysDir: () => ensureDir(keysDirPath(env), storage),
    securityDir: (id) => ensureDir(securityDirPath(env, id), storage),
    cacheDir: () => {
      const dir = ensureDir(cacheDirPath(env), storage);
      const files = storage(dir);
      if (!files.exists(CACHE_TAG_NAME)) {
        const text = `${CACHE_TAG_CONTENTS}\n# This directory holds a backup program's cache; backups may leave it out.\n# The convention: http://www.bford.info/cachedir/spec.html\n`;
        files.writeAtomic(CACHE_TAG_NAME, Buffer.from(text, "latin1"));
      }
      return dir;
    },
  };
}
