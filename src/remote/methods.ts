// The calls that a client may make of a repository, with their arguments checked: Borg's RepositoryServer.rpc_methods.
// Names of arguments and their order in the old positional form (up to Borg 1.0) are those of remote.py's compatMap.
// Unknown arguments are ignored, because a newer client says by them that it does not depend on them.
import { AlcoveError, IntegrityError } from "../errors.ts";
import { fsDecode } from "../format/bytes.ts";
import type { CheckOptions, CommitOptions, Repository } from "../repository/types.ts";
import { LIST_SCAN_LIMIT, MAX_DATA_SIZE } from "./framing.ts";

/** Key blobs are a few hundred bytes; more than this is an attack on the config file. */
const MAX_KEY_SIZE = 1024 * 1024;

const POSITIONAL: Record<string, readonly string[]> = {
  check: ["repair", "save_space"],
  commit: ["save_space"],
  rollback: [],
  destroy: [],
  __len__: [],
  list: ["limit", "marker"],
  put: ["id", "data"],
  get: ["id"],
  delete: ["id"],
  save_key: ["keydata"],
  load_key: [],
  break_lock: [],
  negotiate: ["client_data"],
  open: ["path", "create", "lock_wait", "lock", "exclusive", "append_only"],
  get_free_nonce: [],
  commit_nonce_reservation: ["next_unreserved", "start_nonce"],
};

/** Arguments of one call by name. Wrong types give an error of Python's name for it. */
export class CallArgs {
  private readonly values: Map<unknown, unknown>;

  constructor(method: string, args: Map<unknown, unknown> | unknown[]) {
    if (args instanceof Map) {
      this.values = args;
      return;
    }
    const names = POSITIONAL[method] ?? [];
    // Clients before 1.0.7 give open() four arguments only; everything else has all of them.
    if (args.length < names.length && !(method === "open" && args.length === 4)) {
      throw wrong(`${method} needs ${names.length} arguments`);
    }
    this.values = new Map(names.slice(0, args.length).map((name, i) => [name, args[i]]));
  }

  raw(name: string): unknown {
    return this.values.get(name);
  }

  bytes(name: string, limit: number): Uint8Array {
    const value = this.values.get(name);
    if (!(value instanceof Uint8Array)) throw wrong(`${name} has to be bytes`);
    if (value.length > limit) {
      throw new IntegrityError(`More than the allowed ${name} size (${value.length} > ${limit})`);
    }
    return value;
  }

  id(name: string): Uint8Array {
    const id = this.bytes(name, MAX_DATA_SIZE);
    if (id.length !== 32) throw wrong(`${name} has to be 32 bytes`);
    return id;
  }

  optionalId(name: string): Uint8Array | undefined {
    return (this.values.get(name) ?? null) === null ? undefined : this.id(name);
  }

  text(name: string): string {
    return fsDecode(this.bytes(name, 65536));
  }

  flag(name: string, otherwise: boolean): boolean {
    const value = this.values.get(name) ?? otherwise;
    if (typeof value !== "boolean" && typeof value !== "number")
      throw wrong(`${name} has to be a truth value`);
    return Boolean(value);
  }

  /** A number that is not negative; undefined where it is absent or None. */
  number(name: string): number | undefined {
    const value = this.values.get(name) ?? null;
    if (value === null) return undefined;
    if (typeof value !== "number" || !(value >= 0)) throw wrong(`${name} has to be a number`);
    return value;
  }

  count(name: string): number | undefined {
    const value = this.number(name);
    if (value !== undefined && !Number.isSafeInteger(value)) throw wrong(`${name} has to be a whole number`);
    return value;
  }
}

function wrong(what: string): AlcoveError {
  return new AlcoveError(what, "TypeError");
}

/** Where progress and log of long calls go. */
export type CallReports = Required<Pick<CheckOptions, "progress" | "log">>;

type Method = (repository: Repository, args: CallArgs, reports: CallReports) => Promise<unknown>;

/** By name; negotiate and open are the server's own. */
export const METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  ["__len__", (r) => r.count()],
  ["get", (r, a) => r.get(a.id("id"))],
  ["put", (r, a) => none(r.put(a.id("id"), a.bytes("data", MAX_DATA_SIZE)))],
  ["delete", (r, a) => none(r.delete(a.id("id")))],
  ["list", (r, a) => r.list(limitOf(a), a.optionalId("marker"))],
  ["scan", async (r, a) => (await r.scan(limitOf(a), a.optionalId("marker"))).ids],
  [
    "commit",
    async (r, a, reports) => {
      await r.commit(commitOptions(a, reports));
      // As in Borg, what comes next looks at the files anew: a client may hold a connection for days, and damage to the
      // last transaction shows up before the next one is built upon it.
      await r.rollback();
      return null;
    },
  ],
  ["rollback", (r) => none(r.rollback())],
  [
    "check",
    (r, a, reports) =>
      r.check({
        repair: a.flag("repair", false),
        saveSpace: a.flag("save_space", false),
        maxDuration: a.number("max_duration") ?? 0,
        ...reports,
      }),
  ],
  ["load_key", (r) => r.loadKey()],
  ["save_key", (r, a) => none(r.saveKey(a.bytes("keydata", MAX_KEY_SIZE)))],
  ["get_free_nonce", async (r) => (await r.getFreeNonce()) ?? null],
  ["commit_nonce_reservation", (r, a) => none(reserveNonces(r, a))],
  ["break_lock", (r) => none(r.breakLock())],
  ["destroy", (r) => none(r.destroy())],
]);

/** What returns nothing answers None. */
async function none(done: Promise<void>): Promise<null> {
  await done;
  return null;
}

function limitOf(args: CallArgs): number {
  const limit = args.count("limit");
  if (limit === 0) throw new AlcoveError("please use limit > 0 or limit = None", "ValueError");
  // Without a limit Borg gives everything; a client that means it asks again after the last id it got.
  return limit ?? LIST_SCAN_LIMIT * 10;
}

/** Borg 1.1 knows no `compact` and expects a commit to compact; newer clients always say what they want. */
function commitOptions(args: CallArgs, reports: CallReports): CommitOptions {
  return {
    saveSpace: args.flag("save_space", false),
    compact: args.flag("compact", true),
    threshold: args.number("threshold") ?? 0.1,
    cleanupCommits: args.flag("cleanup_commits", false),
    progress: reports.progress,
  };
}

async function reserveNonces(repository: Repository, args: CallArgs): Promise<void> {
  const next = args.count("next_unreserved");
  if (next === undefined) throw wrong("next_unreserved has to be a number");
  await repository.commitNonceReservation(next, args.count("start_nonce"));
}
