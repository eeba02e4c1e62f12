// INI files in the dialect of Python's configparser without interpolation, in which Borg keeps a repository's
// `config` and a cache's `config`: "name = value", further lines of a value indented, names in lower case.
import { AlcoveError } from "../errors.ts";

/** The text is not a valid INI file. */
export class IniError extends AlcoveError {
  constructor(line: number, why: string) {
    super(`line ${line}: ${why}`);
  }
}

const DEFAULT = "DEFAULT";

/** Sections with their options, in the order of the file. Option names are case-insensitive and kept in lower case. */
export class Ini {
  private readonly data = new Map<string, Map<string, string>>();
  private readonly defaults = new Map<string, string>();

  sections(): string[] {
    return [...this.data.keys()];
  }

  hasSection(section: string): boolean {
    return this.data.has(section);
  }

  addSection(section: string): void {
    if (section !== DEFAULT && !this.data.has(section)) this.data.set(section, new Map());
  }

  removeSection(section: string): boolean {
    return this.data.delete(section);
  }

  /** Names in a section, those of [DEFAULT] included; empty if there is no such section. */
  options(section: string): string[] {
    const own = this.data.get(section);
    return own ? [...new Set([...own.keys(), ...this.defaults.keys()])] : [];
  }

  get(section: string, option: string): string | undefined {
    const name = option.toLowerCase();
    const own = this.data.get(section);
    return own && (own.get(name) ?? this.defaults.get(name));
  }

  set(section: string, option: string, value: string | number): void {
    this.addSection(section);
    this.map(section).set(option.toLowerCase(), String(value));
  }

  remove(section: string, option: string): boolean {
    return this.data.get(section)?.delete(option.toLowerCase()) ?? false;
  }

  private map(section: string): Map<string, string> {
    return section === DEFAULT ? this.defaults : this.data.get(section)!;
  }

  /** The text Python's ConfigParser.write gives, byte for byte. */
  toString(): string {
    let text = "";
    const write = (name: string, options: Map<string, string>) => {
      text += `[${name}]\n`;
      for (const [option, value] of options) text += `${option} = ${value.replaceAll("\n", "\n\t")}\n`;
      text += "\n";
    };
    if (this.defaults.size > 0) write(DEFAULT, this.defaults);
    for (const [name, options] of this.data) write(name, options);
    return text;
  }

  /** @throws IniError */
  static parse(text: string): Ini {
    const ini = new Ini();
    let section: Map<string, string> | undefined;
    let option: string | undefined;
    let lines: string[] = [];
    let indent = 0;
    const finish = () => {
      if (section && option !== undefined) section.set(option, trimEnd(lines.join("\n")));
      option = undefined;
    };
    text.split(/\r\n|\r|\n/).forEach((line, index, all) => {
      const value = trim(line);
      if (value.startsWith("#") || value.startsWith(";")) return;
      if (value === "") {
        // An empty line belongs to the value it is in; the end of the text is not a line.
        if (option !== undefined && index < all.length - 1) lines.push("");
        return;
      }
      const column = line.search(/[^\s]/);
      if (option !== undefined && column > indent) {
        lines.push(value);
        return;
      }
      finish();
      indent = column;
      const header = /^\[(.+)\]/.exec(value);
      if (header) {
        const name = header[1]!;
        if (ini.data.has(name)) throw new IniError(index + 1, `section [${name}] is there twice`);
        ini.addSection(name);
        section = ini.map(name);
        return;
      }
      if (!section) throw new IniError(index + 1, "there is no [section] before it");
      const at = value.search(/[=:]/);
      if (at <= 0) throw new IniError(index + 1, 'this is not "name = value"');
      option = trimEnd(value.slice(0, at)).toLowerCase();
      if (section.has(option)) throw new IniError(index + 1, `option "${option}" is there twice`);
      lines = [trim(value.slice(at + 1))];
    });
    finish();
    return ini;
  }
}

const trim = (s: string) => s.replace(/^\s+|\s+$/g, "");
const trimEnd = (s: string) => s.replace(/\s+$/, "");
