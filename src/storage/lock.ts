// Borg's locks (docs/internals/data-structures.rst, "Locks"; locking.py): NAME.exclusive is a directory that appears by
// the atomic rename of a prepared one, with a file HOSTID.PID-THREAD inside; NAME.roster is a JSON file of the holders of
// shared and exclusive locks, changed only while NAME.exclusive is held. Works over NFS and between Borg and us.
import { randomBytes } from "node:crypto";
import { describeSystemError, LockFailed, LockTimeout, NotLocked, NotMyLock } from "../errors.ts";
import { hostId, processAlive } from "../runtime/hostid.ts";
import type { Storage } from "./types.ts";

/** Host id, process id and thread id (Borg's and ours are always 0). */
export type LockId = readonly [host: string, pid: number, thread: number];

export interface LockOptions {
  exclusive?: boolean;
  /** Seconds to wait for others; undefined waits for ever. */
  timeout?: number;
  /** Who we are; by default this process. */
  id?: LockId;
  log?: (level: "debug" | "info" | "warning" | "error", message: string) => void;
}

type Roster = Record<string, LockId[]>;
type Kind = "shared" | "exclusive";

const fileName = ([host, pid, thread]: LockId) => `${host}.${pid}-${thread.toString(16)}`;
const sameId = (a: LockId, b: LockId) => a[0] === b[0] && a[1] === b[1] && a[2] === b[2];
const code = (error: unknown) => (error as NodeJS.ErrnoException).code;
const pause = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** This process, as it appears in locks. */
export function lockId(): LockId {
  return [hostId(), process.pid, 0];
}

/** A lock that many may share for reading, or one holds for writing. */
export class Lock {
  private readonly storage: Storage;
  private readonly name: string;
  private readonly timeout: number | undefined;
  private readonly log: NonNullable<LockOptions["log"]>;
  private id: LockId;
  private wantExclusive: boolean;
  private held: Kind | undefined;

  /** @param name within the storage, without suffix: Borg's is "lock" */
  constructor(storage: Storage, name: string, options: LockOptions = {}) {
    this.storage = storage;
    this.name = name;
    this.timeout = options.timeout;
    this.id = options.id ?? lockId();
    this.wantExclusive = options.exclusive ?? false;
    this.log = options.log ?? (() => {});
  }

  private get dir(): string {
    return `${this.name}.exclusive`;
  }
  private get rosterName(): string {
    return `${this.name}.roster`;
  }
  private get path(): string {
    return `${this.storage.root}/${this.name}`;
  }

  get holdsExclusive(): boolean {
    return this.held === "exclusive" && this.isMine();
  }
  get isHeld(): boolean {
    return this.held !== undefined;
  }

  /** @throws LockTimeout (it says who holds the lock), LockFailed */
  async acquire(): Promise<this> {
    if (this.wantExclusive) await this.acquireExclusive();
    else await this.acquireShared();
    return this;
  }

  /** From shared to exclusive. Two processes that both want this wait for each other until their timeout. */
  async upgrade(): Promise<void> {
    if (this.held !== "exclusive") await this.acquireExclusive("shared");
  }

  release(): void {
    if (this.held === undefined) return;
    if (this.held === "exclusive") {
      if (!this.storage.exists(this.dir)) throw new NotLocked(this.path);
      if (!this.isMine()) throw new NotMyLock(this.path);
      this.leaveRoster("exclusive");
      this.held = undefined;
      this.dropDirectory();
      return;
    }
    this.held = undefined;
    // The roster must be changed under the exclusive lock, but a process that ends has no time to wait long: without
    // it, our entry would be recognised as stale later anyway.
    const until = Date.now() + 1000 * Math.min(this.timeout ?? 10, 10);
    while (!this.tryDirectory()) {
      if (Date.now() >= until) throw new LockTimeout(this.path, this.holders());
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    }
    try {
      this.leaveRoster("shared");
    } finally {
      this.dropDirectory();
    }
  }

  /** Removes every lock there is, whoever holds it. */
  break(): void {
    for (const remove of [() => this.storage.unlink(this.rosterName), () => this.clearDirectory()]) {
      try {
        remove();
      } catch (error) {
        if (code(error) !== "ENOENT") throw error;
      }
    }
  }

  /** The lock becomes another process's: after a fork into the background. */
  migrate(to: LockId): void {
    const from = this.id;
    if (this.held === undefined || sameId(from, to)) {
      this.id = to;
      return;
    }
    if (this.held === "exclusive") {
      this.storage.openWrite(`${this.dir}/${fileName(to)}`).close();
      this.storage.unlink(`${this.dir}/${fileName(from)}`);
    }
    const roster = this.readRoster(false);
    roster[this.held] = [...(roster[this.held] ?? []).filter((e) => !sameId(e, from)), to];
    this.writeRoster(roster);
    this.id = to;
  }

  /** "host box1@123 process 42 (exclusive, since 2024-01-31 12:00:00)", for people; undefined if nobody does. */
  holders(): string | undefined {
    const found: string[] = [];
    try {
      const since = new Date(Number(this.storage.stat(this.dir).mtimeNs / 1000000n)).toLocaleString("sv-SE");
      for (const name of this.storage.list(this.dir)) {
        const id = parseFileName(name);
        found.push(`held exclusively by ${id ? `process ${id[1]} on ${id[0]}` : name} since ${since}`);
      }
    } catch (error) {
      if (code(error) !== "ENOENT") throw error;
    }
    if (found.length === 0) {
      for (const [host, pid] of this.readRoster(false)["shared"] ?? [])
        found.push(`in use by process ${pid} on ${host}`);
    }
    return found.length > 0 ? found.join(", ") : undefined;
  }

  private async acquireShared(): Promise<void> {
    await this.takeDirectory(this.timer());
    try {
      this.joinRoster("shared");
      this.held = "shared";
    } finally {
      this.dropDirectory();
    }
  }

  private async acquireExclusive(instead?: Kind): Promise<void> {
    const timer = this.timer();
    for (;;) {
      await this.takeDirectory(timer);
      let keep = false;
      try {
        const roster = this.readRoster(true);
        const readers = (roster["shared"] ?? []).filter((e) => instead !== "shared" || !sameId(e, this.id));
        if (readers.length === 0) {
          if (instead) roster[instead] = (roster[instead] ?? []).filter((e) => !sameId(e, this.id));
          roster["exclusive"] = [...(roster["exclusive"] ?? []).filter((e) => !sameId(e, this.id)), this.id];
          this.writeRoster(roster);
          this.held = "exclusive";
          keep = true;
          return;
        }
      } catch (error) {
        throw asLockFailed(this.path, error);
      } finally {
        if (!keep) this.dropDirectory();
      }
      await timer(() => this.holders());
    }
  }

  /** Waits a moment, or throws LockTimeout once the time is over. */
  private timer(): (holders: () => string | undefined) => Promise<void> {
    const end = this.timeout === undefined ? Number.POSITIVE_INFINITY : Date.now() + this.timeout * 1000;
    const step = Math.min(1, Math.max(0.02, (this.timeout ?? 10) / 10));
    return async (holders) => {
      if (Date.now() >= end) throw new LockTimeout(this.path, holders());
      await pause(step);
    };
  }

  private async takeDirectory(timer: (holders: () => string | undefined) => Promise<void>): Promise<void> {
    while (!this.tryDirectory()) await timer(() => this.holders());
  }

  /** Tries once to put a directory with our name in place. A directory that is not empty cannot be renamed over. */
  private tryDirectory(again = true): boolean {
    const prepared = `${this.dir}.${randomBytes(6).toString("hex")}.tmp`;
    const file = `${prepared}/${fileName(this.id)}`;
    try {
      this.storage.mkdir(prepared, 0o700);
      this.storage.openWrite(file).close();
    } catch (error) {
      throw asLockFailed(this.path, error);
    }
    try {
      this.storage.rename(prepared, this.dir);
      return true;
    } catch (error) {
      for (const clean of [() => this.storage.unlink(file), () => this.storage.rmdir(prepared)]) {
        try {
          clean();
        } catch {
          // Only a temporary directory would stay behind.
        }
      }
      if (!["ENOTEMPTY", "EEXIST", "EBUSY", "EPERM", "EACCES", "ENOTDIR"].includes(code(error) ?? "")) {
        throw asLockFailed(this.path, error);
      }
    }
    if (this.isMine()) return true;
    // Whoever does not want to wait at all need not: a dead process's lock is no reason to give up.
    return this.clearStale() && again && this.tryDirectory(false);
  }

  private isMine(): boolean {
    return this.storage.exists(`${this.dir}/${fileName(this.id)}`);
  }

  private dropDirectory(): void {
    this.storage.unlink(`${this.dir}/${fileName(this.id)}`);
    try {
      this.storage.rmdir(this.dir);
    } catch (error) {
      // Not empty or gone: another process has already taken the lock over.
      if (!["ENOTEMPTY", "EEXIST", "ENOENT"].includes(code(error) ?? "")) throw error;
    }
  }

  /** Removes a lock whose owner was a process of this host that is gone. Anything else is left alone.
   *  @returns whether the lock is free now */
  private clearStale(): boolean {
    let names: string[];
    try {
      names = this.storage.list(this.dir);
    } catch (error) {
      return code(error) === "ENOENT";
    }
    for (const name of names) {
      const id = parseFileName(name);
      if (!id) {
        this.log("error", `Unknown file ${name} in the lock ${this.path}.exclusive, please check.`);
        return false;
      }
      if (processAlive(...id)) return false;
      try {
        this.storage.unlink(`${this.dir}/${name}`);
        this.log("warning", `Removed the stale lock ${name}.`);
      } catch (error) {
        if (code(error) !== "ENOENT") {
          this.log(
            "error",
            `Cannot remove the stale lock ${name}: ${describeSystemError(error as NodeJS.ErrnoException)}`,
          );
        }
        return false;
      }
    }
    try {
      this.storage.rmdir(this.dir);
    } catch {
      // Somebody else was quicker; the next attempt finds out.
    }
    return true;
  }

  private clearDirectory(): void {
    for (const name of this.storage.list(this.dir)) this.storage.unlink(`${this.dir}/${name}`);
    this.storage.rmdir(this.dir);
  }

  private joinRoster(kind: Kind): void {
    const roster = this.readRoster(true);
    roster[kind] = [...(roster[kind] ?? []).filter((e) => !sameId(e, this.id)), this.id];
    this.writeRoster(roster);
  }

  private leaveRoster(kind: Kind): void {
    const roster = this.readRoster(true);
    roster[kind] = (roster[kind] ?? []).filter((e) => !sameId(e, this.id));
    if ((["shared", "exclusive"] as const).some((k) => roster[k]?.length)) this.writeRoster(roster);
    else if (this.storage.exists(this.rosterName)) this.storage.unlink(this.rosterName);
  }

  /** A missing, empty or damaged roster counts as empty, as in Borg. */
  private readRoster(dropStale: boolean): Roster {
    let data: unknown;
    try {
      data = JSON.parse(new TextDecoder().decode(this.storage.read(this.rosterName)));
    } catch (error) {
      if (error instanceof SyntaxError || code(error) === "ENOENT") return {};
      throw error;
    }
    const roster: Roster = {};
    if (typeof data !== "object" || data === null) return roster;
    for (const kind of ["shared", "exclusive"] as const) {
      const entries = (data as Record<string, unknown>)[kind];
      if (!Array.isArray(entries)) continue;
      roster[kind] = entries.filter(isLockId).filter((entry) => {
        if (!dropStale || sameId(entry, this.id) || processAlive(...entry)) return true;
        this.log("warning", `Removed a stale ${kind} lock of process ${entry[1]} on host ${entry[0]}.`);
        return false;
      });
    }
    return roster;
  }

  // Borg overwrites the roster in place; with a rename a crash leaves the old one. No fsync: a roster lost with the power
  // is a roster of processes that are gone, and an fsync would cost every command more than all else it does to lock.
  private writeRoster(roster: Roster): void {
    this.storage.writeAtomic(this.rosterName, new TextEncoder().encode(JSON.stringify(roster)), {
      durable: false,
    });
  }
}

function isLockId(entry: unknown): entry is LockId {
  return (
    Array.isArray(entry) &&
    typeof entry[0] === "string" &&
    Number.isInteger(entry[1]) &&
    Number.isInteger(entry[2])
  );
}

function parseFileName(name: string): LockId | undefined {
  const match = /^(.*)\.(\d+)-([0-9a-f]+)$/s.exec(name);
  return match ? [match[1]!, Number(match[2]), Number.parseInt(match[3]!, 16)] : undefined;
}

function asLockFailed(path: string, error: unknown): Error {
  return code(error)
    ? new LockFailed(path, describeSystemError(error as NodeJS.ErrnoException))
    : (error as Error);
}
