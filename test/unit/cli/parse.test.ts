// The scanner's rules, each of which some Borg user's script relies on.
import { describe, expect, it } from "vitest";
import { parse } from "../../../cli/parse.ts";
import { UsageError } from "../../../cli/usage.ts";

const values = (...argv: string[]) => Object.fromEntries(parse(argv).values);
const usage = (...argv: string[]): string => {
  try {
    parse(argv);
  } catch (e) {
    if (e instanceof UsageError) return e.message;
    throw e;
  }
  throw new Error("accepted");
};

describe("options and their values", () => {
  it("takes --opt=value, --opt value, -C value, -Cvalue and -C=value", () => {
    expect(values("create", "--comment=a=b", "R::a", "p")).toEqual({ comment: "a=b" });
    for (const form of [
      ["-C", "lz4"],
      ["-Clz4"],
      ["-C=lz4"],
      ["--compression", "lz4"],
      ["--compression=lz4"],
    ]) {
      expect(values("create", ...form, "R::a", "p")).toEqual({ compression: "lz4" });
    }
    expect(values("create", "--comment=", "R::a", "p")).toEqual({ comment: "" });
    expect(values("create", "--comment", "", "R::a", "p")).toEqual({ comment: "" });
  });
  it("keeps what looks like a number as text", () => {
    expect(values("create", "--comment", "0012", "R::a", "1e3").comment).toBe("0012");
    expect(parse(["create", "007", "1e3"]).positionals.get("paths")).toEqual(["1e3"]);
  });
  it("takes grouped short flags apart, the last one with a value", () => {
    const p = parse(["create", "-vpsnC", "zstd,3", "R::a", "p"]);
    expect(p.logLevel).toBe("info");
    expect(Object.fromEntries(p.values)).toEqual({
      progress: 1,
      stats: 1,
      "dry-run": 1,
      compression: "zstd,3",
    });
    expect(values("prune", "-nd7", "R")).toEqual({ "dry-run": 1, "keep-daily": "7" });
    expect(usage("create", "-vz", "R::a", "p")).toMatch(/-v\/--verbose|--info/);
  });
  it("knows unambiguous abbreviations and names the candidates of others", () => {
    expect(values("create", "--stat", "--exclude-c", "R::a", "p")).toEqual({ stats: 1, "exclude-caches": 1 });
    expect(values("prune", "--keep-d=3", "R")).toEqual({ "keep-daily": "3" });
    expect(values("extract", "--numeric", "R::a")).toEqual({ "numeric-ids": 1 });
    expect(usage("prune", "--keep", "3", "R")).toMatch(
      /ambiguous option: --keep could match --keep-within, /,
    );
  });
  it("prefers an exact flag to a longer one that begins with it", () => {
    expect(parse(["create", "--exclude", "x", "R::a", "p"]).patternOps).toEqual([
      { kind: "exclude", value: "x" },
    ]);
    expect(values("list", "--json", "R")).toEqual({ json: 1 });
  });
  it("refuses an option as the value of another, but takes negative numbers and text with spaces", () => {
    expect(usage("create", "--comment", "--stats", "R::a", "p")).toBe(
      "argument --comment: expected one argument",
    );
    expect(usage("create", "R::a", "p", "--comment")).toBe("argument --comment: expected one argument");
    expect(usage("create", "--comment", "-x1", "R::a", "p")).toBe(
      "argument --comment: expected one argument",
    );
    expect(values("prune", "--keep-daily", "-1", "R")).toEqual({ "keep-daily": "-1" });
    expect(values("create", "--rsh", "-o x", "R::a", "p")).toEqual({ rsh: "-o x" });
    expect(values("create", "--comment=-x", "R::a", "p")).toEqual({ comment: "-x" });
  });
  it("takes - for a path", () => {
    expect(parse(["create", "R::a", "-"]).positionals.get("paths")).toEqual(["-"]);
    expect(parse(["export-tar", "R::a", "-"]).positionals.get("tarfile")).toBe("-");
  });
  it("collects repeatable options, counts --force, and allows some options only once", () => {
    expect(values("create", "--exclude-if-present=a", "--exclude-if-present", "b", "R::a", "p")).toEqual({
      "exclude-if-present": ["a", "b"],
    });
    expect(values("delete", "--force", "--force", "R::a")).toEqual({ force: 2 });
    expect(values("list", "--first", "1", "--first", "2", "R")).toEqual({ first: "2" });
    expect(usage("list", "-a", "x", "-a", "y", "R")).toMatch(/--glob-archives: There can be only one\./);
  });
  it("refuses options that exclude each other", () => {
    expect(usage("list", "--first", "1", "--last", "1", "R")).toBe(
      "argument --last: not allowed with argument --first",
    );
    expect(usage("prune", "-P", "x", "-a", "y", "R")).toMatch(/not allowed with argument -P\/--prefix/);
    expect(usage("config", "-d", "-l", "R")).toMatch(/not allowed/);
    expect(usage("prune", "--keep-13weekly", "1", "--keep-3monthly", "1", "R")).toMatch(/not allowed/);
  });
  it("checks choices and names the option", () => {
    expect(usage("init", "-e", "rot13", "R")).toMatch(
      /^argument -e\/--encryption: invalid choice: 'rot13' \(choose from 'none'/,
    );
    expect(usage("init", "R")).toBe("the following arguments are required: -e/--encryption");
    expect(usage("create", "--files-changed", "size", "R::a", "p")).toMatch(
      /--files-changed: invalid choice/,
    );
  });
  it("lets the value of --recompress be left out", () => {
    expect(values("recreate", "--recompress", "R")).toEqual({ recompress: "if-different" });
    expect(values("recreate", "--recompress", "always", "R")).toEqual({ recompress: "always" });
    expect(values("recreate", "R", "--recompress")).toEqual({ recompress: "if-different" });
    expect(usage("recreate", "--recompress=often", "R")).toMatch(/invalid choice/);
  });
});

describe("common options", () => {
  it("stand before and after the command and its second word; the last one wins", () => {
    const p = parse(["--debug", "--rsh", "ssh -4", "key", "--log-json", "export", "R", "--info", "--rsh=x"]);
    expect(p.logLevel).toBe("info");
    expect(Object.fromEntries(p.values)).toEqual({ rsh: "x", "log-json": 1 });
    expect(p.command?.name).toBe("key export");
    expect(p.positionals.get("location")).toBe("R");
  });
  it("merge repeatable ones from both sides", () => {
    expect(values("--debug-topic", "a", "list", "R", "--debug-topic", "b")).toEqual({
      "debug-topic": ["a", "b"],
    });
  });
  it("do not make a command's own options common", () => {
    expect(usage("--stats", "create", "R::a", "p")).toMatch(/unrecognized arguments: --stats/);
  });
  it("--version and --help come before everything after them", () => {
    expect(parse(["--version", "--log-json"]).kind).toBe("version");
    expect(parse(["-V"]).kind).toBe("version");
    expect(parse(["-v"]).kind).toBe("help");
    expect(parse(["create", "--help", "--nonsense"]).kind).toBe("help");
    expect(parse([]).kind).toBe("help");
    expect(parse(["key"]).group).toBe("key");
    expect(parse(["create", "-vh"]).kind).toBe("help");
  });
});

describe("patterns", () => {
  it("keep their order among each other", () => {
    const p = parse("create -e a --pattern +b --exclude-from c R::a --patterns-from d -e e p".split(" "));
    expect(p.patternOps.map((o) => [o.kind, o.value])).toEqual([
      ["exclude", "a"],
      ["pattern", "+b"],
      ["exclude-from", "c"],
      ["patterns-from", "d"],
      ["exclude", "e"],
    ]);
  });
  it("may begin with a dash where they hold a space", () => {
    expect(parse(["list", "R::a", "--pattern", "- x"]).patternOps).toEqual([
      { kind: "pattern", value: "- x" },
    ]);
  });
});

describe("words", () => {
  it("after -- are all positionals", () => {
    const p = parse(["list", "--log-json", "--", "R::a", "-x", "--json"]);
    expect(p.positionals.get("location")).toBe("R::a");
    expect(p.positionals.get("paths")).toEqual(["-x", "--json"]);
    expect(p.values.has("json")).toBe(false);
    expect(parse(["key", "--", "export", "R"]).positionals.get("location")).toBe("R");
  });
  it("may stand among options", () => {
    const p = parse(["create", "R::a", "--stats", "one", "-x", "two"]);
    expect(p.positionals.get("paths")).toEqual(["one", "two"]);
  });
  it("fill optional places from the left", () => {
    expect([...parse(["config", "R", "name"]).positionals]).toEqual([
      ["location", "R"],
      ["name", "name"],
    ]);
    expect([...parse(["key", "export"]).positionals]).toEqual([]);
    expect(parse(["delete", "R", "a", "b"]).positionals.get("archives")).toEqual(["a", "b"]);
  });
  it("are counted", () => {
    expect(usage("rename", "R::a")).toBe("the following arguments are required: NEWNAME");
    expect(usage("create")).toBe("the following arguments are required: ARCHIVE");
    expect(usage("debug", "delete-obj", "R")).toBe("the following arguments are required: IDs");
    expect(usage("compact", "R", "S")).toBe("unrecognized arguments: S");
  });
  it("with-lock leaves the command's own options alone", () => {
    const rest = (...a: string[]) => parse(["with-lock", "--lock-wait", "5", ...a]).positionals.get("args");
    expect(rest("R", "rsync", "-av", "--delete", "--", "a")).toEqual(["-av", "--delete", "--", "a"]);
    expect(rest("R", "sh", "--", "-c", "x")).toEqual(["-c", "x"]);
    expect(rest("--", "R", "sh", "-c", "x")).toEqual(["-c", "x"]);
    expect(rest("R", "true")).toEqual([]);
  });
});

describe("mistakes", () => {
  it("unknown commands and options get a suggestion", () => {
    expect(usage("lst")).toMatch(/Did you mean "list"/);
    expect(usage("key", "exprt")).toMatch(/Did you mean "key export"/);
    expect(usage("create", "--complession", "lz4", "R::a", "p")).toMatch(
      /--complession \(did you mean --compression\?\)/,
    );
  });
  it("a value for a flag is refused", () => {
    expect(usage("create", "--stats=1", "R::a", "p")).toMatch(/-s\/--stats: ignored explicit argument '1'/);
  });
});

describe("old spellings", () => {
  it("work, and are warned about once", () => {
    const p = parse([
      "create",
      "--numeric-owner",
      "--nobsdflags",
      "--noatime",
      "--remote-ratelimit",
      "5",
      "R::a",
      "p",
    ]);
    expect(Object.fromEntries(p.values)).toEqual({
      "numeric-ids": 1,
      noflags: 1,
      noatime: 1,
      "upload-ratelimit": "5",
    });
    expect(p.deprecations).toHaveLength(4);
    expect(parse(["list", "--prefix=x", "R"]).deprecations[0]).toMatch(
      /^Warning: "--prefix" has been deprecated/,
    );
    expect(parse(["list", "-P", "x", "R"]).deprecations).toEqual([]);
  });
});
