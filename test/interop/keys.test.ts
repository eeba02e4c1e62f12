// Keys, objects and authenticated metadata between real borg and us, in every mode, both ways.
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { createKey, type Key, openKey } from "../../src/crypto/keys.ts";
import { encryptionModes, keyMode } from "../../src/crypto/modes.ts";
import { ArchiveTAMInvalid, PassphraseWrong, TAMInvalid } from "../../src/errors.ts";
import { fromHex, toHex } from "../../src/format/bytes.ts";
import { Home, OPEN, PASSPHRASE, type TestRepository } from "./keys-support.ts";

const home = new Home();
afterAll(() => home.destroy());
const hex = (b: Uint8Array) => Buffer.from(b).toString("hex");

/** Objects, ids and metadata of our key against borg's key of the same repository. */
async function agrees(key: Key, repository: TestRepository, manifest: Uint8Array): Promise<void> {
  const sizes = [0, 1, 15, 16, 17, 1000, 300_000];
  const data = sizes.map((n) => randomBytes(n));
  const ours = await Promise.all(data.map((d) => key.encrypt(d)));
  const metadata = new Map<string, unknown>([
    ["version", 1],
    ["archives", new Map()],
    ["timestamp", "2026-01-02T03:04:05.000006"],
    ["config", new Map()],
    ["item_keys", []],
  ]);
  const signed = key.packAndAuthenticate(metadata, "manifest");
  const archive = key.packAndAuthenticate({ version: 1, name: "x", items: [] }, "archive");
  const script = `${OPEN}
datas = [unhexlify(d) for d in a['data']]
r['opened'] = [x(key.decrypt(None, unhexlify(b), decompress=False)) for b in a['ours']]
r['ids'] = [x(key.id_hash(d)) for d in datas]
key.compressor = type('C', (), {'compress': staticmethod(lambda d: d)})()
r['theirs'] = [x(key.encrypt(d)) for d in datas]
r['plain'] = x(key.decrypt(None, mdata))
u, v = key.unpack_and_verify_manifest(unhexlify(a['signed']))
r['verified'] = v and u[b'version'] == 1
r['manifest'] = x(key.pack_and_authenticate_metadata({'version': 1, 'config': {}, 'archives': {}, 'timestamp': 't', 'item_keys': ()}))
r['archive'] = x(key.pack_and_authenticate_metadata({'version': 1, 'name': 'y', 'items': ()}, context=b'archive'))
salt = msgpack.unpackb(unhexlify(a['archive']))[b'tam'][b'salt']
k = key._tam_key(salt, b'archive')
raw = bytearray(unhexlify(a['archive'])); tag = msgpack.unpackb(bytes(raw))[b'tam'][b'hmac']
i = raw.index(tag); raw[i:i+64] = bytes(64)
r['archive_ok'] = hmac.new(k, bytes(raw), sha512).digest() == tag
r['seed'] = key.chunk_seed
`;
  const result = home.python(script, {
    path: repository.canonicalPath,
    manifest: hex(manifest),
    data: data.map(hex),
    ours: ours.map(hex),
    signed: hex(signed),
    archive: hex(archive),
  }) as unknown as Record<string, string[]> & Record<string, string>;
  expect(result["opened"]).toEqual(data.map(hex));
  expect(result["ids"]).toEqual(data.map((d) => hex(key.idHash(d))));
  (result["theirs"] as string[]).forEach((blob, i) => {
    expect(hex(key.decrypt(fromHex(blob)))).toBe(hex(data[i]!));
  });
  expect(result["verified"]).toBe(true);
  expect(result["archive_ok"]).toBe(true);
  expect(result["seed"]).toBe(key.chunkSeed);
  for (const name of ["plain", "manifest"]) {
    const bytes = fromHex(result[name]!);
    expect(key.unpackAndVerifyManifest(bytes).verified).toBe(true);
    bytes[bytes.length - 3]! ^= 1;
    expect(() => key.unpackAndVerifyManifest(bytes)).toThrow(TAMInvalid);
  }
  const signedArchive = fromHex(result["archive"]!);
  expect(key.unpackAndVerifyArchive(signedArchive).verified).toBe(true);
  signedArchive[signedArchive.length - 3]! ^= 1;
  expect(() => key.unpackAndVerifyArchive(signedArchive)).toThrow(ArchiveTAMInvalid);
  expect(key.unpackAndVerifyArchive(signedArchive, { ignoreInvalid: true }).verified).toBe(false);
}

describe.each(encryptionModes())("%s", (mode) => {
  const info = keyMode(mode);

  test("a key made by borg is opened by us", async () => {
    const repository = home.init(mode, `borg-${mode}`);
    const manifest = repository.manifest();
    const key = await openKey(repository, manifest, home.environment());
    expect(key.argName).toBe(mode);
    expect(key.tamRequired).toBe(mode !== "none");
    await agrees(key, repository, manifest);
    if (mode !== "none") {
      await expect(
        openKey(repository, manifest, home.environment({ BORG_PASSPHRASE: "wrong" })),
      ).rejects.toThrow(PassphraseWrong);
    }
  });

  test("a key made by us is opened by borg, before and after a change of its passphrase", async () => {
    const repository = home.init(mode, `ours-${mode}`);
    const keys = join(home.dir, ".config/borg/keys");
    const before = info.storage === "keyfile" ? new Set(readdirSync(keys)) : new Set<string>();
    const file = join(home.dir, `key-${mode}`);
    const extra = info.storage === "keyfile" ? { BORG_KEY_FILE: file } : {};
    const e = home.environment(extra);
    const created = await createKey(repository, e, {
      mode,
      location: { proto: "file", path: repository.canonicalPath },
    });
    const manifest = await created.encrypt(randomBytes(100));
    if (info.storage === "keyfile") {
      expect(new Set(readdirSync(keys))).toEqual(before);
      expect(statSync(file).mode & 0o777).toBe(0o600);
      expect(
        readFileSync(file, "utf8")
          .split("\n")
          .every((line) => line.length <= 73),
      ).toBe(true);
      home.env["BORG_KEY_FILE"] = file;
    }
    try {
      const script = `${OPEN}\nr['seed'] = key.chunk_seed; r['id'] = x(key.id_hash(b'abc')); r['tam'] = key.tam_required`;
      const result = home.python(script, { path: repository.canonicalPath, manifest: hex(manifest) });
      expect(result).toEqual({
        seed: created.chunkSeed,
        id: hex(created.idHash(Buffer.from("abc"))),
        tam: mode !== "none",
      });
      if (mode === "none") return;
      const old = home.env["BORG_PASSPHRASE"]!;
      await created.changePassphrase("another");
      expect(() => home.python(OPEN, { path: repository.canonicalPath, manifest: hex(manifest) })).toThrow();
      home.env["BORG_PASSPHRASE"] = "another";
      home.python(OPEN, { path: repository.canonicalPath, manifest: hex(manifest) });
      home.env["BORG_PASSPHRASE"] = old;
    } finally {
      delete home.env["BORG_KEY_FILE"];
      home.env["BORG_PASSPHRASE"] = PASSPHRASE;
    }
  });
});

test("a passphrase changed by borg opens for us; an empty one is never asked for", async () => {
  const repository = home.init("repokey", "changed");
  home.borg(["key", "change-passphrase", repository.canonicalPath], { env: { BORG_NEW_PASSPHRASE: "" } });
  const key = await openKey(
    repository,
    repository.manifest(),
    home.environment({ BORG_PASSPHRASE: undefined }),
  );
  expect(key.logicallyEncrypted).toBe(false);
});

test("nonces: borg goes on behind ours, we behind borg's", async () => {
  const repository = home.init("repokey", "nonces");
  const manifest = repository.manifest();
  const nonceFile = join(home.dir, ".config/borg/security", repository.idHex, "nonce");
  const borgs = Number.parseInt(readFileSync(nonceFile, "latin1"), 16);
  const key = await openKey(repository, manifest, home.environment());
  const start = await key.nonces.reserve(10);
  expect(start).toBeGreaterThanOrEqual(borgs);
  expect(key.nonces.take(5)).toBe(start + 10);
  const ours = Number.parseInt(readFileSync(nonceFile, "latin1"), 16);
  expect(ours).toBe(start + 10 + 2 ** 28);
  const script = `${OPEN}\nfrom borg.crypto.low_level import bytes_to_long\nr['iv'] = bytes_to_long(key.encrypt(b'data')[33:41])`;
  const { iv } = home.python(script, { path: repository.canonicalPath });
  expect(Number(iv)).toBe(ours);
});

test("the file that requires authentication is borg's", async () => {
  const repository = home.init("repokey", "tamfile");
  expect(existsSync(join(home.dir, ".config/borg/security", repository.idHex, "tam_required"))).toBe(true);
  expect(toHex(repository.id)).toBe(repository.idHex);
});
