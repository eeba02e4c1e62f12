// BORG_LOGGING_CONF: what ends up in the files and on the streams is what Python's own logging writes with the same
// configuration and the same records.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { LoggingConfiguration } from "../../cli/output/logging-conf.ts";
import { MemoryStream } from "../../cli/output/stream.ts";
import { runCommandLine } from "../../cli/run.ts";
import type { LogLevel } from "../../src/log-level.ts";

const dir = mkdtempSync(join(tmpdir(), "alcove-logging-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
beforeAll(() => {
  process.env["TZ"] = "UTC";
});

const RECORDS: [name: string, level: LogLevel, message: string][] = [
  ["borg.archiver", "debug", "details"],
  ["borg.archiver", "info", "what is done"],
  ["borg.archiver", "warning", "careful: 100 %"],
  ["borg.output.list", "info", "A some/file"],
  ["borg.repository", "error", "ünï"],
  ["other", "critical", "the end"],
];

const python = `
import json, logging, logging.config, logging.handlers, sys
logging.config.fileConfig(sys.argv[1])
for name, level, message in json.load(sys.stdin):
    logging.getLogger(name).log(getattr(logging, level.upper()), "%s", message)
`;

/** Runs both with a configuration; FILE in it is the log's name. */
function both(conf: string): { ours: string[]; theirs: string[] } {
  const run = (name: string, log: (file: string) => { out: string; err: string }) => {
    const file = join(dir, `${name}.log`);
    rmSync(file, { force: true });
    rmSync(`${file}.1`, { force: true });
    const conffile = join(dir, `${name}.conf`);
    writeFileSync(conffile, conf.replaceAll("FILE", file));
    const { out, err } = log(conffile);
    const read = (f: string) => {
      try {
        return readFileSync(f, "utf8");
      } catch {
        return "(none)";
      }
    };
    return [out, err, read(file), read(`${file}.1`)];
  };
  const theirs = run("theirs", (file) => {
    const r = spawnSync("/usr/bin/python3", ["-c", python, file], {
      input: JSON.stringify(RECORDS),
      encoding: "utf8",
    });
    expect(r.status, r.stderr).toBe(0);
    return { out: r.stdout, err: r.stderr };
  });
  const ours = run("ours", (file) => {
    const text = { out: "", err: "" };
    const loaded = new LoggingConfiguration(readFileSync(file, "utf8"), {
      stdout: (line) => {
        text.out += `${line}\n`;
      },
      stderr: (line) => {
        text.err += `${line}\n`;
      },
    });
    const rank = { debug: 10, info: 20, warning: 30, error: 40, critical: 50 };
    for (const [name, level, message] of RECORDS) {
      if (rank[level] >= loaded.threshold(name)) loaded.handle({ name, level, message, time: Date.now() });
    }
    return text;
  });
  return { ours, theirs };
}

const conf = (parts: { loggers?: string; handlers: string; formatters?: string; root?: string }) => {
  const name = (text: string, kind: string) =>
    [...text.matchAll(new RegExp(`\\[${kind}_(\\w+)\\]`, "g"))].map((m) => m[1]).join(",");
  const { loggers = "", handlers, formatters = "", root = "level=NOTSET\nhandlers=h" } = parts;
  return `[loggers]\nkeys=root${loggers ? `,${name(loggers, "logger")}` : ""}\n[handlers]\nkeys=${name(handlers, "handler")}\n[formatters]\nkeys=${name(formatters, "formatter")}\n[logger_root]\n${root}\n${loggers}\n${handlers}\n${formatters}\n`;
};
const plain = "[handler_h]\nclass=FileHandler\nargs=('FILE', 'w')\n";

describe("as Python's logging", () => {
  const cases: [string, string][] = [
    [
      "the example of Borg's documentation",
      conf({
        handlers: "[handler_h]\nclass=FileHandler\nlevel=INFO\nformatter=f\nargs=('FILE', 'w')\n",
        formatters: "[formatter_f]\nformat=%(levelname)s %(message)s\ndatefmt=\nclass=logging.Formatter\n",
      }),
    ],
    ["no formatter, appended", conf({ handlers: "[handler_h]\nclass=FileHandler\nargs=('FILE',)\n" })],
    [
      "stderr and stdout",
      conf({
        root: "level=INFO\nhandlers=h,o",
        handlers:
          "[handler_h]\nclass=StreamHandler\nargs=(sys.stderr,)\n[handler_o]\nclass=logging.StreamHandler\nlevel=ERROR\nargs=(sys.stdout,)\n",
      }),
    ],
    [
      "levels of single loggers, no propagation",
      conf({
        handlers: plain,
        loggers:
          "[logger_borg]\nqualname=borg\nlevel=ERROR\nhandlers=\n[logger_list]\nqualname=borg.output.list\nlevel=DEBUG\npropagate=0\nhandlers=h\n",
        root: "level=WARNING\nhandlers=h",
      }),
    ],
    [
      "widths, dates, numbers",
      conf({
        handlers: "[handler_h]\nclass=FileHandler\nformatter=f\nargs=('FILE', 'w')\n",
        formatters:
          "[formatter_f]\nformat=%(asctime)s %(levelname)-8s|%(name)20s|%(levelno)05d|%(message).4s|100%%\ndatefmt=%Y (%j)\n",
      }),
    ],
    [
      "braces",
      conf({
        handlers: "[handler_h]\nclass=FileHandler\nformatter=f\nargs=('FILE', 'w')\n",
        formatters: "[formatter_f]\nformat={levelname:>9} {name!r} {message}\nstyle={\n",
      }),
    ],
    [
      "rotation",
      conf({ handlers: "[handler_h]\nclass=handlers.RotatingFileHandler\nargs=('FILE', 'a', 40, 1)\n" }),
    ],
    [
      "a watched file, by keyword",
      conf({
        handlers:
          "[handler_h]\nclass=logging.handlers.WatchedFileHandler\nargs=()\nkwargs={'filename': 'FILE'}\n",
      }),
    ],
    ["nothing at all", conf({ handlers: "[handler_h]\nclass=NullHandler\nargs=()\n" })],
    ["root's own level when none is given", conf({ handlers: plain, root: "level=WARNING\nhandlers=h" })],
  ];
  for (const [name, text] of cases) {
    it(name, () => {
      const { ours, theirs } = both(text);
      expect(ours).toEqual(theirs);
    });
  }
});

describe("refused by name", () => {
  for (const [what, text, why] of [
    [
      "a handler",
      conf({ handlers: "[handler_h]\nclass=handlers.SysLogHandler\nargs=('/dev/log',)\n" }),
      /SysLogHandler is not supported/,
    ],
    [
      "an attribute",
      conf({ handlers: plain, formatters: "[formatter_f]\nformat=%(colour)s\n" }),
      /no attribute colour/,
    ],
    ["a level", conf({ handlers: plain, root: "level=LOUD\nhandlers=h" }), /unknown level LOUD/],
    [
      "code",
      conf({ handlers: "[handler_h]\nclass=FileHandler\nargs=(__import__('os').getcwd(),)\n" }),
      /is not understood/,
    ],
    ["a missing section", "[loggers]\nkeys=root\n", /no section \[formatters\]/],
  ] as const) {
    it(what, () => {
      expect(
        () => new LoggingConfiguration(text.replaceAll("FILE", join(dir, "x")), { stdout() {}, stderr() {} }),
      ).toThrow(why);
    });
  }
});

describe("a command line", () => {
  const run = async (file: string, ...args: string[]) => {
    const [stdout, stderr] = [new MemoryStream(), new MemoryStream()];
    const code = await runCommandLine(args, {
      program: { name: "alcove", version: "0" },
      env: { HOME: dir, BORG_BASE_DIR: dir, ALCOVE_WORKERS: "0", BORG_LOGGING_CONF: file },
      stdout,
      stderr,
      signal: new AbortController().signal,
    });
    return { code, stdout: stdout.text, stderr: stderr.text };
  };
  it("logs to the file, and keeps what is no log on the streams", async () => {
    const file = join(dir, "borg.log");
    const conffile = join(dir, "a.conf");
    const text = conf({
      handlers: "[handler_h]\nclass=FileHandler\nformatter=f\nargs=('FILE',)\n",
      formatters: "[formatter_f]\nformat=%(name)s %(levelname)s %(message)s\n",
      root: "level=WARNING\nhandlers=h",
    });
    writeFileSync(conffile, text.replaceAll("FILE", file));
    const r = await run(conffile, "list", "--show-rc", join(dir, "absent"));
    expect(r).toEqual({ code: 2, stdout: "", stderr: "" });
    expect(readFileSync(file, "utf8")).toMatch(
      /^borg\.archiver ERROR .*absent.*\nborg\.output\.show-rc ERROR terminating with error status, rc 2\n$/s,
    );
  });
  it("says that a configuration cannot be used, and logs to stderr", async () => {
    for (const [file, why] of [
      [join(dir, "none.conf"), /none\.conf.*cannot be used.*No such file/],
      [join(dir, "bad.conf"), /bad\.conf.*cannot be used.*line 1/],
    ] as const) {
      writeFileSync(join(dir, "bad.conf"), "nonsense\n");
      const r = await run(file, "list", join(dir, "absent"));
      expect(r.stderr).toMatch(why);
      expect(r.stderr).toMatch(/does not exist/);
    }
  });
});
