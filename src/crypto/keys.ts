// The key of an open repository: found by the type byte of the manifest, unlocked with a passphrase, and used to
// seal and open objects with counters from the nonce manager. Also makes, saves and re-encrypts keys.
// Borg's crypto/key.py; the modes are in modes.ts, the stored form in blob.ts.

import { pbkdf2Sync, randomBytes } from "node:crypto";
import type { Core } from "../core/index.ts";
import {
  AlcoveError,
  IntegrityError,
  KeyfileInvalid,
  PassphraseWrong,
  PasswordRetriesExceeded,
  RepoKeyNotFound,
  UnsupportedPayloadError,
} from "../errors.ts";
import type { Repository } from "../repository/types.ts";
import {
  beginDecryption,
  decodeBlob,
  decryptBlob,
  encodeBlob,
  encryptBlob,
  type KeySecrets,
} from "./blob.ts";
import { type Environment, hasWorkaround } from "./environment.ts";
import { findKeyFile, type KeyLocation, newKeyFile, readKeyFile, writeKeyFile } from "./keyfiles.ts";
import { blocksOf, type KeyMaterial, nonceOf, plaintextMaterial, Sealer } from "./material.ts";
import { type KeyMode, type KeyModeInfo, keyMode, keyModeOfType, TYPE_PASSPHRASE } from "./modes.ts";
import { NonceManager } from "./nonce.ts";
import { askPassphrase, givenPassphrase, newPassphrase } from "./passphrase.ts";
import { type RelatedSecrets, sameIdHash } from "./related.ts";
import {
  type Metadata,
  packAndAuthenticate,
  securityRequiresTam,
  type TamContext,
  unpackAndVerifyArchive,
  unpackAndVerifyManifest,
  type Verified,
} from "./tam.ts";

export type KeyRepository = Pick<
  Repository,
  "id" | "idHex" | "canonicalPath" | "loadKey" | "saveKey" | "getFreeNonce" | "commitNonceReservation"
>;

const PASSPHRASE_TRIES = 3;

export class Key {
  readonly info: KeyModeInfo;
  readonly material: KeyMaterial;
  readonly sealer: Sealer;
  readonly nonces: NonceManager;
  /** Whether manifest and archives must be authenticated. */
  tamRequired: boolean;
  /** False too for an encrypted repository whose passphrase is empty: anyone can read it. */
  logicallyEncrypted: boolean;
  /** Where the key is: a file's path, or the repository's location; undefined where there is none. */
  target: string | undefined;
  readonly #repository: KeyRepository;
  readonly #environment: Environment;
  readonly #ignoreInvalidArchiveTam: boolean;

  constructor(
    repository: KeyRepository,
    environment: Environment,
    material: KeyMaterial,
    options: {
      nextNonce?: number;
      tamRequired: boolean;
      logicallyEncrypted: boolean;
      target?: string;
      core?: Core;
    },
  ) {
    this.#repository = repository;
    this.#environment = environment;
    this.info = keyMode(material.mode);
    this.material = material;
    this.sealer = new Sealer(material, options.core);
    this.tamRequired = options.tamRequired;
    this.logicallyEncrypted = options.logicallyEncrypted;
    this.target = options.target;
    this.#ignoreInvalidArchiveTam = hasWorkaround(environment.env, "ignore_invalid_archive_tam");
    const security = environment.storage(environment.securityDir(repository.idHex));
    this.nonces = new NonceManager(repository, security, options.nextNonce ?? 0, (m) =>
      environment.log("warning", m),
    );
  }

  /** Borg's human name, e.g. "repokey BLAKE2b". */
  get name(): string {
    return this.info.name;
  }

  /** The name that `init --encryption` takes. */
  get argName(): KeyMode {
    return this.info.mode;
  }

  /** First byte of every object. */
  get type(): number {
    return this.info.type;
  }

  get chunkSeed(): number {
    return this.material.chunkSeed;
  }

  idHash(data: Uint8Array): Uint8Array {
    return this.sealer.idHash(data);
  }

  /** Compressed data to a stored object; reserves the counters it takes. */
  async encrypt(compressed: Uint8Array): Promise<Uint8Array> {
    if (!this.info.encrypted) return this.sealer.seal(compressed, 0);
    const blocks = blocksOf(compressed.length);
    return this.sealer.seal(compressed, this.nonces.take(blocks) ?? (await this.nonces.reserve(blocks)));
  }

  /** A stored object to its compressed data. Decompress it, then checkId. @throws IntegrityError */
  decrypt(blob: Uint8Array, id?: Uint8Array): Uint8Array {
    return this.sealer.open(blob, id);
  }

  /** As decrypt where objects are encrypted (info.encrypted), into memory that the caller has; see Sealer.openInto. */
  decryptInto(
    blob: Uint8Array,
    id: Uint8Array,
    room: (length: number, head: Uint8Array) => Uint8Array,
  ): Uint8Array {
    return this.sealer.openInto(blob, id, room);
  }

  /** @throws IntegrityError if the decompressed data is not what the id names */
  checkId(id: Uint8Array, data: Uint8Array): void {
    this.sealer.checkId(id, data);
  }

  packAndAuthenticate(
    metadata: Metadata | Record<string, unknown>,
    context: TamContext,
    salt?: Uint8Array,
  ): Uint8Array {
    return packAndAuthenticate(this.material, metadata, context, salt);
  }

  /** forceNotRequired: `upgrade --tam --force` and repairs accept a manifest without TAM, and say so. */
  unpackAndVerifyManifest(data: Uint8Array, forceNotRequired = false): Verified {
    if (forceNotRequired && this.tamRequired)
      this.#environment.log("warning", "The manifest's authentication is switched off.");
    return unpackAndVerifyManifest(this.material, data, { required: this.tamRequired && !forceNotRequired });
  }

  unpackAndVerifyArchive(
    data: Uint8Array,
    options: { forceNotRequired?: boolean; ignoreInvalid?: boolean } = {},
  ): Verified {
    return unpackAndVerifyArchive(this.material, data, {
      required: this.tamRequired && !options.forceNotRequired,
      ignoreInvalid: options.ignoreInvalid || this.#ignoreInvalidArchiveTam,
    });
  }

  /** Encrypts the stored key with a new passphrase, asked for or given by BORG_NEW_PASSPHRASE.
   *  @throws AlcoveError for modes that store no key */
  async changePassphrase(passphrase?: string): Promise<void> {
    if (this.info.storage === "none" || this.target === undefined) {
      throw new AlcoveError("This repository has no stored key whose passphrase could be changed.");
    }
    await this.save(passphrase ?? (await newPassphrase(this.#environment)), this.target);
  }

  /** Stores the key; target is a file's path in keyfile modes. */
  async save(passphrase: string, target: string, create = false): Promise<void> {
    const { material } = this;
    const secrets: KeySecrets = {
      repositoryId: this.#repository.id,
      encKey: material.encKey,
      encHmacKey: material.encHmacKey,
      idKey: material.idKey,
      chunkSeed: material.chunkSeed,
      tamRequired: this.tamRequired,
    };
    const blob = encodeBlob(await encryptBlob(secrets, passphrase));
    if (this.info.storage === "keyfile") {
      writeKeyFile(this.#environment, target, this.#repository.id, blob, create);
    } else {
      await this.#repository.saveKey(Buffer.from(blob, "latin1"));
      this.logicallyEncrypted = this.info.encrypted && passphrase !== "";
    }
    this.target = target;
  }
}

export interface CreateKeyOptions {
  mode: KeyMode;
  /** Names a new key file. */
  location: KeyLocation;
  relatedSecrets?: RelatedSecrets;
  /** The core, where it is loaded anyway. */
  kernels?: Core;
}

/** A new key for a new repository, with its passphrase from the environment or a person, stored where it belongs. */
export async function createKey(
  repository: KeyRepository,
  e: Environment,
  options: CreateKeyOptions,
): Promise<Key> {
  const { mode, kernels: core } = options;
  if (mode === "none") {
    return new Key(repository, e, plaintextMaterial(), {
      tamRequired: false,
      logicallyEncrypted: false,
      core,
    });
  }
  if (mode === "passphrase") throw new AlcoveError('The mode "passphrase" was given up with Borg 1.0.');
  const info = keyMode(mode);
  if (options.relatedSecrets && !sameIdHash(options.relatedSecrets.keyName, info)) {
    throw new AlcoveError(
      "The related repository makes its object ids with another hash (HMAC-SHA256 or BLAKE2b): deduplication would break.",
    );
  }
  const passphrase = await newPassphrase(e);
  const material = randomMaterial(mode);
  if (options.relatedSecrets) {
    material.idKey = options.relatedSecrets.idKey;
    material.chunkSeed = options.relatedSecrets.chunkSeed;
  }
  const key = new Key(repository, e, material, {
    tamRequired: true,
    logicallyEncrypted: info.encrypted,
    core,
  });
  const target = info.storage === "keyfile" ? newKeyFile(e, options.location) : repository.canonicalPath;
  await key.save(passphrase, target, true);
  e.log("info", `Key in "${target}" created.`);
  e.log("info", "Keep this key safe: without it your data is inaccessible.");
  return key;
}

function randomMaterial(mode: KeyMode): KeyMaterial {
  const random = randomBytes(100);
  // BLAKE2b takes at most 64 bytes of entropy; the zeros fill its block, so that a key is exactly one block.
  const secret = (at: number) =>
    keyMode(mode).idHash === "blake2b"
      ? Buffer.concat([randomBytes(64), Buffer.alloc(64)])
      : random.subarray(at, at + 32);
  return {
    mode,
    encKey: random.subarray(0, 32),
    encHmacKey: secret(32),
    idKey: secret(64),
    chunkSeed: random.readInt32BE(96),
  };
}

/** The key of a repository, from its manifest object as stored.
 *  @throws UnsupportedPayloadError, PassphraseWrong, PasswordRetriesExceeded, Keyfile… and RepoKeyNotFound errors */
export async function openKey(
  repository: KeyRepository,
  manifest: Uint8Array,
  e: Environment,
  core?: Core,
): Promise<Key> {
  const type = manifest[0];
  if (type === undefined) throw new IntegrityError("The manifest is empty.");
  // Repositories of the old passphrase mode have been migrated, or must be (migrateToRepokey).
  const info = keyModeOfType(type === TYPE_PASSPHRASE ? keyMode("repokey").type : type);
  if (info === undefined) throw new UnsupportedPayloadError(type);
  if (info.mode === "none") {
    return new Key(repository, e, plaintextMaterial(), {
      tamRequired: false,
      logicallyEncrypted: false,
      core,
    });
  }
  if (!info.encrypted && hasWorkaround(e.env, "authenticated_no_key")) {
    const zero = new Uint8Array(32);
    const material: KeyMaterial = {
      mode: info.mode,
      encKey: zero,
      encHmacKey: zero,
      idKey: zero,
      chunkSeed: 0,
      withoutKey: true,
    };
    const target = repository.canonicalPath;
    return new Key(repository, e, material, {
      tamRequired: false,
      logicallyEncrypted: false,
      target,
      core,
    });
  }
  const stored = await loadStored(repository, info, e);
  const { secrets, passphrase } = await unlock(stored.envelope, stored.target, e);
  const security = e.storage(e.securityDir(repository.idHex));
  const key = new Key(repository, e, toMaterial(info.mode, secrets), {
    nextNonce: nextNonce(info, manifest),
    tamRequired: secrets.tamRequired ?? securityRequiresTam(security),
    logicallyEncrypted: info.encrypted && (info.storage === "keyfile" || passphrase !== ""),
    target: stored.target,
    core,
  });
  return key;
}

/** Begins to unlock a key as it is stored in a repository, where its passphrase is at hand: openKey() goes on with that. The
 *  derivation takes as long as reading an index of 100,000 objects, and both can be done at once. */
export function anticipateKey(stored: Uint8Array, env: Environment["env"]): void {
  const passphrase = env["BORG_PASSPHRASE"];
  if (passphrase === undefined) return;
  const envelope = decodeBlob(Buffer.from(stored).toString("latin1"));
  if (envelope) beginDecryption(envelope, passphrase);
}

function toMaterial(mode: KeyMode, s: KeySecrets): KeyMaterial {
  return { mode, encKey: s.encKey, encHmacKey: s.encHmacKey, idKey: s.idKey, chunkSeed: s.chunkSeed };
}

/** A counter that is certainly behind the manifest's last block. */
function nextNonce(info: KeyModeInfo, manifest: Uint8Array): number {
  if (!info.encrypted) return 0;
  if (manifest.length < 41) throw new IntegrityError("The manifest is too short.");
  return nonceOf(manifest) + blocksOf(manifest.length);
}

async function loadStored(
  repository: KeyRepository,
  info: KeyModeInfo,
  e: Environment,
): Promise<{ envelope: Uint8Array; target: string }> {
  if (info.storage === "keyfile") {
    const target = findKeyFile(e, repository);
    // readKeyFile has checked that this decodes.
    return { envelope: decodeBlob(readKeyFile(e, target, repository))!, target };
  }
  const target = repository.canonicalPath;
  const text = Buffer.from(await repository.loadKey()).toString("latin1");
  if (text === "") throw new RepoKeyNotFound(target);
  const envelope = decodeBlob(text);
  if (envelope === undefined) throw new KeyfileInvalid(target, "(repokey)");
  return { envelope, target };
}

async function unlock(
  envelope: Uint8Array,
  target: string,
  e: Environment,
): Promise<{ secrets: KeySecrets; passphrase: string }> {
  const given = givenPassphrase(e);
  if (given !== undefined) {
    const secrets = await decryptBlob(envelope, given);
    if (secrets === undefined) throw new PassphraseWrong();
    return { secrets, passphrase: given };
  }
  // Nobody is asked for a passphrase that is empty.
  const open = await decryptBlob(envelope, "");
  if (open !== undefined) return { secrets: open, passphrase: "" };
  for (let i = 0; i < PASSPHRASE_TRIES; i++) {
    const passphrase = await askPassphrase(e, `Passphrase for key ${target}: `);
    const secrets = await decryptBlob(envelope, passphrase);
    if (secrets !== undefined) return { secrets, passphrase };
  }
  throw new PasswordRetriesExceeded();
}

// Fixed for ever: it is the only thing that leads from the passphrase to the keys.
const PASSPHRASE_MODE_ITERATIONS = 100_000;

/** `key migrate-to-repokey`: the keys of the old passphrase mode, which were derived from the passphrase alone,
 *  become a stored repokey. @throws AlcoveError if the repository is of another mode */
export async function migrateToRepokey(
  repository: KeyRepository,
  manifest: Uint8Array,
  e: Environment,
): Promise<Key> {
  if (manifest[0] !== TYPE_PASSPHRASE)
    throw new AlcoveError("The repository is not in the old passphrase mode: nothing to migrate.");
  let passphrase = givenPassphrase(e);
  const given = passphrase !== undefined;
  for (let i = 0; i < PASSPHRASE_TRIES; i++) {
    passphrase ??= await askPassphrase(e, `Passphrase for ${repository.canonicalPath}: `);
    const data = pbkdf2Sync(
      Buffer.from(passphrase, "utf8"),
      repository.id,
      PASSPHRASE_MODE_ITERATIONS,
      100,
      "sha256",
    );
    const material: KeyMaterial = {
      mode: "repokey",
      encKey: data.subarray(0, 32),
      encHmacKey: data.subarray(32, 64),
      idKey: data.subarray(64, 96),
      chunkSeed: data.readInt32BE(96),
    };
    if (opens(new Sealer(material), manifest)) {
      const options = {
        nextNonce: nextNonce(keyMode("repokey"), manifest),
        tamRequired: false,
        logicallyEncrypted: true,
      };
      const key = new Key(repository, e, material, { ...options, target: repository.canonicalPath });
      await key.changePassphrase();
      return key;
    }
    if (given) throw new PassphraseWrong();
    passphrase = undefined;
  }
  throw new PasswordRetriesExceeded();
}

function opens(sealer: Sealer, blob: Uint8Array): boolean {
  try {
    sealer.open(blob);
    return true;
  } catch (error) {
    if (error instanceof IntegrityError) return false;
    throw error;
  }
}
