// Decoded msgpack as JSON for the debug commands, in the form of Borg's prepare_dump_dict: bytes are shown as text
// where they are UTF-8, else as hex after a DEL character, which tells the two apart.
import { closeSync, openSync, writeSync } from "node:fs";
import { toHex } from "../src/format/bytes.ts";
import { Float } from "../src/format/msgpack.ts";
import type { Context } from "./context.ts";
import { type Json, JsonFloat } from "./output/json.ts";

export function dumpable(value: unknown): Json {
  if (value instanceof Uint8Array) return bytesText(value);
  if (value instanceof Float) return new JsonFloat(Number(value.value));
  if (value instanceof Map) {
    const out: Record<string, Json> = {};
    for (const [k, v] of value) out[typeof k === "string" ? k : bytesText(k as Uint8Array)] = dumpable(v);
    return out;
  }
  if (Array.isArray(value)) return value.map(dumpable);
  if (value === null || ["number", "bigint", "boolean", "string"].includes(typeof value))
    return value as Json;
  return String(value);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function bytesText(bytes: Uint8Array): string {
  if (bytes[0] !== 0x7f) {
    try {
      return utf8.decode(bytes);
    } catch {
      // No text: an id, most likely.
    }
  }
  return `\u007f${toHex(bytes)}`;
}

/** Where a command writes that takes PATH or "-". */
export function withOutput(ctx: Context, path: string, work: (write: (text: string) => void) => void): void;
export function withOutput(
  ctx: Context,
  path: string,
  work: (write: (text: string) => void) => Promise<void>,
): Promise<void>;
export function withOutput(
  ctx: Context,
  path: string,
  work: (write: (text: string) => void) => void | Promise<void>,
): void | Promise<void> {
  if (path === "-") return work((text) => ctx.stdout.write(text));
  const fd = openSync(path, "w");
  const result = (() => {
    try {
      return work((text) => void writeSync(fd, text));
    } catch (e) {
      closeSync(fd);
      throw e;
    }
  })();
  if (result instanceof Promise) return result.finally(() => closeSync(fd));
  closeSync(fd);
}
