// Hostile data through the public entry points: item streams, archive metadata, manifests, keys, compressed chunks, the
// files of the cache, patterns, format strings. Valid samples are mutated (bits, cuts, splices, huge lengths) from a
// seed; whatever comes, the outcome is data or an AlcoveError, in bounded time and memory.
// ALCOVE_FUZZ_SEED and ALCOVE_FUZZ_RUNS repeat or lengthen a run (cases of each kind).
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { archiveKeys } from "../../cli/archive-format.ts";
import { itemKeys } from "../../cli/item-format.ts";
import { ItemDecoder } from "../../src/archive/item-decoder.ts";
import { ItemEncoder } from "../../src/archive/item-encoder.ts";
import { MANIFEST_ID, Manifest } from "../../src/archive/manifest.ts";
import { decodeArchiveMetadata } from "../../src/archive/metadata.ts";
import type { Objects } from "../../src/archive/objects.ts";
import { openManifest } from "../../src/archive/session.ts";
import { ChunkIndex } from "../../src/cache/chunks.ts";
import { CacheConfig } from "../../src/cache/config.ts";
import { FilesCache } from "../../src/cache/files.ts";
import { parseFilesCacheMode } from "../../src/cache/files-mode.ts";
import { ItemScanner } from "../../src/cache/itemscan.ts";
import { createCompressor, decompress, parseCompression, prepareCodecs } from "../../src/compress/index.ts";
import { loadCore } from "../../src/core/index.ts";
import { decodeBlob, decryptBlob, encryptBlob } from "../../src/crypto/blob.ts";
import type { Key } from "../../src/crypto/keys.ts";
import type { KeyMode } from "../../src/crypto/modes.ts";
import { AlcoveError } from "../../src/errors.ts";
import { compileFormat } from "../../src/format/formatter.ts";
import { pack, unpack } from "../../src/format/msgpack.ts";
import { replacePlaceholders } from "../../src/format/placeholders.ts";
import {
  createPattern,
  loadExcludeFile,
  loadPatternFile,
  PatternMatcher,
  pythonRegex,
  shellToRegex,
} from "../../src/select/index.ts";
import { BASE, emptyDisk, worldOn } from "../fault/life.ts";
import { MemoryStorage } from "../fault/memory-storage.ts";
import { type Seeded, seeded } from "../fault/seeded.ts";
import type { World } from "../fault/world.ts";
import { counted, fuzz, RUNS } from "./mutate.ts";

const LIMIT = 20 << 20;

let world: World;
beforeAll(async () => {
  world = worldOn(emptyDisk(), "secret");
  await world.open(async () => {}, true);
  await world.init("repokey");
  await prepareCodecs("all");
});
afterAll(() => {
  console.info(`${counted.cases} cases, ${counted.accepted} accepted`);
});

const id = (n: number) => new Uint8Array(32).fill(n);
const text = (s: string) => new Uint8Array(Buffer.from(s, "utf8"));

function itemStream(): Uint8Array {
  const encoder = new ItemEncoder();
  for (let i = 0; i < 4; i++) {
    encoder.encode({
      path: `dir/file${i}`,
      mode: 0o100644,
      uid: 1000,
      gid: 1000,
      user: "user",
      group: "group",
      mtime: 1_700_000_000_000_000_000n + BigInt(i),
      size: 300,
      hardlink_master: false,
      chunks: [1, 2, 3].map((n) => ({ id: id(n + i), size: 100, csize: 50 })),
      xattrs: new Map([["user.a", text("value")]]),
      acl_access: text("user::rw-"),
    });
  }
  return encoder.bytes().slice();
}

describe("archives", () => {
  it("item streams, decoded and scanned", async () => {
    const sample = itemStream();
    await fuzz("items", [sample], (bytes, random) => {
      const decoder = new ItemDecoder(random.below(2) ? new Set(["chunks", "mode"]) : undefined);
      const cut = random.below(bytes.length + 1);
      for (const piece of [bytes.slice(0, cut), bytes.slice(cut)]) {
        decoder.feed(piece);
        for (let item = decoder.next(); item; item = decoder.next()) expect(typeof item.path).toBe("string");
      }
    });
    await fuzz("items, scanned", [sample], (bytes) => {
      const scanner = new ItemScanner(new ChunkIndex());
      scanner.feed(bytes);
      scanner.finish();
    });
  });

  it("archive metadata and manifests", async () => {
    await world.open(async ({ repository, environment }) => {
      const manifest = await openManifest(repository, environment, { operations: [] });
      const { key, objects } = manifest;
      const metadata = key.packAndAuthenticate(
        {
          version: 1,
          name: "archive",
          comment: "",
          items: [id(1), id(2)],
          cmdline: ["borg", "create"],
          hostname: "host",
          username: "user",
          time: "2026-01-02T03:04:05.000006",
          time_end: "2026-01-02T03:04:05.000006",
          cwd: "/",
          chunker_params: ["buzhash", 19, 23, 21, 4095],
        },
        "archive",
      );
      const accepted = await fuzz("archive", [metadata], (bytes) => key.unpackAndVerifyArchive(bytes));
      // Whatever was changed: only the unchanged pass, and some mutations change nothing.
      expect(accepted).toBeLessThan(RUNS / 5);
      await fuzz("archive, unauthenticated", [metadata], (bytes) => {
        const value = unpack(bytes);
        if (value instanceof Map) decodeArchiveMetadata(value as never);
      });
      const stored = objects.unpackUnidentified(await repository.get(MANIFEST_ID));
      const plain = { key: stub(key), unpackUnidentified: (b: Uint8Array) => b, id: () => id(0) };
      await fuzz("manifest", [stored], (bytes) =>
        Manifest.load(plain as unknown as Objects, bytes, ["read", "write"]),
      );
      const sealed = await repository.get(MANIFEST_ID);
      const passed = await fuzz("sealed manifest", [sealed], (bytes) => {
        Manifest.load(objects, bytes, ["read"]);
        expect(Buffer.compare(bytes.subarray(1), sealed.subarray(1))).toBe(0);
      });
      expect(passed).toBeLessThan(RUNS / 5);
    });
  });
});

/** A key that authenticates everything: what an attacker with the key could write must not crash us either. */
function stub(key: Key) {
  return {
    ...key,
    unpackAndVerifyManifest: (data: Uint8Array) => {
      const metadata = unpack(data);
      if (!(metadata instanceof Map)) throw new AlcoveError("no map");
      return { metadata, verified: true };
    },
  };
}

it("key blobs", async () => {
  const secrets = {
    repositoryId: id(1),
    encKey: id(2),
    encHmacKey: id(3),
    idKey: id(4),
    chunkSeed: 5,
    tamRequired: true,
  };
  // One derivation of 100,000 rounds each would be most of the time.
  const envelope = await encryptBlob(secrets, "secret");
  const cheap = unpack(envelope) as Map<string, unknown>;
  cheap.set("iterations", 10);
  const absurd = new Map(cheap).set("iterations", 2 ** 40);
  await fuzz("key", [pack(cheap), pack(absurd)], (bytes) => {
    // A mutation may ask for as many rounds as are allowed: legal, and slow.
    if (!Buffer.from(bytes).includes(Buffer.from("iterations\n", "latin1"))) return undefined;
    return decryptBlob(bytes, "secret");
  });
  await fuzz("key text", [text("hqlhbGdvcml0aG2mc2hhMjU2pGRhdGHaAN4==")], (bytes) =>
    decodeBlob(Buffer.from(bytes).toString("latin1")),
  );
});

/** Whatever the key: changed objects are refused, and never become data. */
it.each<KeyMode>(["authenticated", "authenticated-blake2", "keyfile", "repokey", "repokey-blake2", "none"])(
  "sealed objects, %s",
  async (mode) => {
    const world = worldOn(emptyDisk(), "secret");
    await world.open(async () => {}, true);
    await world.init(mode);
    await world.open(async ({ repository, environment }) => {
      const { objects } = await openManifest(repository, environment, { operations: ["read"] });
      const plain = text("something worth a secret. ".repeat(20));
      const id = objects.key.idHash(plain);
      const sealed = (await objects.pack(plain)).slice();
      expect(objects.unpack(id, sealed)).toEqual(plain);
      await fuzz(`sealed, ${mode}`, [sealed], (bytes) => expect(objects.unpack(id, bytes)).toEqual(plain));
    });
  },
);

describe("chunks", () => {
  it.each(["none", "lz4", "zstd,3", "zlib,6", "lzma,6", "obfuscate,110,lz4"])("%s", async (spec) => {
    const core = loadCore();
    const compressor = createCompressor(parseCompression(spec), core);
    const data = text("some text that repeats, some text that repeats. ".repeat(40));
    const samples = [data, new Uint8Array(5000), seeded(3).bytes(500)].map((d) =>
      compressor.compress(d).slice(),
    );
    const runs = spec.startsWith("lzma") ? Math.ceil(RUNS / 4) : RUNS;
    await fuzz(
      spec,
      samples,
      (bytes) => expect(decompress(bytes, LIMIT, core).length).toBeLessThanOrEqual(LIMIT),
      runs,
    );
  });

  it("bombs stop at the limit", () => {
    const core = loadCore();
    for (const spec of ["lz4", "zstd,3", "zlib,6", "lzma,1"]) {
      const bomb = createCompressor(parseCompression(spec), core).compress(new Uint8Array(30 << 20));
      expect(bomb.length).toBeLessThan(1 << 20);
      expect(() => decompress(bomb, LIMIT, core), spec).toThrow(AlcoveError);
    }
  });
});

describe("the cache", () => {
  it("files cache, chunk indexes, config", async () => {
    const storage = new MemoryStorage(emptyDisk(), BASE);
    const mode = parseFilesCacheMode("ctime,size,inode");
    const files = FilesCache.empty(mode);
    const stamp = (n: number) => ({ size: 10, ino: n, mtimeSec: 1, mtimeNsec: 2, ctimeSec: 3, ctimeNsec: 4 });
    for (let n = 0; n < 5; n++) files.memorize(id(n), 0, stamp(n), new Uint8Array(64).fill(n), 2);
    files.memorize(id(99), 0, { ...stamp(99), ctimeSec: 9 }, id(9), 1);
    files.save(storage, "files", 20);
    await fuzz("files", [storage.read("files")], (bytes) => FilesCache.parse(mode, bytes));
    const chunks = new ChunkIndex();
    for (let n = 0; n < 50; n++) chunks.add(id(n), 0, 1, 100, 50);
    chunks.save(storage, "chunks");
    chunks.saveCompact(storage, "compact");
    const load = (bytes: Uint8Array, compact: boolean) => {
      storage.writeAtomic("broken", bytes, { durable: false });
      const index = ChunkIndex.load(storage, "broken", undefined, { compact });
      index.seen(id(200));
      // A compact index is only ever added to another one.
      if (compact) new ChunkIndex().merge(index);
      else index.add(id(201), 0, 1, 1, 1);
      let entries = 0;
      for (let slot = index.index.next(-1); slot >= 0; slot = index.index.next(slot)) entries++;
      expect(entries).toBeLessThan(1e6);
    };
    await fuzz(
      "chunks",
      [storage.read("chunks").slice(0, 3000), storage.read("chunks")],
      (b) => load(b, false),
      Math.ceil(RUNS / 5),
    );
    await fuzz("compact chunks", [storage.read("compact")], (b) => load(b, true), Math.ceil(RUNS / 2));
    await world.open(async ({ repository, environment }) => {
      const config = new CacheConfig(environment, repository);
      const sample = config.files.read("config").slice();
      await fuzz(
        "cache config",
        [sample],
        (bytes) => {
          config.files.writeAtomic("config", bytes, { durable: false });
          config.load();
        },
        Math.ceil(RUNS / 2),
      );
      config.files.writeAtomic("config", sample);
    });
  });
});

const WORDS = [
  "*",
  "**",
  "?",
  "[a-z]",
  "[!x]",
  "[",
  "]",
  "\\",
  "sh:",
  "re:",
  "pp:",
  "fm:",
  "pf:",
  "(",
  ")",
  "+",
  "{2,3}",
  "(?P<n>",
  "^",
  "$",
  "|",
  "/",
  "a",
  "ä",
  "\n",
  "- ",
  "+ ",
  "! ",
  "P ",
  "R ",
  "..",
  "\0",
  "#",
  "(?i)",
  "\\d",
  "{",
  "}",
  "{path}",
  "{size:>10}",
  "{now:%Y}",
  "{hostname}",
  "{mtime!r}",
  "{:",
  "!",
  ":",
  "{{",
  "}}",
  "{NL}",
  "{user[",
  "{a.b}",
  "9999999999",
  ".9999999",
  "<",
  "%",
]; // prettier-ignore
const sentence = (random: Seeded) =>
  Array.from({ length: 1 + random.below(9) }, () => random.pick(WORDS)).join("");

it("patterns and pattern files", async () => {
  await fuzz("patterns", [text("x")], (_, random) => {
    const s = sentence(random);
    for (const make of [
      () => createPattern(random.pick(["fm", "sh", "re", "pp", "pf"] as const), s),
      () => shellToRegex(s),
      () => pythonRegex(s),
      () => loadExcludeFile(s, { patterns: [], roots: [] } as never),
      () => loadPatternFile(s, { patterns: [], roots: [] } as never),
    ]) {
      try {
        make();
      } catch (e) {
        if (!(e instanceof AlcoveError)) throw e;
      }
    }
    new PatternMatcher();
  });
});

it("format strings and placeholders", async () => {
  const values: Record<string, string | number> = { path: "a/b", size: 12345 };
  await fuzz("formats", [text("x")], (_, random) => {
    const s = sentence(random);
    for (const keys of [itemKeys, archiveKeys]) {
      try {
        const out = compileFormat(s, keys).render((key) => values[key] ?? key.length);
        expect(out.length).toBeLessThan(1e8);
      } catch (e) {
        if (!(e instanceof AlcoveError)) throw e;
      }
    }
    replacePlaceholders(s, { env: {} });
  });
});
