// The lines written from an item's bytes are those the general formatter gives, whatever the items.
import fc from "fast-check";
import { expect, test } from "vitest";
import { ItemFormatter } from "../../../cli/item-format.ts";
import { ItemLines } from "../../../cli/item-lines.ts";
import type { Archive } from "../../../src/archive/archive.ts";
import type { Item } from "../../../src/archive/item.ts";
import { ItemDecoder } from "../../../src/archive/item-decoder.ts";
import { ItemEncoder } from "../../../src/archive/item-encoder.ts";
import { fsEncode } from "../../../src/format/bytes.ts";

const DEFAULT = "{mode} {user:6} {group:6} {size:8} {mtime} {path}{extra}{NL}";
// The formatter asks the archive only for names, ids and contents, which these formats do not have.
const archive = { name: "a", fingerprint: "0", metadata: { totals: {} } } as unknown as Archive;

const name = fc.oneof(
  fc.string({ minLength: 1, maxLength: 40 }).map((s) => s.replaceAll("\0", "x")),
  fc.constantFrom("usr/bin/tool", "größe/日本", "broken\udcff\udc80name", "new\nline", "x".repeat(300)),
);
const owner = fc.oneof(
  fc.constantFrom(null, "root", "", "a-long-user-name", "jürgen"),
  fc.string({ maxLength: 9 }),
);
const time = fc.oneof(
  fc.bigInt({ min: 0n, max: 4_102_444_800_000_000_000n }),
  fc.bigInt({ min: 0n, max: 4_000_000_000n }).map((s) => s * 1_000_000_000n),
  fc.bigInt({ min: 0n, max: 4_000_000_000n }).map((s) => s * 1_000_000_000n + 999_999_999n),
  fc.bigInt({ min: -5_000_000_000n, max: 5_000_000_000n }),
);
const item: fc.Arbitrary<Item> = fc.record(
  {
    path: name,
    mode: fc.constantFrom(0o100644, 0o104755, 0o40755, 0o41777, 0o120777, 0o20600, 0o10644),
    uid: fc.nat(),
    gid: fc.nat(70_000),
    user: owner,
    group: owner,
    mtime: time,
    size: fc.oneof(
      fc.nat(),
      fc.nat(2 ** 31).map((n) => n * 2 ** 20),
      fc.constantFrom(9, 10, 99_999_999, 100_000_000),
    ),
    source: name,
    part: fc.constant(1),
    chunks: fc.constant([{ id: new Uint8Array(32), size: 5, csize: 3 }]),
  },
  { requiredKeys: ["path", "mode", "mtime", "uid", "gid", "user", "group"] },
);

test.each([DEFAULT, "{path}{NL}", "{uid:7} {gid} {user} {group:12}|{size}{TAB}{mode:3}{path}{NUL}"])(
  "%s",
  (format) => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: 8 }), fc.boolean(), fc.nat(), (items, parts, cut) => {
        const encoder = new ItemEncoder();
        for (const i of items) encoder.encode(i);
        const bytes = encoder.bytes().slice();
        const formatter = new ItemFormatter(archive, format);
        const general = items.filter((i) => parts || i.part === undefined).map((i) => formatter.lineNow(i));
        const lines = ItemLines.compile(format, formatter)!;
        const decoder = new ItemDecoder();
        const out: Uint8Array[] = [];
        const at = bytes.length === 0 ? 0 : cut % bytes.length;
        for (const piece of [bytes.slice(0, at), bytes.slice(at)]) {
          decoder.feed(piece);
          out.push(Uint8Array.from(lines.lines(decoder, parts)));
        }
        expect(decoder.pending).toBe(0);
        expect(Buffer.concat(out)).toEqual(Buffer.from(fsEncode(general.join(""))));
      }),
      { numRuns: 400 },
    );
  },
);

test("formats that need more are left to the formatter", () => {
  const formatter = new ItemFormatter(archive, DEFAULT);
  for (const format of ["{path:20}", "{mode!r}", "{csize}", "{isomtime}", "{xxh64}", "{user:>8}", "{flags}"])
    expect(ItemLines.compile(format, formatter), format).toBeUndefined();
});
