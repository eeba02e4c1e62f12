// What a command gets to know of its command line: options and positionals of the table by name, converted, with
// defaults. Asking for a name that the command's table does not have is a programming error and throws.
import type { Location } from "../src/format/location.ts";
import { commonOptions } from "./options.ts";
import type { PatternOp } from "./parse.ts";
import type { CommandSpec, OptionSpec } from "./table/spec.ts";

export type OptionValue = string | number | bigint | boolean | readonly string[] | undefined | object;

export interface ArgsInit {
  command: CommandSpec;
  /** Converted values of the options that were given. */
  values: ReadonlyMap<string, OptionValue>;
  positionals: ReadonlyMap<string, string | readonly string[]>;
  patternOps: readonly PatternOp[];
  location?: Location;
}

export class Args {
  readonly command: CommandSpec;
  /** -e, --exclude-from, --pattern and --patterns-from in the order given. */
  readonly patternOps: readonly PatternOp[];
  private readonly values: Map<string, OptionValue>;
  private readonly positionals: ReadonlyMap<string, string | readonly string[]>;
  private readonly place: Location | undefined;

  constructor(init: ArgsInit) {
    this.command = init.command;
    this.patternOps = init.patternOps;
    this.values = new Map(init.values);
    this.positionals = init.positionals;
    this.place = init.location;
  }

  /** The repository, and the archive where one was named. */
  get location(): Location {
    if (!this.place) throw new Error(`${this.command.name} has no location`);
    return this.place;
  }

  /** Paths given as words, without roots from patterns. */
  get paths(): readonly string[] {
    return (this.positionals.get("paths") as readonly string[] | undefined) ?? [];
  }

  has(option: string): boolean {
    return this.find(option) !== undefined;
  }

  /** Whether it was given on the command line. */
  given(option: string): boolean {
    this.spec(option);
    return this.values.has(option);
  }

  flag(option: string): boolean {
    return this.count(option) > 0;
  }

  /** How often a flag was given. */
  count(option: string): number {
    const spec = this.spec(option);
    if (spec.value !== undefined) throw new Error(`--${option} is no flag`);
    return (this.values.get(option) as number | undefined) ?? 0;
  }

  text(option: string): string | undefined {
    return this.value(option) as string | undefined;
  }

  number(option: string): number | undefined {
    return this.value(option) as number | undefined;
  }

  list(option: string): readonly string[] {
    return (this.value(option) as readonly string[] | undefined) ?? [];
  }

  /** The converted value of an option, or its default. */
  value(option: string): OptionValue {
    const spec = this.spec(option);
    return this.values.has(option) ? this.values.get(option) : (spec.default as OptionValue);
  }

  /** Sets an option as if it had been given. */
  override(option: string, value: OptionValue): void {
    this.spec(option);
    this.values.set(option, value);
  }

  /** A positional of one word. */
  word(name: string): string | undefined {
    return this.positional(name) as string | undefined;
  }

  /** A positional of several words. */
  words(name: string): readonly string[] {
    return (this.positional(name) as readonly string[] | undefined) ?? [];
  }

  private positional(name: string): string | readonly string[] | undefined {
    if (!this.command.positionals.some((p) => p.name === name)) {
      throw new Error(`${this.command.name} has no positional ${name}`);
    }
    return this.positionals.get(name);
  }

  private spec(option: string): OptionSpec {
    const spec = this.find(option);
    if (!spec) throw new Error(`${this.command.name} has no option ${option}`);
    return spec;
  }

  private find(option: string): OptionSpec | undefined {
    return (
      this.command.options.find((o) => o.name === option) ?? commonOptions.find((o) => o.name === option)
    );
  }
}
