// Authentication of the two metadata kinds an attacker with write access could otherwise swap or forge: manifest
// and archive. A "tam" map inside the msgpack holds salt and HMAC-SHA512 over the whole, computed with the HMAC
// zeroed, keyed by HKDF-SHA512 over the repository's keys. Borg's docs/internals/security.rst (since 1.0.9 for
// manifests, since 1.2.5 for archives, CVE-2023-36811).

import { createHmac, hkdfSync, randomBytes } from "node:crypto";
import {
  ArchiveTAMInvalid,
  ArchiveTAMRequired,
  IntegrityError,
  TAMInvalid,
  TAMRequired,
  TAMUnsupportedSuite,
  UnsupportedManifestError,
} from "../errors.ts";
import { concatBytes, equalSecret, fsDecode } from "../format/bytes.ts";
import { pack, unpack } from "../format/msgpack.ts";
import type { Storage } from "../storage/types.ts";
import type { KeyMaterial } from "./material.ts";

export type TamContext = "manifest" | "archive";
/** Metadata with keys as strings and raws as bytes, without its "tam". */
export type Metadata = Map<string, unknown>;

const SUITE = "HKDF_HMAC_SHA512";
const HMAC_SIZE = 64;

export interface VerifyOptions {
  /** An absent or unknown TAM is an error. */
  required: boolean;
  /** BORG_WORKAROUNDS=ignore_invalid_archive_tam, and `check --repair`. */
  ignoreInvalid?: boolean;
}

export interface Verified {
  metadata: Metadata;
  verified: boolean;
  /** Of an archive that did verify: reused when the archive is written again unchanged. */
  salt?: Uint8Array;
}

function tamKey(material: KeyMaterial, salt: Uint8Array, context: TamContext): Uint8Array {
  const name = Buffer.from(context, "latin1");
  if (material.mode === "none") return concatBytes(salt, name);
  const ikm = concatBytes(material.idKey, material.encKey, material.encHmacKey);
  const info = Buffer.concat([Buffer.from("borg-metadata-authentication-", "latin1"), name]);
  return new Uint8Array(hkdfSync("sha512", ikm, salt, info, 64));
}

function hmacOf(key: Uint8Array, data: Uint8Array): Uint8Array {
  return createHmac("sha512", key).update(data).digest();
}

/** Metadata as stored: msgpack with sorted keys and a TAM. salt: 64 random bytes where absent. */
export function packAndAuthenticate(
  material: KeyMaterial,
  metadata: Metadata | Record<string, unknown>,
  context: TamContext,
  salt: Uint8Array = randomBytes(64),
): Uint8Array {
  const map: Metadata = new Map(metadata instanceof Map ? metadata : Object.entries(metadata));
  for (const [key, value] of map) if (value === undefined) map.delete(key);
  const tam = new Map<string, unknown>([
    ["type", SUITE],
    ["hmac", new Uint8Array(HMAC_SIZE)],
    ["salt", salt],
  ]);
  map.set("tam", tam);
  const options = { sortKeys: true };
  tam.set("hmac", hmacOf(tamKey(material, salt, context), pack(map, options)));
  return pack(map, options);
}

/** @throws UnsupportedManifestError, TAMRequired, TAMInvalid, TAMUnsupportedSuite, IntegrityError */
export function unpackAndVerifyManifest(
  material: KeyMaterial,
  data: Uint8Array,
  options: VerifyOptions,
): Verified {
  if (data.length >= 4 && data.subarray(0, 4).every((b) => b === 0xc1)) throw new UnsupportedManifestError();
  return verify(material, data, "manifest", options);
}

/** @throws ArchiveTAMRequired, ArchiveTAMInvalid, TAMUnsupportedSuite, IntegrityError */
export function unpackAndVerifyArchive(
  material: KeyMaterial,
  data: Uint8Array,
  options: VerifyOptions,
): Verified {
  return verify(material, data, "archive", options);
}

function verify(
  material: KeyMaterial,
  data: Uint8Array,
  context: TamContext,
  options: VerifyOptions,
): Verified {
  const invalid = () =>
    context === "manifest"
      ? new TAMInvalid("the manifest's authentication does not verify")
      : new ArchiveTAMInvalid("the archive's authentication does not verify");
  // Raws are views into what is unpacked, and the HMAC is zeroed in place below: hence the copy.
  // (Not slice(): a Buffer's slice is a view.)
  const bytes = new Uint8Array(data);
  const metadata = unpack(data) as Metadata;
  if (!(metadata instanceof Map)) throw new IntegrityError(`The ${context} is not a map.`);
  // Without the key nothing can be verified; the workaround asks to go on as if it had been.
  if (material.withoutKey) {
    metadata.delete("tam");
    return { metadata, verified: true };
  }
  if (!metadata.has("tam")) {
    if (!options.required) return { metadata, verified: false };
    throw context === "manifest" ? new TAMRequired() : new ArchiveTAMRequired(archiveName(metadata));
  }
  const tam = metadata.get("tam");
  metadata.delete("tam");
  if (!(tam instanceof Map)) throw invalid();
  const type = tam.get("type");
  const suite = type instanceof Uint8Array ? Buffer.from(type).toString("latin1") : "<none>";
  if (suite !== SUITE) {
    if (options.required) throw new TAMUnsupportedSuite(JSON.stringify(suite));
    return { metadata, verified: false };
  }
  const hmac = tam.get("hmac");
  const salt = tam.get("salt");
  if (!(salt instanceof Uint8Array) || !(hmac instanceof Uint8Array) || hmac.length !== HMAC_SIZE)
    throw invalid();
  const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(hmac);
  bytes.fill(0, at, at + HMAC_SIZE);
  if (!equalSecret(hmacOf(tamKey(material, salt, context), bytes), hmac)) {
    if (context === "archive" && options.ignoreInvalid) return { metadata, verified: false };
    throw invalid();
  }
  return { metadata, verified: true, salt: salt.slice() };
}

function archiveName(metadata: Metadata): string {
  const name = metadata.get("name");
  return name instanceof Uint8Array ? fsDecode(name) : "<unknown>";
}

const REQUIRED_FILE = "tam_required";

/** Whether this client has seen that the repository's manifest must be authenticated. security: security/<id>. */
export function securityRequiresTam(security: Storage): boolean {
  return security.exists(REQUIRED_FILE);
}

/** Brings the security directory in line with a manifest that did verify. */
export function rememberTamRequired(security: Storage, required: boolean): void {
  if (required === securityRequiresTam(security)) return;
  if (required) security.writeAtomic(REQUIRED_FILE, new Uint8Array(0), { mode: 0o600 });
  else security.unlink(REQUIRED_FILE);
}
