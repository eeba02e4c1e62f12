// The small parts: versions, paths and their restrictions, log lines, the command line for ssh, hints.
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PathNotAllowed } from "../../../src/errors.ts";
import { parseLocation } from "../../../src/format/location.ts";
import { closedHint } from "../../../src/remote/hints.ts";
import { checkAllowed, realPath, resolveClientPath } from "../../../src/remote/paths.ts";
import { parseRecord, RecordReader, RecordWriter, type RemoteRecord } from "../../../src/remote/records.ts";
import { serveCommand, sshCommand } from "../../../src/remote/ssh.ts";
import { compareVersions, formatVersion, parseVersion, SPOKEN_VERSION } from "../../../src/remote/version.ts";

describe("versions", () => {
  it("parse and format as Borg's tuples", () => {
    const cases: [string, number[]][] = [
      ["1.2.4", [1, 2, 4, -1]],
      ["1.2.0a8", [1, 2, 0, -4, 8]],
      ["1.1.0b6", [1, 1, 0, -3, 6]],
      ["1.4.0rc1", [1, 4, 0, -2, 1]],
      ["1.4.1.dev5", [1, 4, 1, -9, 5]],
    ];
    for (const [text, tuple] of cases) {
      expect(parseVersion(text)).toEqual(tuple);
      expect(formatVersion(tuple)).toBe(text);
    }
    expect(SPOKEN_VERSION).toEqual([1, 4, 5, -1]);
    expect(() => parseVersion("x")).toThrow();
  });
  it("compare as tuples do", () => {
    const order = ["1.0.8", "1.1.0b3", "1.1.0", "1.1.9", "1.2.0a4", "1.2.0rc1", "1.2.0", "1.2.10"].map(
      parseVersion,
    );
    for (let i = 1; i < order.length; i++) expect(compareVersions(order[i - 1]!, order[i]!)).toBeLessThan(0);
  });
});

describe("paths", () => {
  let dir: string;
  beforeAll(() => {
    dir = realpathSync(mkdtempSync(join(tmpdir(), "alcove-paths-")));
    mkdirSync(join(dir, "foo", "sub"), { recursive: true });
    mkdirSync(join(dir, "foobar"));
    symlinkSync("../foobar", join(dir, "foo", "out"));
    symlinkSync("foo", join(dir, "link"));
    symlinkSync("b", join(dir, "a"));
    symlinkSync("a", join(dir, "b"));
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it("are real, also where nothing exists yet", () => {
    expect(realPath(`${dir}/link/../foo/./sub//x/../y`)).toBe(`${dir}/foo/sub/y`);
    expect(realPath(`${dir}/link/out/new`)).toBe(`${dir}/foobar/new`);
    expect(realPath("/../../")).toBe("/");
    expect(() => realPath(`${dir}/a/x`)).toThrow(PathNotAllowed);
  });

  it("of clients: home, relative, another's home", () => {
    const env = { HOME: "/home/me" };
    expect(resolveClientPath("/~/repo", env)).toBe("/home/me/repo");
    expect(resolveClientPath("~/repo", env)).toBe("/home/me/repo");
    expect(resolveClientPath("/~/repo", { ...env, BORG_BASE_DIR: "/base" })).toBe("/base/repo");
    expect(resolveClientPath("/./repo")).toBe(realPath("repo"));
    expect(resolveClientPath("repo")).toBe(`${realPath(".")}/repo`);
    expect(resolveClientPath("/~root/repo")).toBe("/root/repo");
    expect(resolveClientPath("~nobody-of-that-name/x")).toBe(`${realPath(".")}/~nobody-of-that-name/x`);
    expect(() => resolveClientPath("")).toThrow(PathNotAllowed);
    expect(() => resolveClientPath("/a\0b")).toThrow(PathNotAllowed);
  });

  it("are compared with a slash at the end (CVE-2017-15914)", () => {
    const paths = { restrictToPaths: [`${dir}/foo`] };
    for (const ok of ["foo", "foo/", "foo/sub", "foo/new/deep", "link/x"]) {
      checkAllowed(resolveClientPath(`${dir}/${ok}`), paths);
    }
    for (const bad of [
      "foobar",
      "foobar/x",
      "",
      "foo/../foobar",
      "foo/out",
      "foo/out/x",
      "fo",
      "foo/sub/../../x",
    ]) {
      expect(() => checkAllowed(resolveClientPath(`${dir}/${bad}`), paths), bad).toThrow(PathNotAllowed);
    }
    const repositories = { restrictToRepositories: [`${dir}/link`, `${dir}/foobar/`] };
    checkAllowed(realPath(`${dir}/foo`), repositories);
    checkAllowed(realPath(`${dir}/foobar`), repositories);
    expect(() => checkAllowed(realPath(`${dir}/foo/sub`), repositories)).toThrow(PathNotAllowed);
    // Both together: both have to hold.
    expect(() => checkAllowed(realPath(`${dir}/foobar`), { ...paths, ...repositories })).toThrow(
      PathNotAllowed,
    );
    checkAllowed("/anything", { restrictToPaths: ["/"] });
  });
});

describe("log lines", () => {
  it("of all of Borg's forms", () => {
    expect(parseRecord("$LOG ERROR borg.repository Remote: broken\n")).toEqual({
      kind: "log",
      level: "error",
      name: "borg.repository",
      message: "Remote: broken",
    });
    expect(parseRecord("$LOG INFO Remote: hello\n")).toMatchObject({
      level: "info",
      name: "root",
      message: "Remote: hello",
    });
    expect(parseRecord("ssh: cannot\r\n")).toEqual({ kind: "text", line: "Remote: ssh: cannot\r\n" });
    expect(parseRecord('{"type":"unknown"}\n')).toMatchObject({ kind: "text" });
    expect(parseRecord("{not json\n")).toMatchObject({ kind: "text" });
  });

  it("split wherever the pipe splits them", () => {
    const text =
      'one\rtwo\r\n{"type":"log_message","levelname":"WARNING","name":"n","message":"gr\u00fc\u00df"}\nlast';
    for (let size = 1; size < 20; size++) {
      const records: RemoteRecord[] = [];
      const reader = new RecordReader((r) => records.push(r));
      const bytes = Buffer.from(text);
      for (let i = 0; i < bytes.length; i += size) reader.feed(bytes.subarray(i, i + size));
      reader.end();
      const lines = records.map((r) =>
        r.kind === "text" ? r.line.trim() : r.kind === "log" ? r.message : "",
      );
      expect(lines.filter((l) => l !== "Remote:")).toEqual([
        "Remote: one",
        "Remote: two",
        "Remote: gr\u00fc\u00df",
        "Remote: last",
      ]);
    }
  });

  it("written for old and new clients", () => {
    const lines: string[] = [];
    const writer = new RecordWriter((line) => lines.push(line), "info");
    writer.log("debug", "not this");
    writer.log("warning", "old");
    writer.progress({ msgid: "repository.check", current: 0, total: 10 });
    writer.json = true;
    writer.log("info", "caf\u00e9 \udcff", "borg.remote");
    expect(lines[0]).toBe("$LOG WARNING borg.repository Remote: old\n");
    expect(lines[1]).toBe("Checking segments 0.0%\r");
    expect(lines[2]).toContain("caf\\u00e9 \\udcff");
    expect(JSON.parse(lines[2]!)).toMatchObject({
      type: "log_message",
      levelname: "INFO",
      name: "borg.remote",
    });
    expect(lines.length).toBe(3);
  });
});

describe("the command line", () => {
  const at = (text: string) => parseLocation(text, {});
  it("for ssh", () => {
    const env = { BORG_RSH: "ssh -i '/a b/key'" };
    expect(sshCommand(at("ssh://me@host:2222/r"), { env })).toEqual([
      "ssh",
      "-i",
      "/a b/key",
      "-p",
      "2222",
      "me@host",
    ]);
    expect(sshCommand(at("ssh://[::1]/r"), { env: {} })).toEqual(["ssh", "::1"]);
    expect(sshCommand(at("me@host:r"), { rsh: "mysh -x", env })).toEqual(["mysh", "-x", "me@host"]);
    expect(() => sshCommand(at("h:r"), { rsh: "ssh 'x", env })).toThrow(/cannot be parsed/);
    expect(() => sshCommand({ ...at("h:r"), host: "-oX", canonicalPath: () => "" }, { env })).toThrow(
      /not a host/,
    );
  });
  it("for the server", () => {
    expect(serveCommand({ env: {} })).toEqual(["borg", "serve"]);
    expect(serveCommand({ env: { BORG_REMOTE_PATH: "alcove" }, logLevel: "debug" })).toEqual([
      "alcove",
      "serve",
      "--debug",
    ]);
    expect(
      serveCommand({
        env: {},
        remotePath: "/opt/borg-{borgversion}",
        logLevel: "warning",
        debugTopics: ["repository.compaction", "files_cache"],
        storageQuota: "5G",
      }),
    ).toEqual(["/opt/borg-1.4.5", "serve", "--debug-topic=repository.compaction", "--storage-quota=5G"]);
  });
});

it("hints tell what to do", () => {
  const end = { started: false, code: 127, signal: null, lastWords: ["sh: borg: not found", ""] };
  expect(closedHint(end)).toMatch(/--remote-path.*sh: borg: not found/);
  expect(closedHint({ ...end, code: 255 })).toMatch(/ssh alone/);
  expect(closedHint({ ...end, code: 1 })).toMatch(/borg --version/);
  expect(closedHint({ ...end, started: true, code: 255 })).toMatch(/ServerAliveInterval/);
  expect(closedHint({ ...end, started: true, code: null, signal: "SIGKILL" })).toMatch(/SIGKILL/);
});
