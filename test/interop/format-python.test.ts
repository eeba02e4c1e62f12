// Text formats against Python itself and the installed borg's helpers: strftime, times, sizes, str.format, JSON,
// INI files, repr and shell words.
import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AlcoveError } from "../../src/errors.ts";
import { Ini } from "../../src/format/ini.ts";
import { jsonDump } from "../../src/format/json.ts";
import { Float } from "../../src/format/msgpack.ts";
import { floatRepr, toFixed } from "../../src/format/numbers.ts";
import { FormatSyntaxError, formatField, parseFormat } from "../../src/format/pyformat.ts";
import { pyRepr } from "../../src/format/pyrepr.ts";
import { shellQuote, shellSplit } from "../../src/format/shlex.ts";
import { formatFileSize, parseFileSize } from "../../src/format/sizes.ts";
import { strftime } from "../../src/format/strftime.ts";
import * as time from "../../src/format/time.ts";

function python(script: string, input: unknown, env: Record<string, string> = {}): never {
  const out = execFileSync(
    "/usr/bin/python3",
    ["-W", "ignore", "-c", `import sys, json\nreq = json.load(sys.stdin)\n${script}`],
    {
      input: JSON.stringify(input),
      env: { ...process.env, ...env },
      maxBuffer: 1 << 28,
    },
  );
  return JSON.parse(out.toString()) as never;
}

const orNull = <T>(make: () => T): T | null => {
  try {
    return make();
  } catch (error) {
    expect(error instanceof AlcoveError || error instanceof FormatSyntaxError, String(error)).toBe(true);
    return null;
  }
};

const instants = [
  0, 86399, 951782400, 1456790399, 1476666000, 1483228800, 1577664000, 1609459199, 1700000000, 2147310847,
];

describe("times", () => {
  it("strftime knows every directive of the C library", () => {
    const formats = [
      ..."aAbBcCdDeFgGhHIjklmMnprRsStTuUVwWxXyYzZ%fPQ".split("").map((d) => `%${d}`),
      ...[
        "%-d",
        "%_d",
        "%0e",
        "%^a",
        "%#p",

        "%10Y",
        "%-j",
        "%Ey",
        "%Od",
        "x%",
        "%%d",
        "%a, %Y-%m-%d %H:%M:%S",
        "ä%Y",
      ],
    ];
    const theirs: string[] = python(
      `
from datetime import datetime, timezone
print(json.dumps([[datetime.fromtimestamp(t + 0.001234, timezone.utc).strftime(f) for f in req[0]] for t in req[1]]))`,
      [formats, instants],
    );
    const ours = instants.map((t) => formats.map((f) => strftime(f, time.utcTime(t * 1e6 + 1234))));
    for (const [i, t] of instants.entries()) {
      expect(Object.fromEntries(formats.map((f, k) => [f, ours[i]![k]])), String(t)).toEqual(
        Object.fromEntries(formats.map((f, k) => [f, theirs[i]![k]])),
      );
    }
  });

  // The zone of a running process cannot be changed on every runtime, so the current one is compared.
  it("local time, with borg's own helpers", () => {
    const ns = instants.flatMap((t) =>
      [t * 1e9, t * 1e9 + 123456789, t * 1e9 + 999999700].map((n) => String(BigInt(n))),
    );
    const theirs = python(
      `
from datetime import datetime, timezone
from borg.helpers import *
from borg.helpers.time import *
from borg.helpers.parseformat import *
out = []
for t in req[0]:
    o = OutputTimestamp(datetime.fromtimestamp(t + 0.5, timezone.utc))
    out.append([str(o), o.isoformat(), '{:%H|%z|%Z}'.format(o), datetime.fromtimestamp(t, timezone.utc).astimezone(None).strftime('%z')])
print(json.dumps([out, [[str(OutputTimestamp(safe_timestamp(int(n)))), OutputTimestamp(safe_timestamp(int(n))).isoformat()] for n in req[1]]]))`,
      [instants, ns],
    );
    const ours = [
      instants.map((t) => {
        const o = time.OutputTime.ofTimestamp(t * 1e6 + 500000);
        return [String(o), o.isoformat(), o.format("%H|%z|%Z"), strftime("%z", time.localTime(t * 1e6))];
      }),
      ns.map((n) => {
        const o = time.OutputTime.ofFileTime(BigInt(n));
        return [String(o), o.isoformat()];
      }),
    ];
    expect(ours).toEqual(theirs);
  });

  it("timestamps, durations, intervals and --timestamp", () => {
    const stamps = [
      "2016-02-15T19:56:29.123456",
      "2016-02-29T00:00:00",
      "2015-02-29T00:00:00",
      "x",
      "2016-02-15T19:56:29.1",
    ];
    const durations = [0, 0.005, 59.999, 60, 61.5, 3600, 86399.99, 86400, 90061.25, 1e7];
    const intervals = ["1H", "2d", "3w", "4m", "5y", "1", "0d", "-1d", "xd", "d", "1.5d", "+2d"];
    const arguments_ = [
      ...[
        "2016-02-15",
        "2016-046",
        "2016-366",
        "2015-366",
        "2016-02-15T19:56",
        "2016-02-15 19:56:29",
        "2016-02-15T19:56:29Z",
      ],
      ...["2016-02-15T19:56:29+00:00", "2016-13-01", "yesterday", "2016-2-5", "2016-02-15T24:00"],
    ];
    const theirs = python(
      `
from datetime import *
from borg.helpers import *
from borg.helpers.time import *
def t(f):
    try: return f()
    except Exception: return None
us = lambda d: round((d - datetime(1970,1,1,tzinfo=timezone.utc)) / timedelta(microseconds=1))
print(json.dumps([[t(lambda: us(parse_timestamp(s))) for s in req[0]], [format_timedelta(timedelta(seconds=s)) for s in req[1]],
  [t(lambda: interval(s)) for s in req[2]], [t(lambda: us(timestamp(s))) for s in req[3]]]))`,
      [stamps, durations, intervals, arguments_],
    );
    expect([
      stamps.map((s) => orNull(() => time.parseTimestamp(s))),
      durations.map((s) => time.formatDuration(s)),
      intervals.map((s) => orNull(() => time.parseInterval(s))),
      arguments_.map((s) => orNull(() => time.parseTimestampArgument(s))),
    ]).toEqual(theirs);
    expect(time.formatTimestamp(1455566189123456)).toBe("2016-02-15T19:56:29.123456");
  });
});

describe("numbers and sizes", () => {
  it("are printed alike", () => {
    const floats = [
      ...[
        0,
        1,
        -1,
        0.1,
        1e15,
        1e16,
        1.5e-7,
        0.0001,
        0.00001,
        123456789.125,
        1e22,
        5e-324,
        1.7976931348623157e308,
        -2.5,
        1 / 3,
      ],
      ...fc.sample(fc.double({ noNaN: true, noDefaultInfinity: true }), { numRuns: 300, seed: 5 }),
    ].filter((x) => !Object.is(x, -0));
    const ties = [0.125, 0.375, 2.5, 1.005, 1.115, -0.125, 1000.125, 0.5, 1.5, 1e-10, 123456.785];
    const sizes = [
      0,
      1,
      999,
      1000,
      1023,
      1024,
      1125,
      9995,
      999994,
      999995,
      1e6,
      1.5e9,
      -1125,
      2 ** 40,
      2 ** 52,
    ];
    const texts = [
      "1234",
      "55G",
      "1.7T",
      "1k",
      "",
      "x",
      "1e3",
      "2P",
      " 3 K",
      "1_000",
      ".5M",
      "5.",
      "-1",
      "inf",
      "nan",
    ];
    const theirs = python(
      `
from borg.helpers import *
def t(f):
    try: return f()
    except Exception: return None
print(json.dumps([[repr(float(x)) for x in req[0]], [['%.2f' % x, '%.0f' % x] for x in req[1]],
  [[format_file_size(x), format_file_size(x, iec=True), format_file_size(x, sign=True, precision=1)] for x in req[2]],
  [t(lambda: parse_file_size(s)) for s in req[3]]]))`,
      [floats, ties, sizes, texts],
    );
    expect([
      floats.map(floatRepr),
      ties.map((x) => [toFixed(x, 2), toFixed(x, 0)]),
      sizes.map((x) => [
        formatFileSize(x),
        formatFileSize(x, { iec: true }),
        formatFileSize(x, { sign: true, precision: 1 }),
      ]),
      texts.map((s) => orNull(() => parseFileSize(s))),
    ]).toEqual(theirs);
  });
});

describe("str.format", () => {
  const values: Record<string, string | number> = {
    name: "naïve",
    n: 1234567,
    neg: -42,
    x: 2.71659,
    empty: "",
    quote: "it's\n\udcff",
  };
  const specs = [
    ...[
      "",
      "<20",
      ">20",
      "^20",
      "*^21",
      "20",
      "020",
      "=20",
      ".2",
      "10.2",
      "s",
      "20s",
      "d",
      ",",
      "_",
      "+",
      "-",
      " ",
      "+d",
      "x",
      "X",
      "#x",
    ],
    ...[
      "08b",
      "#o",
      "e",
      ".3e",
      "f",
      ".1f",
      ",.2f",
      "g",
      ".3g",
      "%",
      "012,",
      "08,d",
      "n",
      "c",

      "😀^9",
      "<<5",
      "{<9",
      "!",
      "10.",
      "#_x",
    ],
  ];
  const formats = [
    "{name}",
    "{{name}}",
    "a{name}b{n:>10}",
    "{",
    "}",
    "{name",
    "name}",
    "{name!r}",
    "{quote!r}",
    "{quote!a}",
    "{name!s:>9}",
  ];
  formats.push(
    "{name!x}",
    "{{{name}}}",

    "{n:{neg}}",
    "{name:}}",
    "{}",
    "{0}",
    "{n!r:>9}",
    "}}{{",
    "{name:>{empty}9}",
  );

  it("agrees with Python", () => {
    const all = [...formats, ...Object.keys(values).flatMap((k) => specs.map((s) => `{${k}:${s}}`))];
    const theirs: (string | null)[] = python(
      `
out = []
for f in req[0]:
    try: out.append(f.format_map(req[1]))
    except Exception: out.append(None)
print(json.dumps(out))`,
      [all, values],
    );
    const render = (format: string): string =>
      parseFormat(format)
        .map((p) => {
          if (typeof p === "string") return p;
          if (!Object.hasOwn(values, p.name)) throw new FormatSyntaxError("no such key");
          return formatField(values[p.name]!, p.conversion, p.spec.includes("{") ? render(p.spec) : p.spec);
        })
        .join("");
    const skipped = new Set(specs.filter((s) => s === "c").map((s) => `{n:${s}}`));
    all.forEach((f, i) => {
      if (!skipped.has(f)) expect({ f, out: orNull(() => render(f)) }).toEqual({ f, out: theirs[i] });
    });
  });

  it("repr and shell words", () => {
    const words = [
      "",
      "a b",
      "it's",
      'say "x"',
      "a\\b",
      "$HOME",
      "ä",
      "x=1",
      "a\nb",
      "\u00a0",
      "\u200b",
      "😀",
      "\udcff",
      "\x7f",
      "'\"",
    ];
    const lines = [
      "a b  c",
      "'a b' c",
      '"a \\" b"',
      "a\\ b",
      "'x",
      '"x',
      "x\\",
      "a'b'\"c\"",
      '""',
      "a # b",
      '"a\\nb"',
      "\ta\n",
    ];
    const theirs = python(
      `
import shlex
def t(f):
    try: return f()
    except Exception: return None
print(json.dumps([[[repr(w), ascii(w), shlex.quote(w)] for w in req[0]], [t(lambda: shlex.split(l)) for l in req[1]]]))`,
      [words, lines],
    );
    expect([
      words.map((w) => [pyRepr(w), pyRepr(w, true), shellQuote(w)]),
      lines.map((l) => orNull(() => shellSplit(l))),
    ]).toEqual(theirs);
  });
});

describe("JSON", () => {
  it("is Python's, byte for byte", () => {
    const json = fc.letrec((tie) => ({
      v: fc.oneof(
        { depthSize: "small" },
        fc.constantFrom(null, true, false, [], {}),
        fc.maxSafeInteger(),
        fc.string({ unit: "binary", maxLength: 10 }),
        fc.array(tie("v"), { maxLength: 4 }),
        fc.dictionary(fc.string({ unit: "binary", maxLength: 6 }), tie("v"), {
          maxKeys: 4,
          noNullPrototype: true,
        }),
      ),
    })).v;
    const samples = fc.sample(json, { numRuns: 60, seed: 3 });
    const theirs: string[][] = python(
      "print(json.dumps([[json.dumps(v, sort_keys=True, indent=4), json.dumps(v)] for v in req]))",
      samples,
    );
    samples.forEach((v, i) => {
      // JSON.parse puts number-like keys first, so the unsorted form is compared only where no key is one.
      const text = JSON.stringify(v);
      expect(jsonDump(v, { indent: 4, sortKeys: true })).toBe(theirs[i]![0]);
      if (!/"\d+":/.test(text) && !text.includes("__proto__")) expect(jsonDump(v)).toBe(theirs[i]![1]);
    });
    expect(jsonDump({ d: new Float(1), t: 0.5, s: "\udcff\x7f" })).toBe(
      '{"d": 1.0, "t": 0.5, "s": "\\udcff\\u007f"}',
    );
  });
});

describe("INI", () => {
  const texts = [
    "[repository]\nversion = 1\nkey = abc\n\tdef\n\tghi\n\n",
    "[a]\nX = 1\ny:2\n z\n# c\n; c\n\n[b]\nx=\n",
    "[a]\nx = 1\n\n  more\n\n\n[DEFAULT]\nd = 5\n",
    ...[
      "x = 1\n",
      "[a]\nx = 1\nX = 2\n",
      "[a]\n[a]\n",
      "[a]\njunk\n",
      "[a]\n= 1\n",
      "[a",
      "",
      "[a]\nx = a # b\n",
      "[a]b\nx = y",
    ],
    "[a]\r\nx = 1\r\n\ty\r\n",
    "[a]\nx = 1\n    # comment\n  two\n y = 3\n",
  ];

  it("reads and writes what configparser does", () => {
    const theirs = python(
      `
import configparser, io
out = []
for t in req:
    c = configparser.ConfigParser(interpolation=None)
    try:
        c.read_file(io.StringIO(t, newline=None))
        w = io.StringIO(); c.write(w)
        out.append([{s: dict(c.items(s)) for s in c.sections()}, w.getvalue()])
    except configparser.Error:
        out.append(None)
print(json.dumps(out))`,
      texts,
    );
    const ours = texts.map((t) =>
      orNull(() => {
        const ini = Ini.parse(t);
        const plain = ini
          .sections()
          .map((s) => [s, Object.fromEntries(ini.options(s).map((o) => [o, ini.get(s, o)]))]);
        return [Object.fromEntries(plain), ini.toString()];
      }),
    );
    expect(ours).toEqual(theirs);
  });
});
