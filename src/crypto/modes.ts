// The eight key types of Borg 1.x: type byte of every object, names, where the key lives, which hash makes
// object ids and which MAC protects the ciphertext. Borg's docs/internals/security.rst and crypto/key.py.

export type KeyMode =
  | "none"
  | "passphrase"
  | "keyfile"
  | "repokey"
  | "authenticated"
  | "keyfile-blake2"
  | "repokey-blake2"
  | "authenticated-blake2";

export interface KeyModeInfo {
  /** What `init --encryption` takes; "passphrase" (before Borg 1.0) can only be read. */
  readonly mode: KeyMode;
  /** First byte of every object. */
  readonly type: number;
  /** Borg's human name, also stored in related-secrets files and shown in JSON. */
  readonly name: string;
  readonly storage: "none" | "keyfile" | "repository";
  readonly idHash: "sha256" | "hmac-sha256" | "blake2b";
  readonly encrypted: boolean;
}

const info = (
  mode: KeyMode,
  type: number,
  name: string,
  storage: KeyModeInfo["storage"],
  idHash: KeyModeInfo["idHash"],
  encrypted: boolean,
): KeyModeInfo => ({ mode, type, name, storage, idHash, encrypted });

export const KEY_MODES: readonly KeyModeInfo[] = [
  info("none", 0x02, "plaintext", "none", "sha256", false),
  info("passphrase", 0x01, "passphrase", "none", "hmac-sha256", true),
  info("keyfile", 0x00, "key file", "keyfile", "hmac-sha256", true),
  info("repokey", 0x03, "repokey", "repository", "hmac-sha256", true),
  info("authenticated", 0x07, "authenticated", "repository", "hmac-sha256", false),
  info("keyfile-blake2", 0x04, "key file BLAKE2b", "keyfile", "blake2b", true),
  info("repokey-blake2", 0x05, "repokey BLAKE2b", "repository", "blake2b", true),
  info("authenticated-blake2", 0x06, "authenticated BLAKE2b", "repository", "blake2b", false),
];

/** Type byte of the mode that was dropped with Borg 1.0; its objects are read with a repokey. */
export const TYPE_PASSPHRASE = 0x01;

const byMode = new Map(KEY_MODES.map((m) => [m.mode, m]));
const byType = new Map(KEY_MODES.map((m) => [m.type, m]));

export function keyMode(mode: KeyMode): KeyModeInfo {
  return byMode.get(mode)!;
}

/** The mode of a type byte, undefined if this program does not know it. */
export function keyModeOfType(type: number): KeyModeInfo | undefined {
  return byType.get(type);
}

/** Names that `init --encryption` accepts. */
export function encryptionModes(): KeyMode[] {
  return KEY_MODES.filter((m) => m.mode !== "passphrase").map((m) => m.mode);
}
