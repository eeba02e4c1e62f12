// Secrets that two repositories share so that equal data gets equal ids and cut points in both, which is what later
// transfers between them deduplicate by: id key and chunker seed, never the encryption keys. The JSON is that of
// Borg 1.4's `key export-related-secrets` and `init --import-related-secrets`.

import { CommandError } from "../errors.ts";
import { fromHex, toHex } from "../format/bytes.ts";
import type { KeyMaterial } from "./material.ts";
import { type KeyModeInfo, keyMode } from "./modes.ts";

export interface RelatedSecrets {
  idKey: Uint8Array;
  chunkSeed: number;
  /** Borg's human name of the other repository's key type. */
  keyName: string;
}

const FAMILIES = [
  ["repokey", "key file", "authenticated"],
  ["repokey BLAKE2b", "key file BLAKE2b", "authenticated BLAKE2b"],
];

/** Whether repositories of these two key types make the same ids from the same id key. */
export function sameIdHash(otherName: string, info: KeyModeInfo): boolean {
  return FAMILIES.some((family) => family.includes(otherName) && family.includes(info.name));
}

/** The JSON text, with a newline at the end. @throws CommandError where there are no secrets to share */
export function exportRelatedSecrets(material: KeyMaterial): string {
  if (material.mode === "none" || material.withoutKey)
    throw new CommandError("This repository has no secrets to export.");
  const secrets = {
    version: 1,
    id_key: toHex(material.idKey),
    chunk_seed: material.chunkSeed,
    key_name: keyMode(material.mode).name,
  };
  return `${JSON.stringify(secrets, undefined, 4)}\n`;
}

/** @throws CommandError, which names the file but nothing of its content */
export function parseRelatedSecrets(text: string, path: string): RelatedSecrets {
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw new CommandError(`${path} is not valid JSON.`);
  }
  if (typeof json !== "object" || json === null || json["version"] !== 1) {
    throw new CommandError(`${path} does not hold related secrets of version 1.`);
  }
  const { id_key: idKey, chunk_seed: seed, key_name: keyName } = json;
  if (typeof idKey !== "string" || !/^([0-9a-fA-F]{2})+$/.test(idKey))
    throw new CommandError(`${path} has no valid id_key.`);
  if (typeof seed !== "number" || (seed | 0) !== seed)
    throw new CommandError(`${path} has no valid chunk_seed.`);
  if (typeof keyName !== "string") throw new CommandError(`${path} has no valid key_name.`);
  return { idKey: fromHex(idKey), chunkSeed: seed, keyName };
}
