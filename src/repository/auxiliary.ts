// The files beside the segments that make opening fast: index.N (id → segment, offset), hints.N, and integrity.N with the
// digests of both; N is the transaction they belong to. All three can be rebuilt from the segments, so damage to them is
// reported as such and never believed.
import { HashIndex, HashIndexError } from "../core/hashindex.ts";
import { AlcoveError, describeSystemError, FileIntegrityError } from "../errors.ts";
import { fsDecode } from "../format/bytes.ts";
import { pack, unpack } from "../format/msgpack.ts";
import type { Storage } from "../storage/types.ts";
import type { Log } from "./constants.ts";
import { type DecodedHints, decodeHints, encodeHints, type Hints } from "./hints.ts";
import { type Digests, FileDigest, parseDigests, verifyDigests } from "./integrity.ts";

const HEADER = 18;
const PREFIXES = ["index.", "hints.", "integrity."];

/** The file is missing or damaged; what it held can be rebuilt. */
export class AuxiliaryDamaged extends Error {
  readonly missing: boolean;
  constructor(message: string, missing: boolean) {
    super(message);
    this.missing = missing;
  }
}

/** Runs `read`; whatever shows that the file is missing or damaged becomes AuxiliaryDamaged. */
function reading<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof AlcoveError || error instanceof HashIndexError)
      throw new AuxiliaryDamaged(error.message, false);
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new AuxiliaryDamaged(describeSystemError(error as NodeJS.ErrnoException), code === "ENOENT");
  }
}

/** The transaction that the newest index belongs to; undefined if there is none. Empty files do not count. */
export function indexTransaction(storage: Storage): number | undefined {
  let newest: number | undefined;
  for (const name of storage.list("")) {
    if (!/^index\.\d+$/.test(name)) continue;
    const n = Number(name.slice(6));
    if ((newest === undefined || n > newest) && storage.stat(name).size > 0) newest = n;
  }
  return newest;
}

function readDigests(
  storage: Storage,
  transaction: number,
  key: "index" | "hints",
  log: Log,
): Digests | undefined {
  const name = `integrity.${transaction}`;
  let bytes: Uint8Array;
  try {
    bytes = storage.read(name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const data = unpack(bytes, { maxMemory: 1 << 20 });
  if (!(data instanceof Map)) throw new FileIntegrityError(name);
  if (data.get("version") !== 2) {
    log("warning", `Unknown version ${data.get("version")} of ${name}: index and hints are not verified.`);
    return undefined;
  }
  const text = data.get(key);
  if (!(text instanceof Uint8Array)) throw new FileIntegrityError(name);
  return parseDigests(name, fsDecode(text));
}

/** @throws AuxiliaryDamaged */
export function readIndex(storage: Storage, transaction: number, log: Log): HashIndex {
  const name = `index.${transaction}`;
  return reading(() => {
    const digests = readDigests(storage, transaction, "index", log);
    const handle = storage.openRead(name);
    try {
      const size = handle.size();
      return HashIndex.load(
        size,
        (into) => {
          if (handle.read(into, 0) !== size) throw new HashIndexError("the file became shorter");
          if (!digests) return;
          const header: [string, Uint8Array] = ["HashHeader", into.subarray(0, HEADER)];
          verifyDigests(name, name, [header, ["final", into.subarray(HEADER)]], digests);
        },
        2,
      );
    } finally {
      handle.close();
    }
  });
}

/** Whether there is an index of this transaction whose digest proves that it was written whole. */
export function hasVerifiedIndex(storage: Storage, transaction: number, log: Log): boolean {
  try {
    if (!readDigests(storage, transaction, "index", log)) return false;
    readIndex(storage, transaction, log);
    return true;
  } catch {
    return false;
  }
}

/** @throws AuxiliaryDamaged */
export function readHints(storage: Storage, transaction: number, log: Log): DecodedHints {
  const name = `hints.${transaction}`;
  return reading(() => {
    const digests = readDigests(storage, transaction, "hints", log);
    const bytes = storage.read(name);
    if (digests) verifyDigests(name, name, [["final", bytes]], digests);
    return decodeHints(bytes);
  });
}

/**
 * Writes the three files of a transaction and removes those of others. The order is Borg's: everything is on the disk
 * under temporary names first; then integrity.N appears, durably, before hints.N and index.N do, so that an index is
 * never taken for verified by an older one's digests.
 */
export function writeAuxiliary(storage: Storage, transaction: number, index: HashIndex, hints: Hints): void {
  const digests = {
    version: 2,
    hints: writeHashed(storage, `hints.${transaction}`, [encodeHints(hints)]),
    index: writeHashed(storage, `index.${transaction}`, index.serialize(), "HashHeader"),
  };
  writeSynced(storage, `integrity.${transaction}`, [pack(digests)]);
  const publish = (name: string) => storage.rename(`${name}.${transaction}.tmp`, `${name}.${transaction}`);
  publish("integrity");
  storage.syncDir("");
  publish("hints");
  publish("index");
  storage.syncDir("");
  removeOthers(storage, transaction);
}

function removeOthers(storage: Storage, transaction: number): void {
  for (const name of storage.list("")) {
    if (PREFIXES.some((p) => name.startsWith(p)) && !name.endsWith(`.${transaction}`)) storage.unlink(name);
  }
}

/** Removes an index or hints file that turned out to be damaged. */
export function removeAuxiliary(storage: Storage, kind: "index" | "hints", transaction: number): void {
  try {
    storage.unlink(`${kind}.${transaction}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

function writeHashed(
  storage: Storage,
  name: string,
  chunks: Iterable<Uint8Array>,
  firstPart?: string,
): string {
  const digest = new FileDigest(name);
  function* hashing() {
    let part = firstPart;
    for (const chunk of chunks) {
      digest.update(chunk);
      yield chunk;
      if (part) digest.part(part);
      part = undefined;
    }
  }
  writeSynced(storage, name, hashing());
  return digest.finish();
}

function writeSynced(storage: Storage, name: string, chunks: Iterable<Uint8Array>): void {
  const temporary = `${name}.tmp`;
  // A crash may have left one behind.
  if (storage.exists(temporary)) storage.unlink(temporary);
  const handle = storage.openWrite(temporary);
  try {
    for (const chunk of chunks) handle.write(chunk);
    handle.sync();
  } finally {
    handle.close();
  }
}
