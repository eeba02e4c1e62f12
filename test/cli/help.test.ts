// Help, manual page and shell completions are made from the table of options: they hold all of it, and real shells
// offer it.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { bashCompletion, fishCompletion, zshCompletion } from "../../cli/completions.ts";
import { commandHelp, commonHelp, programHelp } from "../../cli/help.ts";
import { manPage } from "../../cli/manpage.ts";
import { commandGroups, commands, commonOptions } from "../../cli/options.ts";
import { MemoryStream } from "../../cli/output/stream.ts";
import { style } from "../../cli/output/style.ts";

const dir = mkdtempSync(join(tmpdir(), "alcove-help-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const plain = style(new MemoryStream(), {});
const program = { name: "alcove", version: "1" };
const firstWords = [...new Set(commands.map((c) => c.name.split(" ")[0]!))].sort();
/** Every spelling but the old ones. */
const flagsOf = (command: (typeof commands)[number]) =>
  [...command.options, ...commonOptions]
    .filter((o) => !o.standsFor && !o.deprecated)
    .flatMap((o) => [...o.flags])
    .sort();

describe("help", () => {
  it("of the program fits a terminal of 24 lines and 80 columns, and names every command", () => {
    const lines = programHelp(program, 80, plain).trimEnd().split("\n");
    expect(lines.length).toBeLessThan(24);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
    const words = new Set(lines.join(" ").split(/[\s,:]+/));
    for (const word of firstWords) expect(words, word).toContain(word);
  });
  it("of each command names its options, and has examples", () => {
    for (const c of commands) {
      const text = commandHelp(c, "alcove", 80, plain, { usage: true, about: true });
      for (const o of c.options) for (const f of o.flags) expect(text, `${c.name} ${f}`).toContain(f);
      expect(text).toMatch(/^Examples:\n {2}# .*\n {2}.*alcove /m);
      for (const line of text.slice(0, text.indexOf("Examples:")).split("\n"))
        expect(line.length, line).toBeLessThanOrEqual(80);
    }
    const common = commonHelp(80, plain);
    for (const o of commonOptions) for (const f of o.flags) expect(common).toContain(f);
  });
  it("is in the manual page, which troff finds nothing wrong with", () => {
    const text = manPage(program);
    const read = text
      .replaceAll("\\-", "-")
      .replace(/\\\[u([0-9A-F]+)\]/g, (_, c: string) => String.fromCodePoint(Number.parseInt(c, 16)));
    for (const c of commands) {
      expect(read).toContain(`.SS ${c.name}\n`);
      for (const o of c.options) expect(read).toContain(o.flags.join(", "));
      for (const e of c.examples) expect(read).toContain(e.what.replaceAll("\\", "\\e"));
    }
    if (!has("groff")) return;
    const r = spawnSync("groff", ["-man", "-Tutf8", "-ww", "-z"], {
      input: text,
      encoding: "utf8",
      timeout: 60_000,
    });
    expect([r.status, r.stderr]).toEqual([0, ""]);
  });
});

function has(name: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${name}`]).status === 0;
}

/** What a shell offers for each command line. */
type Offers = (lines: readonly string[]) => Map<string, string[]>;

/** "== line" and what follows it. */
function sections(text: string): Map<string, string[]> {
  const out = new Map<string, string[]>();
  for (const part of text.split(/^== /m).slice(1)) {
    const [line, ...offered] = part.split("\n");
    out.set(line!, [...new Set(offered.filter((w) => w))].sort());
  }
  return out;
}

function shell(command: string, args: readonly string[]): Map<string, string[]> {
  const r = spawnSync(command, args, {
    encoding: "utf8",
    timeout: 100_000,
    cwd: dir,
    env: { PATH: process.env["PATH"], HOME: dir, TERM: "dumb" },
  });
  expect(r.status, r.stderr).toBe(0);
  return sections(r.stdout);
}

const shells: Record<string, Offers> = {
  bash: (lines) => {
    const script = join(dir, "complete.bash");
    const ask = lines.map((line) => {
      const words = line.split(" ").map((w) => `'${w}'`);
      return `COMP_WORDS=(${words.join(" ")}); COMP_CWORD=${words.length - 1}; _alcove_complete; echo '== ${line}'; printf '%s\\n' "\${COMPREPLY[@]}"`;
    });
    writeFileSync(script, `${bashCompletion("alcove")}\n${ask.join("\n")}\n`);
    return shell("bash", ["--norc", script]);
  },
  zsh: (lines) => {
    writeFileSync(join(dir, "_alcove"), zshCompletion("alcove"));
    const capture = new URL("./capture.zsh", import.meta.url).pathname;
    return shell("zsh", ["-f", capture, join(dir, "_alcove"), ...lines]);
  },
  fish: (lines) => {
    const script = join(dir, "complete.fish");
    const ask = lines.map((line) => `echo '== ${line}'; complete -C '${line}' | string split -f1 \\t`);
    writeFileSync(script, `${fishCompletion("alcove")}\n${ask.join("\n")}\n`);
    return shell("fish", ["--no-config", script]);
  },
};

describe("completion", () => {
  for (const [name, offers] of Object.entries(shells)) {
    // Debian's zsh and fish are small; where they are missing only bash is asked.
    describe.skipIf(!has(name))(name, () => {
      it("offers every command, and the members of groups", () => {
        const seen = offers([
          "alcove ",
          ...[...commandGroups.keys()].map((g) => `alcove ${g} `),
          "alcove cre",
        ]);
        expect(seen.get("alcove ")).toEqual(firstWords);
        expect(seen.get("alcove cre")).toEqual(["create"]);
        for (const group of commandGroups.keys()) {
          const members = commands
            .filter((c) => c.name.startsWith(`${group} `))
            .map((c) => c.name.slice(group.length + 1));
          expect(seen.get(`alcove ${group} `)).toEqual(members.sort());
        }
      });
      it("offers every option of every command, and no old spellings", () => {
        const ask = (c: (typeof commands)[number], start: string) => `alcove ${c.name} ${start}`;
        const seen = offers(commands.flatMap((c) => [ask(c, "-"), ask(c, "--")]));
        for (const c of commands) {
          const offered = [...(seen.get(ask(c, "-")) ?? []), ...(seen.get(ask(c, "--")) ?? [])].map((f) =>
            f.replace(/=$/, ""),
          );
          expect([...new Set(offered)].sort(), c.name).toEqual(flagsOf(c));
        }
      });
      it("offers choices", () => {
        const line = "alcove init --encryption rep";
        expect(offers([line]).get(line)).toEqual(["repokey", "repokey-blake2"]);
      });
    });
  }
});

it("the scripts are what the command prints", async () => {
  const { runCommandLine } = await import("../../cli/run.ts");
  for (const [name, text] of Object.entries({
    bash: bashCompletion("alcove"),
    zsh: zshCompletion("alcove"),
    fish: fishCompletion("alcove"),
    man: manPage(program),
  })) {
    const stdout = new MemoryStream();
    const code = await runCommandLine(["completions", name], {
      program,
      env: {},
      stdout,
      stderr: stdout,
      signal: new AbortController().signal,
    });
    expect([code, stdout.text]).toEqual([0, text]);
  }
});
