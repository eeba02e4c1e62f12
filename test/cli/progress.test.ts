// What is left of a backup is estimated from the newest archive whose name looks alike, and from no other.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { MemoryStream } from "../../cli/output/stream.ts";
import { runCommandLine } from "../../cli/run.ts";

const dir = mkdtempSync(join(tmpdir(), "alcove-progress-"));
const repo = join(dir, "repo");

async function records(...args: string[]): Promise<Record<string, unknown>[]> {
  const stderr = new MemoryStream();
  const code = await runCommandLine(["--log-json", ...args], {
    program: { name: "alcove", version: "0" },
    env: {
      ALCOVE_WORKERS: "0",
      HOME: dir,
      BORG_BASE_DIR: dir,
      BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
    },
    stdout: new MemoryStream(),
    stderr,
    signal: new AbortController().signal,
  });
  expect(code, stderr.text).toBe(0);
  return stderr.text
    .split("\n")
    .filter((l) => l)
    .map((l) => JSON.parse(l))
    .filter((r) => r.type === "archive_progress" && !r.finished);
}

beforeAll(() => {
  process.chdir(dir);
  return records("init", "-e", "none", repo);
});
afterAll(() => {
  process.chdir("/");
  rmSync(dir, { recursive: true, force: true });
});

/** Data that comes in two parts, with a report due in between. */
const backup = (name: string) =>
  records(
    ...["create", "-p", "--chunker-params", "fixed,4096", "--content-from-command", `${repo}::${name}`, "--"],
    ...["sh", "-c", "head -c 50000 /dev/zero; sleep 0.3; head -c 50000 /dev/zero"],
  );

it("from an archive of the same pattern", async () => {
  const first = await backup("host-2026-01-01");
  expect(first.length).toBeGreaterThan(0);
  for (const r of first) expect(r).not.toHaveProperty("estimate");
  for (const r of await backup("laptop-2026-01-01")) expect(r).not.toHaveProperty("estimate");
  const again = await backup("host-2026-01-02");
  for (const r of again)
    expect(Object.keys(r)).toEqual(
      expect.arrayContaining(["nfiles", "original_size", "path", "rate", "time"]),
    );
  const estimates = again.flatMap((r) => (r["estimate"] ? [r["estimate"] as { percent: number }] : []));
  expect(estimates.length).toBeGreaterThan(0);
  for (const e of estimates) {
    expect(e.percent).toBeGreaterThan(0);
    expect(e.percent).toBeLessThan(100);
  }
});
