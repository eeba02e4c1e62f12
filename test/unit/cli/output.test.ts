// Records and text on stderr and stdout: JSON as Python writes it, log levels and loggers, progress, prompts.
import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JsonFloat, jsonDocument, jsonLine, pythonFloat } from "../../../cli/output/json.ts";
import { Logger } from "../../../cli/output/log.ts";
import {
  ArchiveProgress,
  duration,
  PercentProgress,
  type ProgressContext,
  ProgressLine,
  percentSink,
} from "../../../cli/output/progress.ts";
import { Prompter } from "../../../cli/output/prompts.ts";
import { MemoryStream, replaceSurrogates } from "../../../cli/output/stream.ts";
import { renderTable } from "../../../cli/output/table.ts";
import { truncateMiddle, width, wrap } from "../../../cli/output/text.ts";

const python = (code: string, input: string): string => {
  const run = spawnSync("/usr/bin/python3", ["-c", code], { input, encoding: "utf8", timeout: 60_000 });
  if (run.status !== 0) throw new Error(run.stderr);
  return run.stdout;
};
const lines = (s: MemoryStream) =>
  s.text
    .trim()
    .split("\n")
    .map((l) => JSON.parse(l));

describe("JSON as Python's", () => {
  it("documents and lines are byte for byte what json.dumps gives", () => {
    const samples = fc.sample(fc.jsonValue({ maxDepth: 4, noUnicodeString: false }), {
      numRuns: 300,
      seed: 7,
    });
    // Integers and floats are one type here; as text from our side, Python reads 1 and 1.5 alike.
    const ours = samples.map((s) => jsonDocument(s as never));
    const theirs = python(
      "import json,sys\nfor s in json.load(sys.stdin): print(json.dumps(json.dumps(json.loads(s), sort_keys=True, indent=4)))",
      JSON.stringify(ours),
    );
    theirs
      .trim()
      .split("\n")
      .forEach((line, i) => {
        expect(ours[i]).toBe(JSON.parse(line));
      });
  });
  it("floats stay floats, undefined keys are left out, surrogates are escaped", () => {
    expect(jsonLine({ b: new JsonFloat(3), a: undefined, c: "\udcff€😀\u007f" })).toBe(
      '{"b": 3.0, "c": "\\udcff\\u20ac\\ud83d\\ude00\\u007f"}',
    );
    expect(jsonLine({ b: 1, a: 2n }, { sortKeys: true })).toBe('{"a": 2, "b": 1}');
  });
  it("float repr as Python's", () => {
    const numbers = [
      0, 1, -1, 0.1, 1e15, 1e16, 1.5e16, 1e21, 1e-4, 1.5e-5, 123456.789, 1e300, 5e-324, 1795364787.862,
    ];
    const theirs = python(
      "import sys,json\nfor x in json.load(sys.stdin): print(repr(float(x)))",
      JSON.stringify(numbers),
    );
    expect(numbers.map(pythonFloat)).toEqual(theirs.trim().split("\n"));
  });
});

describe("log", () => {
  const make = (options: Partial<ConstructorParameters<typeof Logger>[1]> = {}) => {
    const out = new MemoryStream();
    return { out, log: new Logger(out, { level: "warning", json: false, now: () => 1500, ...options }) };
  };
  it("writes plain messages of the level and above", () => {
    const { out, log } = make();
    log.info("no");
    log.warning("yes");
    log.error("also \udcff");
    expect(out.text).toBe("yes\nalso ?\n");
  });
  it("writes Borg's record", () => {
    const { out, log } = make({ json: true });
    log.error("what ä", { msgid: "Repository.DoesNotExist" });
    log.warning("plain");
    expect(out.text).toBe(
      '{"type": "log_message", "time": 1.5, "message": "what \\u00e4", "levelname": "ERROR", "name": "borg.archiver", "msgid": "Repository.DoesNotExist"}\n' +
        '{"type": "log_message", "time": 1.5, "message": "plain", "levelname": "WARNING", "name": "borg.archiver"}\n',
    );
  });
  it("opens output loggers by their option and debug loggers by topic, with children", () => {
    const levels = [
      ["borg.output.list", "info"],
      ["borg.output.stats", "warning"],
      ["borg.debug.files_cache", "debug"],
    ] as const;
    const { out, log } = make({ levels });
    log.output("list", "A x");
    log.output("stats", "no");
    log.debug("topic", { name: "borg.debug.files_cache.child" });
    log.debug("no", { name: "borg.debug.other" });
    const quiet = make({ level: "debug", levels });
    quiet.log.output("stats", "no");
    quiet.log.debug("no", { name: "borg.debug.other" });
    quiet.log.debug("yes", { name: "borg.repository" });
    expect(out.text).toBe("A x\ntopic\n");
    expect(quiet.out.text).toBe("yes\n");
  });
  it("writes what a client of serve takes apart", () => {
    const { out, log } = make({ serve: true });
    log.warning("a\nb", { name: "borg.repository" });
    expect(out.text).toBe("$LOG WARNING borg.repository Remote: a\n$LOG WARNING borg.repository Remote: b\n");
  });
});

function progressWorld(options: { json?: boolean; tty?: boolean } = {}) {
  const out = new MemoryStream(options.tty ?? false, options.tty ? 60 : undefined);
  let clock = 0;
  const line = new ProgressLine(out);
  const log = new Logger(out, { level: "warning", json: options.json ?? false, now: () => 2000 });
  log.beforeLine = () => line.wipe();
  const ctx: ProgressContext = { log, line, enabled: true, isTTY: out.isTTY, now: () => clock };
  return { out, ctx, log, tick: (ms: number) => (clock += ms) };
}

describe("progress", () => {
  it("progress_percent records carry every field, also the last one", () => {
    const { out, ctx } = progressWorld({ json: true });
    const p = new PercentProgress(ctx, "check.verify_data", "Verifying data", 50);
    for (let i = 0; i <= 4; i++) p.show(i, 4, ["x"]);
    p.finish();
    p.finish();
    const records = lines(out);
    expect(records.map((r) => r.current)).toEqual([0, 2, 4, undefined]);
    expect(Object.keys(records[0]).sort()).toEqual(
      ["current", "finished", "info", "message", "msgid", "operation", "time", "total", "type"].sort(),
    );
    expect(records[0]).toMatchObject({
      type: "progress_percent",
      msgid: "check.verify_data",
      finished: false,
      total: 4,
      info: ["x"],
    });
    expect(records.at(-1)).toMatchObject({
      type: "progress_percent",
      finished: true,
      operation: records[0].operation,
    });
  });
  it("a sink makes one operation a msgid", () => {
    const { out, ctx } = progressWorld({ json: true });
    const sink = percentSink(ctx, { a: "A" });
    sink({ msgid: "a", current: 0, total: 1 });
    sink({ msgid: "a", current: 1, total: 1 });
    sink({ msgid: "a", current: 1, total: 1, finished: true });
    sink({ msgid: "a", current: 0, total: 1 });
    const operations = lines(out).map((r) => r.operation);
    expect(operations[0]).toBe(operations[2]);
    expect(operations[3]).not.toBe(operations[0]);
  });
  it("archive_progress: fields, interval and end", () => {
    const { out, ctx, tick } = progressWorld({ json: true });
    const p = new ArchiveProgress(ctx, String);
    const counts = { originalSize: 10, compressedSize: 5, deduplicatedSize: 1, files: 2 };
    p.show(counts, "a\udcff");
    tick(100);
    p.show(counts, "b");
    tick(100);
    p.show(counts, "c");
    p.finish();
    const records = lines(out);
    expect(records.map((r) => r.path)).toEqual(["a?", "c", undefined]);
    expect(records[0]).toEqual({
      original_size: 10,
      compressed_size: 5,
      deduplicated_size: 1,
      nfiles: 2,
      path: "a?",
      rate: 0,
      time: 2,
      type: "archive_progress",
      finished: false,
    });
    expect(records[2]).toEqual({ time: 2, type: "archive_progress", finished: true });
  });
  it("archive progress with an estimate says how much is left, marked as a guess", () => {
    const { out, ctx, tick } = progressWorld({ tty: true });
    const p = new ArchiveProgress(ctx, (n) => `${Math.round(n)} B`, { originalSize: 100, files: 10 });
    tick(4000);
    p.show({ originalSize: 50, compressedSize: 5, deduplicatedSize: 1, files: 5 }, "some/path");
    expect(out.text).toContain("~50% 50 B O 5 B C 1 B D 5 N 13 B/s ~4 s left some/path");
  });
  it("the same for programs: rate, and an estimate of its own beside Borg's fields", () => {
    const { out, ctx, tick } = progressWorld({ json: true });
    const p = new ArchiveProgress(ctx, String, { originalSize: 100, files: 10 });
    const counts = { originalSize: 50, compressedSize: 5, deduplicatedSize: 1, files: 5 };
    tick(1000);
    p.show(counts, "too early to say how long");
    tick(3000);
    p.show(counts, "some/path");
    const [early, late] = lines(out);
    expect(early).toMatchObject({ rate: 50, estimate: { percent: 50, eta: null } });
    expect(late).toMatchObject({ rate: 13, estimate: { percent: 50, eta: 4 } });
  });
  it("text for no terminal ends with a carriage return and is not cut", () => {
    const { out, ctx } = progressWorld();
    new ArchiveProgress(ctx, (n) => `${n} B`).show(
      { originalSize: 1, compressedSize: 2, deduplicatedSize: 3, files: 4 },
      "p".repeat(200),
    );
    expect(out.text).toBe(`1 B O 2 B C 3 B D 4 N ${"p".repeat(200)}\r`);
  });
  it("a terminal's line is shortened, and wiped before a log line", () => {
    const { out, ctx, log } = progressWorld({ tty: true });
    new PercentProgress(ctx, "m", "Working").show(1, 4, ["x".repeat(100)]);
    expect(width(out.text.replaceAll("\r", ""))).toBeLessThan(60);
    out.text = "";
    log.warning("hello");
    expect(out.text).toMatch(/^\r +\rhello\n$/);
  });
  it("durations for people", () => {
    expect([1, 45, 100, 3600, 8000].map(duration)).toEqual(["1 s", "45 s", "2 min", "60 min", "2 h 13 min"]);
  });
});

describe("prompts", () => {
  const ask = (
    answers: (string | undefined)[],
    question: Parameters<Prompter["yes"]>[0],
    env: Record<string, string> = {},
    json = false,
  ) => {
    const out = new MemoryStream();
    const log = new Logger(out, { level: "warning", json });
    const queue = [...answers];
    const prompter = new Prompter({ env, log, readLine: async () => queue.shift() });
    return prompter.yes(question).then((answer) => ({ answer, text: out.text }));
  };
  it("accepts Borg's words", async () => {
    for (const yes of ["Yes", "YES", "yes", "Y", "y", "1"])
      expect((await ask([yes], { message: "?" })).answer).toBe(true);
    for (const no of ["No", "NO", "no", "N", "n", "0"]) {
      expect((await ask([no], { message: "?", default: true })).answer).toBe(false);
    }
    for (const d of ["", "d", "default"])
      expect((await ask([d], { message: "?", default: true })).answer).toBe(true);
  });
  it("asks again after nonsense, once more with the retry message", async () => {
    const { answer, text } = await ask(["maybe", "y"], {
      message: "Sure? ",
      invalidMessage: "What?",
      retryMessage: "Again: ",
      trueMessage: "Good.",
    });
    expect(answer).toBe(true);
    expect(text).toBe("Sure? What?\nAgain: Good.\n");
  });
  it("takes the default after nonsense without retry, and at the end of input", async () => {
    expect((await ask(["maybe"], { retry: false, invalidMessage: "no." })).answer).toBe(false);
    expect((await ask([undefined], {})).answer).toBe(false);
    expect((await ask([undefined], { default: true })).answer).toBe(true);
  });
  it("takes an environment variable for the answer, and asks if that is nonsense", async () => {
    const q = { message: "Delete? ", envOverride: "BORG_X", falseMessage: "Aborting." };
    expect(await ask([], q, { BORG_X: "NO" })).toEqual({
      answer: false,
      text: "Delete? NO (from BORG_X)\nAborting.\n",
    });
    expect((await ask(["y"], q, { BORG_X: "nonsense" })).answer).toBe(true);
    expect((await ask(["x"], { ...q, prompt: false })).answer).toBe(false);
  });
  it("takes only the words that the question allows", async () => {
    const q = { message: "Type YES: ", truish: ["YES"], retry: false };
    expect((await ask(["yes"], q)).answer).toBe(false);
    expect((await ask(["YES"], q)).answer).toBe(true);
  });
  it("writes question records with --log-json", async () => {
    const { text } = await ask(["YES"], { message: "Sure?", msgid: "ID", trueMessage: "Good." }, {}, true);
    expect(text).toBe(
      '{"type": "question_prompt", "msgid": "ID", "message": "Sure?"}\n{"type": "question_accepted_true", "msgid": "ID", "message": "Good."}\n',
    );
    const env = await ask([], { message: "Sure?", envOverride: "BORG_X" }, { BORG_X: "y" }, true);
    expect(env.text).toContain(
      '{"env_var": "BORG_X", "type": "question_env_answer", "msgid": "BORG_X", "message": "y (from BORG_X)"}',
    );
  });
});

describe("text", () => {
  it("measures wide and combining characters", () => {
    expect([width("abc"), width("日本"), width("e\u0301"), width("😀"), width("ä")]).toEqual([3, 4, 1, 2, 1]);
  });
  it("shortens in the middle", () => {
    expect(truncateMiddle("home/user/documents/letter.txt", 15)).toBe("home/u...er.txt");
    expect(truncateMiddle("abc", 3)).toBe("abc");
    expect(truncateMiddle("abcdef", 2)).toBe("..");
  });
  it("wraps", () => {
    expect(wrap("one two three", 9, "  ")).toBe("  one two\n  three");
  });
  it("replaces lone surrogates only", () => {
    expect(replaceSurrogates("a\udc80b\ud83d\ude00")).toBe("a?b😀");
  });
  it("tables are aligned, plain when piped, cut and bold on a terminal", () => {
    const columns = [
      { title: "Name", flexible: true },
      { title: "Size", align: "right" as const },
    ];
    const rows = [
      ["a-very-long-archive-name", "5 B"],
      ["b", "10 kB"],
    ];
    expect(renderTable(columns, rows, new MemoryStream(), {})).toBe(
      "Name                       Size\na-very-long-archive-name    5 B\nb                         10 kB\n",
    );
    const tty = renderTable(columns, rows, new MemoryStream(true, 20), {});
    expect(tty).toContain("\u001b[1m");
    expect(tty).toContain("a-ver...-name");
    expect(renderTable(columns, rows, new MemoryStream(true, 20), { NO_COLOR: "1" })).not.toContain("\u001b");
  });
});
