// Walks the argument parser of borg 1.4.5, as read from Borg itself (options-borg-1.4.5.json): every command and
// every option is in our table with the same spellings, arity, default and choices, and nothing else is unless it
// is marked as our own.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { commands, commonOptions, findCommand, findOption } from "../../cli/options.ts";
import { parse } from "../../cli/parse.ts";
import type { OptionSpec } from "../../cli/table/spec.ts";

interface BorgArgument {
  flags?: string[];
  positional?: string;
  value?: string;
  nargs?: string | number;
  repeatable?: boolean;
  required?: boolean;
  default?: unknown;
  choices?: string[];
}
const borg = JSON.parse(readFileSync(new URL("./options-borg-1.4.5.json", import.meta.url), "utf8")) as {
  common: BorgArgument[];
  commands: Record<string, BorgArgument[]>;
};

/** Default as Borg's parser holds it, after conversion. */
function defaultOf(option: OptionSpec): unknown {
  if (option.name !== "chunker-params" || option.default === undefined) return option.default || undefined;
  const [algorithm, ...numbers] = String(option.default).split(",");
  return [algorithm, ...numbers.map(Number)];
}

function same(ours: OptionSpec | undefined, theirs: BorgArgument): void {
  expect(ours, `${theirs.flags}`).toBeDefined();
  const option = ours!;
  expect([...option.flags].sort()).toEqual([...theirs.flags!].sort());
  expect(option.value !== undefined, `${theirs.flags} takes a value`).toBe(theirs.value !== undefined);
  if (theirs.value && theirs.flags![0] !== "-o") expect(option.value).toBe(theirs.value);
  if (option.pattern) expect(theirs.repeatable || theirs.nargs === 1).toBe(true);
  else {
    expect(option.repeat !== undefined).toBe(theirs.repeatable === true);
    expect(option.implied !== undefined).toBe(theirs.nargs === "?");
  }
  expect(option.choices && [...option.choices]).toEqual(theirs.choices);
  expect(option.required ?? false).toBe(theirs.required ?? false);
  if (theirs.default !== undefined) expect(defaultOf(option)).toEqual(theirs.default);
}

describe("the table holds all of borg 1.4.5", () => {
  it("common options", () => {
    for (const theirs of borg.common) {
      if (theirs.flags!.includes("--upload-buffer") || theirs.flags!.includes("--remote-buffer")) {
        expect(findOption(commonOptions, theirs.flags![0]!)?.value).toBe("UPLOAD_BUFFER");
        continue;
      }
      same(findOption(commonOptions, theirs.flags![0]!), theirs);
    }
    const known = new Set(borg.common.flatMap((o) => o.flags!));
    for (const o of commonOptions) if (!o.own) for (const f of o.flags) expect(known, f).toContain(f);
  });

  for (const [name, list] of Object.entries(borg.commands)) {
    it(name, () => {
      const command = findCommand(name);
      expect(command).toBeDefined();
      const theirOptions = list.filter((a) => a.flags);
      for (const theirs of theirOptions) same(findOption(command!.options, theirs.flags![0]!), theirs);
      const known = new Set(theirOptions.flatMap((o) => o.flags!));
      for (const o of command!.options) if (!o.own) for (const f of o.flags) expect(known, f).toContain(f);
      const positionals = list.filter((a) => a.positional);
      // What may be left out only together with an option of our own is required in Borg.
      expect(command!.positionals.map((p) => [p.label, p.unless ? undefined : p.nargs])).toEqual(
        positionals.map((p) => [p.positional, p.nargs]),
      );
    });
  }

  it("has no command of its own that is not marked", () => {
    for (const c of commands) if (!c.own) expect(Object.keys(borg.commands)).toContain(c.name);
  });

  it("every option is accepted on its own command line", () => {
    for (const [name, list] of Object.entries(borg.commands)) {
      const words = list
        .filter((a) => a.positional && (a.nargs === undefined || a.nargs === "+"))
        .map((_, i) => `word${i}`);
      const required = list.filter((a) => a.required).flatMap((a) => [a.flags![0]!, a.choices![0]!]);
      for (const argument of [...list, ...borg.common].filter((a) => a.flags)) {
        for (const flag of argument.flags!) {
          if (flag === "-h" || flag === "--help") continue;
          const value = argument.value ? [argument.choices?.[0] ?? "1"] : [];
          const extra = argument.required ? [] : required;
          const parsed = parse([...name.split(" "), ...extra, flag, ...value, ...words]);
          expect(parsed.command?.name).toBe(name);
          expect(parsed.kind).toBe("command");
        }
      }
    }
  });
});

describe("the table is complete in itself", () => {
  it("every command has an explanation, examples that parse, and one meaning per flag", () => {
    for (const c of commands) {
      expect(c.summary.length, c.name).toBeLessThan(70);
      expect(c.about.length).toBeGreaterThan(0);
      expect(c.examples.length, c.name).toBeGreaterThan(0);
      const flags = [...c.options, ...commonOptions].flatMap((o) => [...o.flags]);
      expect(new Set(flags).size, c.name).toBe(flags.length);
      for (const o of [...c.options, ...commonOptions]) {
        expect(o.help.length).toBeGreaterThan(3);
        if (o.standsFor)
          expect(findOption([...c.options, ...commonOptions], `--${o.standsFor}`)).toBeDefined();
      }
      for (const example of c.examples) {
        const line = example.line.replace(/^.*\| alcove /, "").replace(/ [|>].*$/, "");
        const words = [...line.matchAll(/'([^']*)'|(\S+)/g)].map((m) => m[1] ?? m[2]!);
        expect(parse(words).command?.name, example.line).toBe(
          c.name === "mount" && words[0] === "umount" ? "umount" : c.name,
        );
      }
    }
  });
});
