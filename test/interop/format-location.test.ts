// Locations and placeholders against the Location class of the installed borg.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { AlcoveError } from "../../src/errors.ts";
import { parseLocation } from "../../src/format/location.ts";

const texts = [
  ...[
    "/some/path",
    "/some/path::archive",
    "relative/path",
    "some/rel::arch",
    ".",
    "~/x",
    "/",
    "/a//b/../c/./d/",
    "//a/b",
  ],
  ...[
    "ssh://user@host:1234/some/path::archive",
    "ssh://host/some/path",
    "ssh://host/./rel/path",
    "ssh://host/~/x",
  ],
  ...[
    "ssh://host/~user/x",
    "ssh://user@[::]:1234/some/path::archive",
    "ssh://user@[2001:db8::192.0.2.1]/some/path",
  ],
  ...[
    "user@host:/some/path",
    "host:rel/path::a",
    "user@host:~/x",
    "user@[::1]:/p::a b",
    "host:",
    "host:/a:b::c:d",
  ],
  ...[
    "file:///some/path::archive",
    "file://server/share/path",
    "file://rel",
    "file:///a::b/c",
    "::",
    "::arch",
    "",
  ],
  ...[
    "/some/path::",
    "/path:with:colons",
    "a:b:c",
    "ssh://host:bad/x",
    "ssh://host",
    "ssh:/host/x",
    "ssh://u@h:22/./",
  ],
  ...[
    "/p::{borgmajor}",
    "/p{{x}}::y",
    "/p::{nope}",
    "[::1]:/x",
    "a@b@c:/x",
    "user:name@host:/x",
    "/p::a::b",
    "/p:::a",
  ],
  ...[
    "ssh://h/a::b::c",
    "ssh://[fe80::1]/x",
    "C:/x",
    "äö/ü::ß",
    ":x",
    "::x/y",
    "host:/./x",
    "host:./x",
    "host:~",
  ],
];

const script = `
import sys, json, os
from borg.helpers.parseformat import Location
out = []
for t in json.load(sys.stdin):
    try:
        l = Location(t)
        o = Location(t); o = o.omit_archive() if o.archive and not t.startswith('::') else None
        import re
        name = os.path.basename(l.to_key_filename())
        out.append([l.proto, l.user, l._host, l.host, l.port, l.path, l.archive, l.raw, l.processed, l.canonical_path(), name,
                    [o.raw, o.processed] if o else None])
    except Exception as e:
        out.append(None)
print(json.dumps(out))
`;

const base = mkdtempSync(join(tmpdir(), "location-"));
afterAll(() => rmSync(base, { recursive: true }));

function expected(env: Record<string, string>): unknown[] {
  const out = execFileSync("/usr/bin/python3", ["-c", script], {
    input: JSON.stringify(texts),
    env: { PATH: process.env["PATH"], BORG_BASE_DIR: base, ...env },
  });
  return JSON.parse(out.toString());
}

function ours(text: string, env: Record<string, string>): unknown {
  try {
    const l = parseLocation(text, env);
    const o = l.archive && !text.startsWith("::") ? l.withoutArchive() : undefined;
    return [
      ...[
        l.proto,
        l.user ?? null,
        l.bracketedHost ?? null,
        l.host ?? null,
        l.port ?? null,
        l.path,
        l.archive ?? null,
      ],
      ...[l.raw, l.processed, l.canonicalPath(), l.keyFileName(), o ? [o.raw, o.processed] : null],
    ];
  } catch (error) {
    expect(error).toBeInstanceOf(AlcoveError);
    return null;
  }
}

describe("parseLocation", () => {
  for (const env of [
    {},
    { BORG_REPO: "ssh://u@h:2222/./repo" },
    { BORG_REPO: "/with/{borgmajor}" },
  ] as Record<string, string>[]) {
    it(`agrees with borg, BORG_REPO ${env["BORG_REPO"] ?? "unset"}`, () => {
      const theirs = expected(env);
      for (const [i, text] of texts.entries())
        expect({ text, location: ours(text, env) }).toEqual({ text, location: theirs[i] });
    });
  }
});
