// Digests of index.N and hints.N, kept in integrity.N (docs/internals/data-structures.rst, "Checksumming data
// structures"; file_integrity.py): a running hash over the file's name and contents, of which the state is noted after
// named parts. XXH64 is what Borg 1.1 and later write; SHA512 is accepted when reading.
import { createHash, type Hash } from "node:crypto";
import { Xxh64 } from "../core/index.ts";
import { FileIntegrityError } from "../errors.ts";

/** Stages no more than this in the WebAssembly memory, which never shrinks. */
const PIECE = 256 << 10;
const ascii = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));

interface Running {
  update(data: Uint8Array): void;
  hex(): string;
}

function xxh64(): Running {
  const state = new Xxh64();
  return {
    update: (data) => {
      for (let at = 0; at < data.length; at += PIECE) state.update(data.subarray(at, at + PIECE));
    },
    hex: () => state.digestHex(),
  };
}

function sha512(): Running {
  const state: Hash = createHash("sha512");
  return { update: (data) => void state.update(data), hex: () => state.copy().digest("hex") };
}

export interface Digests {
  algorithm: "XXH64" | "SHA512";
  digests: Record<string, string>;
}

/** Feed it the file's bytes in order, with part() after each named part and finish() at the end. */
export class FileDigest {
  private readonly hash: Running;
  private length = 0;
  readonly digests: Record<string, string> = {};

  /** @param name the file's base name as it will be (without ".tmp"): it is part of what is hashed */
  constructor(name: string, algorithm: Digests["algorithm"] = "XXH64") {
    this.hash = algorithm === "XXH64" ? xxh64() : sha512();
    this.label(name);
  }

  update(data: Uint8Array): void {
    this.hash.update(data);
    this.length += data.length;
  }

  /** Notes the hash so far under a name. */
  part(name: string): string {
    this.label(name);
    this.hash.update(ascii(String(this.length)));
    const digest = this.hash.hex();
    this.digests[name] = digest;
    return digest;
  }

  private label(name: string): void {
    this.hash.update(ascii(String(name.length).padStart(10)));
    this.hash.update(ascii(name));
  }

  /** What integrity.N holds for this file, in the spelling of Python's json.dumps. */
  finish(): string {
    this.part("final");
    const digests = Object.entries(this.digests).map(([part, hex]) => `"${part}": "${hex}"`);
    return `{"algorithm": "XXH64", "digests": {${digests.join(", ")}}}`;
  }
}

/** @throws FileIntegrityError where it cannot be parsed; undefined for an algorithm we do not know (not verifiable) */
export function parseDigests(path: string, text: string): Digests | undefined {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    throw new FileIntegrityError(path);
  }
  const { algorithm, digests } = (data ?? {}) as { algorithm?: unknown; digests?: Record<string, unknown> };
  if (algorithm !== "XXH64" && algorithm !== "SHA512") {
    if (typeof algorithm === "string") return undefined;
    throw new FileIntegrityError(path);
  }
  if (typeof digests?.["final"] !== "string") throw new FileIntegrityError(path);
  return { algorithm, digests: digests as Record<string, string> };
}

/** @throws FileIntegrityError where the contents are not those that were written under this name */
export function verifyDigests(
  path: string,
  name: string,
  parts: [name: string, bytes: Uint8Array][],
  expected: Digests,
): void {
  const digest = new FileDigest(name, expected.algorithm);
  for (const [part, bytes] of parts) {
    digest.update(bytes);
    if (digest.part(part) !== expected.digests[part]) throw new FileIntegrityError(path);
  }
}
