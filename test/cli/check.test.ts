// The command line of check: confirmation, contradictions, exit codes, the choice of archives; as borg's.
import { mkdirSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Sandbox } from "../support/programs.ts";

const box = new Sandbox();
afterAll(() => box.remove());
beforeAll(() => {
  mkdirSync(box.path("src"));
  writeFileSync(box.path("src/file"), "contents");
  box.ok(box.alcove(["init", "-e", "none", "repo"]));
  for (const name of ["a-1", "a-2", "b-1"]) box.ok(box.alcove(["create", `repo::${name}`, "src"]));
});

const both = (args: string[], options = {}) => {
  const ours = box.alcove(args, options);
  expect(ours.code).toBe(box.borg(args, options).code);
  return ours;
};

it("repairs only after YES", () => {
  expect(both(["check", "--repair", "repo"], { input: "" }).code).toBe(2);
  expect(both(["check", "--repair", "repo"], { input: "yes\n" }).code).toBe(2);
  expect(both(["check", "--repair", "repo"], { input: "YES\n" }).code).toBe(0);
  const env = { BORG_CHECK_I_KNOW_WHAT_I_AM_DOING: "YES" };
  expect(both(["check", "--repair", "repo"], { env }).code).toBe(0);
  expect(both(["check", "--repair", "repo"], { env: { BORG_CHECK_I_KNOW_WHAT_I_AM_DOING: "NO" } }).code).toBe(
    2,
  );
});

it.each([
  ["--repository-only", "--verify-data"],
  ["--repository-only", "--first", "1"],
  ["--repository-only", "--last", "1"],
  ["--repository-only", "--prefix", "a"],
  ["--repository-only", "--glob-archives", "a*"],
  ["--max-duration", "10"],
])("refuses %s %s", (...args) => {
  expect(both(["check", ...args, "repo"]).code).toBe(2);
});

it("refuses a repair that is limited in time", () => {
  const env = { BORG_CHECK_I_KNOW_WHAT_I_AM_DOING: "YES" };
  expect(both(["check", "--repair", "--repository-only", "--max-duration", "9", "repo"], { env }).code).toBe(
    2,
  );
});

it.each([
  [["repo"], ["a-1", "a-2", "b-1"]],
  [["--first", "1", "repo"], ["a-1"]],
  [
    ["--last", "2", "repo"],
    ["a-2", "b-1"],
  ],
  [
    ["--prefix", "a", "repo"],
    ["a-1", "a-2"],
  ],
  [
    ["--glob-archives", "*-1", "repo"],
    ["a-1", "b-1"],
  ],
  [["repo::a-2"], ["a-2"]],
  [["--repository-only", "repo"], []],
])("checks what is asked for: %j", (args, archives) => {
  const { stderr, code } = both(["check", "-v", ...args]);
  expect(code).toBe(0);
  expect([...stderr.matchAll(/Analyzing archive (\S+)/g)].map((m) => m[1])).toEqual(archives);
  expect(stderr.includes("Starting repository check")).toBe(true);
});

it("archives only", () => {
  expect(both(["check", "-v", "--archives-only", "repo"]).stderr).not.toMatch(/Starting repository check/);
});

it("tells that an archive is not there", () => {
  expect(both(["check", "repo::nothing"]).code).toBe(1);
  expect(both(["check", "--glob-archives", "nothing*", "repo"]).code).toBe(0);
});

it("reports progress as borg's records", () => {
  const { stderr } = box.ok(box.alcove(["check", "--log-json", "--progress", "--verify-data", "repo"]));
  const ids = new Set(
    stderr
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line))
      .filter((record) => record.type === "progress_percent")
      .map((record) => record.msgid),
  );
  for (const id of ["repository.check", "check.verify_data", "check.rebuild_refcounts"])
    expect(ids).toContain(id);
});
