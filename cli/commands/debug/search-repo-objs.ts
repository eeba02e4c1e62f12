// debug search-repo-objs: looks for bytes in every object's plaintext, and across the border of objects that follow
// each other on disk.
import { MANIFEST_ID } from "../../../src/archive/manifest.ts";
import { CommandError } from "../../../src/errors.ts";
import { equalBytes, fromHex, fsEncode, toHex } from "../../../src/format/bytes.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { scanObjects, withObjects } from "../../objects.ts";

/** Bytes shown on either side of a finding. */
const CONTEXT = 32;

export async function run(args: Args, ctx: Context): Promise<void> {
  const wanted = Buffer.from(parseTerm(args.word("wanted")!));
  await withObjects(ctx, args, {}, async ({ repository, objects }) => {
    let last: { id: string; data: Buffer } = { id: "", data: Buffer.alloc(0) };
    let i = 0;
    for await (const { id, blob } of scanObjects(repository)) {
      const plain = equalBytes(id, MANIFEST_ID) ? objects.unpackUnidentified(blob) : objects.unpack(id, blob);
      const data = Buffer.from(plain);
      const hex = toHex(id);
      const edge = wanted.length - 1;
      if (Buffer.concat([tail(last.data, edge), data.subarray(0, edge)]).includes(wanted)) {
        const around = Buffer.concat([tail(last.data, edge + CONTEXT), data.subarray(0, edge + CONTEXT)]);
        ctx.print(finding(`${i} ${last.id} | ${hex}`, wanted, around, around.indexOf(wanted)));
      }
      const count = countOf(data, wanted);
      if (count) ctx.print(finding(`${i} ${hex} #${count}`, wanted, data, data.indexOf(wanted)));
      last = { id: hex, data };
      if (++i % 10000 === 0) ctx.print(`${i} objects processed.`);
    }
    ctx.print("Done.");
  });
}

function parseTerm(text: string): Uint8Array {
  let bytes: Uint8Array | undefined;
  if (text.startsWith("hex:") && /^([0-9a-fA-F]{2})+$/.test(text.slice(4))) bytes = fromHex(text.slice(4));
  if (text.startsWith("str:")) bytes = fsEncode(text.slice(4));
  if (!bytes?.length) throw new CommandError("search term needs to be hex:123abc or str:foobar style");
  return bytes;
}

const tail = (data: Buffer, n: number) =>
  n === 0 ? data.subarray(0, 0) : data.subarray(Math.max(0, data.length - n));

function countOf(data: Buffer, wanted: Buffer): number {
  let n = 0;
  for (let at = data.indexOf(wanted); at >= 0; at = data.indexOf(wanted, at + wanted.length)) n++;
  return n;
}

function finding(what: string, wanted: Buffer, data: Buffer, at: number): string {
  const before = data.subarray(Math.max(0, at - CONTEXT), at);
  const after = data.subarray(at + wanted.length, at + wanted.length + CONTEXT);
  const parts = [before, wanted, after];
  return `${what}: ${parts.map((p) => p.toString("hex")).join(" ")} == ${parts.map(bytesRepr).join(" ")}`;
}

const escapes: Record<number, string> = { 9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\" };

/** Python's repr of bytes. */
export function bytesRepr(bytes: Uint8Array): string {
  const quote = bytes.includes(0x27) && !bytes.includes(0x22) ? '"' : "'";
  let out = "";
  for (const b of bytes) {
    if (escapes[b]) out += escapes[b];
    else if (b === quote.charCodeAt(0)) out += `\\${quote}`;
    else if (b >= 0x20 && b < 0x7f) out += String.fromCharCode(b);
    else out += `\\x${b.toString(16).padStart(2, "0")}`;
  }
  return `b${quote}${out}${quote}`;
}
