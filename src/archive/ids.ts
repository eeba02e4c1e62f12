// Which hash makes object ids under a key, in the form the hash kernels take it.
import type { HashKind } from "../core/hasher.ts";
import type { KeyMaterial } from "../crypto/material.ts";
import { keyMode } from "../crypto/modes.ts";

export function idHasherKind(material: KeyMaterial): HashKind {
  switch (keyMode(material.mode).idHash) {
    case "sha256":
      return { type: "sha256" };
    case "hmac-sha256":
      return { type: "hmac-sha256", key: material.idKey };
    case "blake2b":
      return { type: "blake2b", key: material.idKey };
  }
}
