// Object ids as users type them.
import { CommandError } from "../src/errors.ts";
import { fromHex } from "../src/format/bytes.ts";

/** 32 bytes from 64 hex digits; undefined for anything else. */
export function parseObjectId(text: string): Uint8Array | undefined {
  return /^[0-9a-fA-F]{64}$/.test(text) ? fromHex(text.toLowerCase()) : undefined;
}

/** @throws CommandError */
export function objectId(text: string): Uint8Array {
  const id = parseObjectId(text);
  if (!id) throw new CommandError(`object id ${text} is invalid: 64 hex digits are needed.`);
  return id;
}
