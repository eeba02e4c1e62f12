// Exported keys: borg's import takes ours, and ours borg's; the QR code against the encoder in borg's own page.
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { afterAll, describe, expect, test } from "vitest";
import { localEnvironment } from "../../src/cache/dirs.ts";
import { KeyBackup } from "../../src/crypto/backup.ts";
import type { Prompter } from "../../src/crypto/environment.ts";
import { silentPrompter } from "../../src/crypto/environment.ts";
import { openKey } from "../../src/crypto/keys.ts";
import { qrCode } from "../../src/crypto/qr.ts";
import { exportRelatedSecrets, parseRelatedSecrets, sameIdHash } from "../../src/crypto/related.ts";
import { KeyfileInvalid, NotABorgKeyFile, RepoIdMismatch, UnencryptedRepo } from "../../src/errors.ts";
import { Home, type TestRepository } from "./keys-support.ts";

const home = new Home();
afterAll(() => home.destroy());

/** Someone who types these lines. */
function typist(lines: string[]): Prompter {
  return { ...silentPrompter({}), line: async () => lines.shift() };
}

const location = (r: TestRepository) => ({ proto: "file", path: r.canonicalPath });

describe.each(["repokey", "keyfile", "repokey-blake2", "authenticated"])("%s", (mode) => {
  const keysDir = join(home.dir, ".config/borg/keys");
  const lose = async (r: TestRepository) => {
    if (mode === "keyfile") for (const name of readdirSync(keysDir)) rmSync(join(keysDir, name));
    else await r.saveKey(new Uint8Array(0));
  };

  test("text and paper are borg's, and are imported by either", async () => {
    const repository = home.init(mode, `backup-${mode}`);
    const manifest = repository.manifest();
    const e = home.environment();
    const backup = new KeyBackup(repository, manifest, e);
    const file = join(home.dir, `export-${mode}`);
    const body = (paper: string) => paper.slice(paper.indexOf("BORG PAPER KEY"));
    home.borg(["key", "export", repository.canonicalPath, file]);
    const text = await backup.text();
    expect(text).toBe(readFileSync(file, "utf8"));
    home.borg(["key", "export", "--paper", repository.canonicalPath, `${file}.txt`]);
    const paper = await backup.paper();
    expect(body(paper)).toBe(body(readFileSync(`${file}.txt`, "utf8")));

    await lose(repository);
    await expect(openKey(repository, manifest, e)).rejects.toThrow(/[Kk]ey/);
    writeFileSync(`${file}.ours`, text);
    home.borg(["key", "import", repository.canonicalPath, `${file}.ours`]);
    await openKey(repository, manifest, e);

    await lose(repository);
    await backup.importText(readFileSync(file, "utf8"), file, location(repository));
    home.borg(["list", repository.canonicalPath]);

    const lines = body(paper)
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => line.slice(4));
    await lose(repository);
    home.borg(["key", "import", "--paper", repository.canonicalPath], { input: `${lines.join("\n")}\n` });
    await openKey(repository, manifest, e);

    await lose(repository);
    const mistyped = lines.flatMap((line) => [
      line.slice(0, -1) + (line.endsWith("0") ? "1" : "0"),
      "no",
      line.toUpperCase(),
    ]);
    const person = localEnvironment({ ...home.env }, { prompter: typist(mistyped) });
    expect(await new KeyBackup(repository, manifest, person).importPaper(location(repository))).toBe(true);
    home.borg(["list", repository.canonicalPath]);

    // Text that is no key, and another repository's.
    await expect(backup.importText("something", "f", location(repository))).rejects.toThrow(NotABorgKeyFile);
    await expect(
      backup.importText(text.replace(/[0-9a-f]{8}/, "00000000"), "f", location(repository)),
    ).rejects.toThrow(RepoIdMismatch);
    await expect(
      backup.importText(`${text.split("\n")[0]}\n!!\n`, "f", location(repository)),
    ).rejects.toThrow(KeyfileInvalid);
    const html = await backup.html();
    expect(html).toContain(text);
    expect(html).not.toMatch(/src=|href=|<script/);
    if (mode === "keyfile") await lose(repository);
  });
});

test("related secrets: same ids, and only between modes with the same hash", async () => {
  const repository = home.init("repokey-blake2", "related");
  const key = await openKey(repository, repository.manifest(), home.environment());
  const secrets = parseRelatedSecrets(exportRelatedSecrets(key.material), "f");
  expect(Buffer.from(secrets.idKey).equals(Buffer.from(key.material.idKey))).toBe(true);
  expect(secrets.chunkSeed).toBe(key.chunkSeed);
  expect(sameIdHash(secrets.keyName, key.info)).toBe(true);
});

test("an unencrypted repository has no key to export", () => {
  const repository = home.init("none");
  expect(() => new KeyBackup(repository, repository.manifest(), home.environment())).toThrow(UnencryptedRepo);
});

interface OtherQr {
  addData(text: string): void;
  make(): void;
  getModuleCount(): number;
  isDark(row: number, column: number): boolean;
}

test("QR codes are those of the encoder in borg's own page, at every size", () => {
  const { path } = home.python(
    "import borg; r['path'] = os.path.join(os.path.dirname(borg.__file__), 'paperkey.html')",
    {},
  );
  const page = readFileSync(path!, "utf8");
  const script = page.slice(page.indexOf("var qrcode = function"), page.indexOf("</script>"));
  const make = runInNewContext(`${script}\n;qrcode`) as (version: number, level: string) => OtherQr;
  const sizes = [
    1, 14, 15, 26, 60, 106, 122, 180, 213, 287, 500, 666, 777, 900, 1200, 1500, 1800, 2100, 2331,
  ];
  for (const size of sizes) {
    const text = randomBytes(size).toString("base64").slice(0, size);
    const codes = Array.from({ length: 8 }, (_, mask) => qrCode(Buffer.from(text, "latin1"), mask));
    const other = make((codes[0]!.length - 17) / 4, "M");
    other.addData(text);
    other.make();
    expect(other.getModuleCount()).toBe(codes[0]!.length);
    const n = other.getModuleCount();
    const theirs = Array.from({ length: n }, (_, y) =>
      Array.from({ length: n }, (_, x) => (other.isDark(y, x) ? "#" : ".")).join(""),
    );
    const ours = codes.map((code) => code.map((row) => row.map((d) => (d ? "#" : ".")).join("")));
    expect([size, ours.some((code) => code.join() === theirs.join())]).toEqual([size, true]);
  }
  expect(() => qrCode(new Uint8Array(2332))).toThrow(RangeError);
});
