// Tar: damaged and hostile archives end in an IntegrityError, never otherwise; limits hold.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IntegrityError } from "../../../src/errors.ts";
import { TarReader, TarWriter } from "../../../src/format/tar.ts";
import { formatHeader } from "../../../src/format/tar-header.ts";

async function* once(bytes: Uint8Array) {
  yield bytes;
}

async function drain(bytes: Uint8Array, options?: { ignoreZeros?: boolean }): Promise<string[]> {
  const reader = new TarReader(once(bytes), options);
  const names: string[] = [];
  for (let entry = await reader.next(); entry; entry = await reader.next()) {
    names.push(entry.name);
    let read = 0;
    for await (const part of entry.content()) {
      read += part.length;
      if (read > 1 << 20) break;
    }
  }
  return names;
}

async function archive(format: "gnu" | "pax"): Promise<Uint8Array> {
  const out: Uint8Array[] = [];
  const writer = new TarWriter((b) => void out.push(b.slice()), format);
  await writer.entry({ name: "a".repeat(150), type: "file", size: 700, mtime: 5n });
  await writer.data(new Uint8Array(700).fill(65));
  await writer.entry({ name: "b", type: "symlink", linkname: "c".repeat(130) });
  await writer.finish();
  return Buffer.concat(out);
}

const head = (flag: string, size: number, name = "x") =>
  formatHeader(
    {
      name,
      size,
      mode: 0,
      uid: 0,
      gid: 0,
      uname: "",
      gname: "",
      mtime: 0,
      linkname: "",
      devmajor: 0,
      devminor: 0,
    },
    flag,
    "gnu",
  );
const withContent = (header: Uint8Array, content: string) => {
  const padded = new Uint8Array(Math.ceil(content.length / 512) * 512);
  padded.set(Buffer.from(content));
  return Buffer.concat([header, padded]);
};

describe("TarReader", () => {
  it("survives flipped bytes and cuts", async () => {
    for (const format of ["gnu", "pax"] as const) {
      const good = await archive(format);
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 0, max: 3500 }),
          fc.integer({ min: 1, max: 255 }),
          fc.boolean(),
          async (at, mask, cut) => {
            const bad = cut ? good.slice(0, at) : good.slice();
            if (!cut) bad[at]! ^= mask;
            try {
              await drain(bad);
            } catch (error) {
              expect(error).toBeInstanceOf(IntegrityError);
            }
          },
        ),
        { numRuns: 400 },
      );
    }
  });

  it("survives random content behind valid headers", async () => {
    const flags = fc.constantFrom("x", "g", "L", "K", "S", "0", "5");
    await fc.assert(
      fc.asyncProperty(
        flags,
        fc.string({ maxLength: 200 }),
        fc.integer({ min: 0, max: 600 }),
        async (flag, text, size) => {
          try {
            await drain(
              Buffer.concat([withContent(head(flag, size), text), head("0", 0), new Uint8Array(1024)]),
            );
          } catch (error) {
            expect(error).toBeInstanceOf(IntegrityError);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it("refuses what would need too much memory", async () => {
    await expect(drain(head("L", 2 ** 33))).rejects.toThrow(/too large/);
    await expect(drain(head("x", 2 ** 30))).rejects.toThrow(/too large/);
    const records = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n29 GNU.sparse.realsize=99999\n";
    const map = withContent(head("0", 512), "9999999999\n");
    await expect(
      drain(Buffer.concat([withContent(head("x", records.length), records), map])),
    ).rejects.toThrow(/holes/);
  });

  it("goes on behind zero blocks on demand only", async () => {
    const two = Buffer.concat([
      head("0", 0, "one"),
      new Uint8Array(1024),
      head("0", 0, "two"),
      new Uint8Array(1024),
    ]);
    expect(await drain(two)).toEqual(["one"]);
    expect(await drain(two, { ignoreZeros: true })).toEqual(["one", "two"]);
  });

  it("skips content that nobody reads", async () => {
    const reader = new TarReader(once(await archive("pax")));
    expect((await reader.next())!.size).toBe(700);
    expect((await reader.next())!.linkname).toBe("c".repeat(130));
    expect(await reader.next()).toBeUndefined();
  });
});

describe("TarWriter", () => {
  it("insists on the announced size", async () => {
    const writer = new TarWriter(() => undefined);
    await writer.entry({ name: "a", type: "file", size: 3 });
    await expect(writer.data(new Uint8Array(4))).rejects.toThrow(RangeError);
    await writer.data(new Uint8Array(2));
    await expect(writer.entry({ name: "b", type: "file" })).rejects.toThrow(RangeError);
  });
});
