import { pbkdf2Sync } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { beginDecryption, decryptBlob, encodeBlob, encryptBlob } from "../../../src/crypto/blob.ts";
import { createKey, migrateToRepokey, openKey } from "../../../src/crypto/keys.ts";
import { Sealer } from "../../../src/crypto/material.ts";
import {
  AlcoveError,
  IntegrityError,
  KeyfileInvalid,
  KeyfileMismatch,
  KeyfileNotFound,
  NoPassphraseFailure,
  PassphraseWrong,
  PasswordRetriesExceeded,
  RepoKeyNotFound,
  UnsupportedPayloadError,
} from "../../../src/errors.ts";
import { pack, unpack } from "../../../src/format/msgpack.ts";
import { FakeRepository, temporaryEnvironment } from "./support.ts";

const file = { proto: "file", path: "/backup/my repo/ünï" };

async function made(mode: "repokey" | "keyfile" = "repokey") {
  const repository = new FakeRepository();
  const e = temporaryEnvironment({ BORG_PASSPHRASE: "secret" });
  const key = await createKey(repository, e, { mode, location: file });
  return { repository, e, key, manifest: await key.encrypt(Buffer.from("manifest")) };
}

test("an empty passphrase is tried first, then a person is asked three times", async () => {
  const { repository, manifest } = await made();
  await expect(openKey(repository, manifest, temporaryEnvironment())).rejects.toThrow(NoPassphraseFailure);
  const third = temporaryEnvironment({}, { passwords: ["a", "b", "secret"] });
  expect((await openKey(repository, manifest, third)).logicallyEncrypted).toBe(true);
  const none = temporaryEnvironment({}, { passwords: ["a", "b", "c", "secret"] });
  await expect(openKey(repository, manifest, none)).rejects.toThrow(PasswordRetriesExceeded);
  const wrong = temporaryEnvironment({ BORG_PASSPHRASE: "" }, { passwords: ["secret"] });
  await expect(openKey(repository, manifest, wrong)).rejects.toThrow(PassphraseWrong);
});

test("no error names a passphrase or a key", async () => {
  const { repository, manifest } = await made();
  const wrong: Record<string, string>[] = [
    { BORG_PASSPHRASE: "hunter2" },
    { BORG_PASSCOMMAND: "false hunter2" },
    { BORG_PASSCOMMAND: "no-such-program hunter2" },
  ];
  for (const env of wrong) {
    const error = await openKey(repository, manifest, temporaryEnvironment(env)).catch(
      (e: unknown) => e as AlcoveError,
    );
    expect(error).toBeInstanceOf(AlcoveError);
    expect(JSON.stringify([(error as AlcoveError).message, (error as AlcoveError).args])).not.toContain(
      "hunter2",
    );
  }
});

test("missing, truncated and foreign keys", async () => {
  const { repository, e, manifest } = await made();
  const whole = repository.key;
  repository.key = new Uint8Array(0);
  await expect(openKey(repository, manifest, e)).rejects.toThrow(RepoKeyNotFound);
  repository.key = Buffer.from("short");
  await expect(openKey(repository, manifest, e)).rejects.toThrow(KeyfileInvalid);
  for (const n of [40, 100, 300]) {
    repository.key = whole.subarray(0, n);
    await expect(openKey(repository, manifest, e)).rejects.toThrow(AlcoveError);
  }
  await expect(openKey(repository, Uint8Array.of(0x33), e)).rejects.toThrow(UnsupportedPayloadError);
  await expect(openKey(repository, new Uint8Array(0), e)).rejects.toThrow(IntegrityError);
});

test("key files: name, permissions, search, and what is refused", async () => {
  const { repository, e, manifest } = await made("keyfile");
  const keys = join(e.dir, ".config/borg/keys");
  const path = join(keys, "backup_my_repo_ünï");
  expect(readdirSync(keys)).toEqual(["backup_my_repo_ünï"]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(keys).mode & 0o777).toBe(0o700);
  mkdirSync(join(keys, "0-directory"));
  writeFileSync(join(keys, "0-noise"), Buffer.from([0xff, 0, 1]));
  writeFileSync(join(keys, "0-other"), `BORG_KEY ${"0".repeat(64)}\n${"A".repeat(80)}\n`);
  expect((await openKey(repository, manifest, e)).target).toBe(path);
  const again = await createKey(repository, e, { mode: "keyfile", location: file });
  expect(again.target).toBe(`${path}.2`);
  const ssh = await createKey(repository, e, {
    mode: "keyfile",
    location: { proto: "ssh", host: "a.b", path: "/x" },
  });
  expect(ssh.target).toBe(join(keys, "a_b__x"));
  const at = (name: string) => ({ ...e, env: { ...e.env, BORG_KEY_FILE: join(keys, name) } });
  await expect(openKey(repository, manifest, at("0-noise"))).rejects.toThrow(KeyfileInvalid);
  await expect(openKey(repository, manifest, at("0-other"))).rejects.toThrow(KeyfileMismatch);
  await expect(
    createKey(repository, at("backup_my_repo_ünï"), { mode: "keyfile", location: file }),
  ).rejects.toThrow(/already a key/);
  await expect(openKey(new FakeRepository(), manifest, e)).rejects.toThrow(KeyfileNotFound);
  expect(readFileSync(path, "utf8").split("\n")[0]).toBe(`BORG_KEY ${repository.idHex}`);
});

test("authenticated repositories can be read without the key, if asked for", async () => {
  const repository = new FakeRepository();
  const e = temporaryEnvironment({ BORG_PASSPHRASE: "secret" });
  const key = await createKey(repository, e, { mode: "authenticated", location: file });
  const blob = await key.encrypt(Buffer.from("data"));
  const signed = key.packAndAuthenticate({ version: 1, name: "x" }, "archive");
  const without = temporaryEnvironment({ BORG_WORKAROUNDS: "other,authenticated_no_key" });
  const blind = await openKey(repository, blob, without);
  expect(Buffer.from(blind.decrypt(blob)).toString()).toBe("data");
  blind.checkId(new Uint8Array(32), Buffer.from("anything"));
  expect(blind.unpackAndVerifyArchive(signed).verified).toBe(true);
  await expect(openKey(repository, blob, temporaryEnvironment())).rejects.toThrow(NoPassphraseFailure);
});

test("the old passphrase mode is migrated to a repokey", async () => {
  const repository = new FakeRepository();
  const data = pbkdf2Sync("old", repository.id, 100_000, 100, "sha256");
  const material = {
    mode: "repokey" as const,
    encKey: data.subarray(0, 32),
    encHmacKey: data.subarray(32, 64),
    idKey: data.subarray(64, 96),
    chunkSeed: 0,
  };
  const manifest = new Sealer(material).seal(Buffer.from("manifest"), 5);
  manifest[0] = 1;
  await expect(
    openKey(repository, manifest, temporaryEnvironment({ BORG_PASSPHRASE: "old" })),
  ).rejects.toThrow(RepoKeyNotFound);
  await expect(
    migrateToRepokey(repository, manifest, temporaryEnvironment({ BORG_PASSPHRASE: "bad" })),
  ).rejects.toThrow(PassphraseWrong);
  await migrateToRepokey(
    repository,
    manifest,
    temporaryEnvironment({ BORG_PASSPHRASE: "old", BORG_NEW_PASSPHRASE: "new" }),
  );
  const key = await openKey(repository, manifest, temporaryEnvironment({ BORG_PASSPHRASE: "new" }));
  expect(Buffer.from(key.decrypt(manifest)).toString()).toBe("manifest");
  await expect(migrateToRepokey(repository, Uint8Array.of(3), temporaryEnvironment())).rejects.toThrow(
    AlcoveError,
  );
});

test("key envelopes of other versions, algorithms and absurd cost are refused", async () => {
  const secrets = {
    repositoryId: new Uint8Array(32),
    encKey: new Uint8Array(32),
    encHmacKey: new Uint8Array(32),
    idKey: new Uint8Array(32),
    chunkSeed: -5,
    tamRequired: true,
  };
  const envelope = await encryptBlob(secrets, "p");
  expect(await decryptBlob(envelope, "p")).toEqual(secrets);
  expect(await decryptBlob(envelope, "q")).toBeUndefined();
  // Begun before, for this call and for another one.
  for (const [passphrase, answer] of [
    ["p", secrets],
    ["q", undefined],
  ] as const) {
    for (const other of ["p", "q"]) {
      beginDecryption(envelope, other);
      expect(await decryptBlob(envelope, passphrase)).toEqual(answer);
    }
  }
  const same = new Map(unpack(envelope) as Map<string, unknown>).set("iterations", 7);
  beginDecryption(pack(same), "p");
  expect(await decryptBlob(envelope, "p")).toEqual(secrets);
  expect(
    encodeBlob(envelope)
      .split("\n")
      .every((line) => line.length <= 70),
  ).toBe(true);
  const changed = (name: string, value: unknown) => {
    const map = new Map(unpack(envelope) as Map<string, unknown>);
    map.set(name, value);
    return pack(map);
  };
  await expect(decryptBlob(changed("version", 2), "p")).rejects.toThrow(AlcoveError);
  await expect(decryptBlob(changed("algorithm", "argon2"), "p")).rejects.toThrow(AlcoveError);
  await expect(decryptBlob(changed("iterations", 2 ** 40), "p")).rejects.toThrow(IntegrityError);
  await expect(decryptBlob(changed("salt", 3), "p")).rejects.toThrow(IntegrityError);
  await expect(decryptBlob(pack([1]), "p")).rejects.toThrow(IntegrityError);
  // What is wrong is told where it is asked for.
  beginDecryption(changed("salt", 3), "p");
  await expect(decryptBlob(changed("salt", 3), "p")).rejects.toThrow(IntegrityError);
});

test("nothing is left behind by a key file that cannot be written", async () => {
  const repository = new FakeRepository();
  const e = temporaryEnvironment({ BORG_PASSPHRASE: "x", BORG_KEY_FILE: "/nonexistent-directory/key" });
  await expect(createKey(repository, e, { mode: "keyfile", location: file })).rejects.toThrow(/ENOENT/);
  expect(existsSync("/nonexistent-directory")).toBe(false);
});
