import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { givenPassphrase, newPassphrase } from "../../../src/crypto/passphrase.ts";
import { shellWords } from "../../../src/crypto/shellwords.ts";
import { NoPassphraseFailure, PasscommandFailure, PasswordRetriesExceeded } from "../../../src/errors.ts";
import { temporaryEnvironment } from "./support.ts";

test("the order of the sources", () => {
  const dir = temporaryEnvironment().dir;
  writeFileSync(join(dir, "fd"), "from fd\n\n");
  const fd = () => String(openSync(join(dir, "fd"), "r"));
  const given = (env: Record<string, string>) => givenPassphrase(temporaryEnvironment(env));
  const command = "printf '%s\\n\\n' \"from command\"";
  expect(given({ BORG_PASSPHRASE: " direct\n", BORG_PASSCOMMAND: command })).toBe(" direct\n");
  expect(given({ BORG_PASSPHRASE: "", BORG_PASSCOMMAND: command })).toBe("");
  expect(given({ BORG_PASSCOMMAND: command })).toBe("from command");
  expect(given({ BORG_PASSPHRASE_FD: fd() })).toBe("from fd");
  expect(given({ BORG_PASSPHRASE_FD: "x" })).toBeUndefined();
  expect(given({})).toBeUndefined();
});

test("a descriptor is read once and closed", () => {
  const dir = temporaryEnvironment().dir;
  writeFileSync(join(dir, "fd"), "p");
  const fd = openSync(join(dir, "fd"), "r");
  const e = temporaryEnvironment({ BORG_PASSPHRASE_FD: String(fd) });
  expect([givenPassphrase(e), givenPassphrase(e)]).toEqual(["p", "p"]);
  expect(() => closeSync(fd)).toThrow(/EBADF/);
  expect(() => givenPassphrase(temporaryEnvironment({ BORG_PASSPHRASE_FD: "977" }))).toThrow(
    NoPassphraseFailure,
  );
});

test("a passcommand does not get the passphrases, and its failure says which program", () => {
  const env = { BORG_PASSCOMMAND: "env", BORG_NEW_PASSPHRASE: "leak" };
  expect(givenPassphrase(temporaryEnvironment(env))).not.toContain("leak");
  for (const [command, text] of [
    ["false", /false ended with exit status 1/],
    ["/no/such/program x", /was not found/],
    ["sh -c 'kill -9 $$'", /SIGKILL/],
    ["'unfinished", /quotation/],
    ["", /empty/],
  ] as const) {
    expect(() => givenPassphrase(temporaryEnvironment({ BORG_PASSCOMMAND: command }))).toThrow(
      PasscommandFailure,
    );
    expect(() => givenPassphrase(temporaryEnvironment({ BORG_PASSCOMMAND: command }))).toThrow(text);
  }
});

test("a new passphrase: from the environment, or typed twice", async () => {
  expect(await newPassphrase(temporaryEnvironment({ BORG_NEW_PASSPHRASE: "n", BORG_PASSPHRASE: "p" }))).toBe(
    "n",
  );
  expect(await newPassphrase(temporaryEnvironment({ BORG_PASSPHRASE: "p" }))).toBe("p");
  const said: string[] = [];
  const e = temporaryEnvironment({}, { passwords: ["a", "b", "ü", "ü"], said, yes: true });
  expect(await newPassphrase(e)).toBe("ü");
  expect(said.join("\n")).toContain("c3bc");
  await expect(newPassphrase(temporaryEnvironment({}, { passwords: ["a"] }))).rejects.toThrow(
    NoPassphraseFailure,
  );
  await expect(
    newPassphrase(temporaryEnvironment({}, { passwords: new Array(10).fill("") }), false),
  ).rejects.toThrow(PasswordRetriesExceeded);
});

test("shell words as Python's shlex splits them", () => {
  expect(shellWords(`a  b\t"c d" 'e "f"' g\\ h "i\\"j\\k" ''`)).toEqual([
    "a",
    "b",
    "c d",
    'e "f"',
    "g h",
    'i"j\\k',
    "",
  ]);
  expect(shellWords("")).toEqual([]);
  expect(() => shellWords('"')).toThrow();
  expect(() => shellWords("\\")).toThrow();
});
