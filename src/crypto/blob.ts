// A key as it lies in a repository's config or in a key file: msgpack of the secrets, encrypted with a key that
// PBKDF2-HMAC-SHA256 derives from the passphrase (AES-256-CTR, IV zero, fresh salt each time), in a msgpack
// envelope, in base64 lines of 70. Borg's docs/internals/data-structures.rst, "Key files".

import { createHmac, pbkdf2, randomBytes } from "node:crypto";
import { aes256ctr } from "../core/host.ts";
import { AlcoveError, IntegrityError } from "../errors.ts";
import { equalSecret, toHex } from "../format/bytes.ts";
import { pack, unpack } from "../format/msgpack.ts";

/** First word of a key file, before the repository's id. */
export const KEY_FILE_ID = "BORG_KEY";
const ITERATIONS = 100_000;
// Whoever can write the blob could ask for hours of work; 2^26 iterations are about half a minute.
const MAX_ITERATIONS = 2 ** 26;
/** Far less than any key has; Borg uses the same bound to tell a key from something else. */
const MIN_ENVELOPE = 20;

/** The content of the encrypted part. */
export interface KeySecrets {
  repositoryId: Uint8Array;
  encKey: Uint8Array;
  encHmacKey: Uint8Array;
  idKey: Uint8Array;
  chunkSeed: number;
  /** Absent in keys from before Borg 1.0.9. */
  tamRequired: boolean | undefined;
}

/** The base64 text of a key blob as bytes, undefined if it is none. Foreign characters are skipped, as Borg does. */
export function decodeBlob(text: string): Uint8Array | undefined {
  const base64 = text.replace(/[^A-Za-z0-9+/=]/g, "");
  const end = base64.search(/=/);
  const body = end < 0 ? base64 : base64.slice(0, end);
  if (
    body.length % 4 === 1 ||
    (body.length % 4 !== 0 && base64.length - body.length < 4 - (body.length % 4))
  ) {
    return undefined;
  }
  const bytes = Buffer.from(body, "base64");
  return bytes.length < MIN_ENVELOPE ? undefined : bytes;
}

/** Lines of 70 base64 characters, no newline at the end. */
export function encodeBlob(envelope: Uint8Array): string {
  return (
    Buffer.from(envelope)
      .toString("base64")
      .match(/.{1,70}/g) ?? []
  ).join("\n");
}

/** The text of a key file, also what `key export` writes. */
export function keyFileText(repositoryId: Uint8Array, blob: string): string {
  return `${KEY_FILE_ID} ${toHex(repositoryId)}\n${blob}${blob.endsWith("\n") ? "" : "\n"}`;
}

/** In a thread of the runtime's. */
function derive(passphrase: string, { salt, iterations }: Derivation): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    pbkdf2(Buffer.from(passphrase, "utf8"), salt, iterations, 32, "sha256", (error, key) =>
      error ? reject(error) : resolve(key),
    );
  });
}

interface Derivation {
  salt: Uint8Array;
  iterations: number;
}

/** What an envelope says of its key. @throws IntegrityError, AlcoveError */
function derivationOf(outer: Map<unknown, unknown>): Derivation {
  const version = outer.get("version");
  if (version !== 1)
    throw new AlcoveError(`The encrypted key has version ${version}, which this program does not know.`);
  const algorithm = outer.get("algorithm");
  const name = algorithm instanceof Uint8Array ? Buffer.from(algorithm).toString("latin1") : "?";
  if (name !== "sha256")
    throw new AlcoveError(`The encrypted key's algorithm ${JSON.stringify(name)} is not known.`);
  const iterations = outer.get("iterations") as number;
  if (!Number.isInteger(iterations) || iterations < 1 || iterations > MAX_ITERATIONS)
    throw new IntegrityError("The encrypted key asks for an absurd number of iterations.");
  return { salt: bytesOf(outer, "salt"), iterations };
}

/** A derivation that was begun before it was needed. */
let begun: { envelope: Uint8Array; passphrase: string; key: Promise<Buffer | undefined> } | undefined;

/** Begins what takes most of decryptBlob's time, for one call of it with the same arguments; until then other things can be
 *  done. What is wrong is told by that call. */
export function beginDecryption(envelope: Uint8Array, passphrase: string): void {
  if (begun?.passphrase === passphrase && equalSecret(begun.envelope, envelope)) return;
  const key = (async () => derive(passphrase, derivationOf(asMap(unpack(envelope)))))();
  begun = { envelope, passphrase, key: key.catch(() => undefined) };
}

function takeBegun(envelope: Uint8Array, passphrase: string): Promise<Buffer | undefined> | undefined {
  const taken = begun;
  begun = undefined;
  if (!taken || taken.passphrase !== passphrase || !equalSecret(taken.envelope, envelope)) return undefined;
  return taken.key;
}

function aes(key: Uint8Array, data: Uint8Array): Uint8Array {
  return aes256ctr(key, new Uint8Array(16), data);
}

/** The secrets of a blob, undefined if the passphrase is wrong.
 *  @throws IntegrityError for what is no key envelope, AlcoveError for a version this program does not know */
export async function decryptBlob(envelope: Uint8Array, passphrase: string): Promise<KeySecrets | undefined> {
  const outer = asMap(unpack(envelope));
  const derivation = derivationOf(outer);
  const key = (await takeBegun(envelope, passphrase)) ?? (await derive(passphrase, derivation));
  const data = aes(key, bytesOf(outer, "data"));
  if (!equalSecret(createHmac("sha256", key).update(data).digest(), bytesOf(outer, "hash"))) return undefined;
  const inner = asMap(unpack(data));
  if (inner.get("version") !== 1) {
    throw new AlcoveError(`The key has version ${inner.get("version")}, which this program does not know.`);
  }
  const seed = inner.get("chunk_seed");
  if (!Number.isInteger(seed)) throw new IntegrityError("The key has no chunk seed.");
  const tam = inner.get("tam_required");
  return {
    repositoryId: bytesOf(inner, "repository_id").slice(),
    encKey: bytesOf(inner, "enc_key").slice(),
    encHmacKey: bytesOf(inner, "enc_hmac_key").slice(),
    idKey: bytesOf(inner, "id_key").slice(),
    chunkSeed: (seed as number) | 0,
    tamRequired: tam === undefined ? undefined : tam === true,
  };
}

/** The envelope, with a fresh salt. */
export async function encryptBlob(secrets: KeySecrets, passphrase: string): Promise<Uint8Array> {
  const data = pack(
    {
      version: 1,
      repository_id: secrets.repositoryId,
      enc_key: secrets.encKey,
      enc_hmac_key: secrets.encHmacKey,
      id_key: secrets.idKey,
      chunk_seed: secrets.chunkSeed,
      tam_required: secrets.tamRequired,
    },
    { sortKeys: true },
  );
  const salt = randomBytes(32);
  const key = await derive(passphrase, { salt, iterations: ITERATIONS });
  return pack(
    {
      version: 1,
      salt,
      iterations: ITERATIONS,
      algorithm: "sha256",
      hash: createHmac("sha256", key).update(data).digest(),
      data: aes(key, data),
    },
    { sortKeys: true },
  );
}

function asMap(value: unknown): Map<unknown, unknown> {
  if (value instanceof Map) return value;
  throw new IntegrityError("The key data is not what a key looks like.");
}

function bytesOf(map: Map<unknown, unknown>, name: string): Uint8Array {
  const value = map.get(name);
  if (value instanceof Uint8Array) return value;
  throw new IntegrityError(`The key data has no valid ${name}.`);
}
