// upgrade stores the key anew, for which its passphrase is needed a second time: it is asked for once.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { alcoveFile } from "../support/programs.ts";

const dir = mkdtempSync(join(tmpdir(), "alcove-upgrade-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Without a terminal, what would be typed is lines of standard input. */
function run(args: readonly string[], typed: string) {
  const r = spawnSync("setsid", ["-w", process.execPath, alcoveFile, ...args], {
    env: { PATH: process.env["PATH"], HOME: dir, BORG_BASE_DIR: dir, BORG_DISPLAY_PASSPHRASE: "no" },
    input: typed,
    encoding: "utf8",
    timeout: 60_000,
  });
  return { code: r.status, stdout: r.stdout, stderr: r.stderr };
}

it("asks once", () => {
  const repo = join(dir, "repo");
  expect(run(["init", "-e", "repokey", repo], "open sesame\nopen sesame\n").code).toBe(0);
  const off = run(["upgrade", "--disable-tam", repo], "open sesame\n");
  expect([off.code, off.stdout], off.stderr).toEqual([0, expect.stringMatching(/Key updated/)]);
  const on = run(["upgrade", "--tam", repo], "open sesame\n");
  expect([on.code, on.stdout], on.stderr).toEqual([0, expect.stringMatching(/Key updated/)]);
  expect(on.stderr.match(/passphrase/gi)!.length).toBe(1);
  expect(run(["list", repo], "open sesame\n").code).toBe(0);
  expect(run(["upgrade", "--tam", repo], "wrong\nwrong\nwrong\n").code).toBe(2);
});
