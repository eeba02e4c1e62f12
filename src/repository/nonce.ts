// The repository's file `nonce`: the first AES-CTR block number that no client has reserved, as 16 hexadecimal digits.
// It only ever grows, and is on the disk before a client encrypts with what it reserved (docs/internals/security.rst).
import { AlcoveError } from "../errors.ts";
import type { Storage } from "../storage/types.ts";

const FILE = "nonce";

/** @throws AlcoveError for a damaged file: guessing a nonce would be worse than stopping */
export function readNonce(storage: Storage): number | undefined {
  let text: string;
  try {
    text = new TextDecoder("latin1").decode(storage.read(FILE)).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const value = /^[0-9a-fA-F]{16}$/.test(text) ? Number.parseInt(text, 16) : Number.NaN;
  if (!Number.isSafeInteger(value)) {
    throw new AlcoveError(
      `The nonce file of repository ${storage.root} is not valid: ${JSON.stringify(text.slice(0, 40))}`,
    );
  }
  return value;
}

/** Compare-and-set. @throws AlcoveError where the state is not `start` any more */
export function reserveNonce(storage: Storage, next: number, start: number | undefined): void {
  const current = readNonce(storage);
  if (current !== start) {
    throw new AlcoveError("Nonce reservation: another client has changed the repository's nonce meanwhile.");
  }
  if (!Number.isSafeInteger(next) || next < (current ?? 0)) {
    throw new AlcoveError(`Nonce reservation: ${next} is behind what is reserved already.`);
  }
  storage.writeAtomic(FILE, new TextEncoder().encode(next.toString(16).padStart(16, "0")));
}
