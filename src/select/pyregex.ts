// Python's regular expressions (re: patterns) to JavaScript's. Translated are groups, flags, sets, classes,
// anchors and escapes with Python's meaning (Unicode \w, "$" before a final newline, …); what JavaScript cannot
// express is refused by name. A path that matched in Borg must match here.
import { ArgumentError } from "../errors.ts";
import { literal } from "./charclass.ts";

const DIGIT = "\\p{Nd}";
const WORD = "\\p{L}\\p{N}_";
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
/** Under (?a). */
const ASCII: Record<string, string> = { d: "0-9", w: "A-Za-z0-9_", s: "\\t-\\r\\x20" };
const UNICODE: Record<string, string> = { d: DIGIT, w: WORD, s: SPACE };
const CONTROL: Record<string, string> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

interface Flags {
  i: boolean;
  m: boolean;
  s: boolean;
  x: boolean;
  a: boolean;
}

class Translator {
  private readonly text: string;
  private readonly chars: string[];
  private at = 0;
  private readonly flags: Flags = { i: false, m: false, s: false, x: false, a: false };
  private groups = 0;
  private readonly open = new Set<string>();
  private readonly names = new Map<string, string>();
  private atomics = 0;

  constructor(text: string) {
    this.text = text;
    this.chars = [...text];
  }

  translate(): RegExp {
    this.globalFlags();
    const source = this.alternatives();
    if (this.at < this.chars.length) this.fail("unbalanced parenthesis");
    try {
      return new RegExp(source, this.flags.i ? "iv" : "v");
    } catch {
      return this.fail("not a valid regular expression");
    }
  }

  private fail(why: string): never {
    throw new ArgumentError(`cannot use the regular expression "${this.text}": ${why}`);
  }

  private peek(ahead = 0): string {
    return this.chars[this.at + ahead] ?? "";
  }

  private next(): string {
    const c = this.chars[this.at++];
    if (c === undefined) this.fail("it ends too early");
    return c!;
  }

  private take(text: string): boolean {
    const wanted = [...text];
    if (wanted.some((c, i) => this.chars[this.at + i] !== c)) return false;
    this.at += wanted.length;
    return true;
  }

  /** (?imsxau) at the start; Python 3.11 allows them nowhere else. */
  private globalFlags(): void {
    for (;;) {
      const m = /^\(\?([aiLmsux]+)\)/.exec(this.chars.slice(this.at, this.at + 12).join(""));
      if (!m) return;
      for (const flag of m[1]!) {
        if (flag === "L") this.fail("the flag L (locale) is only for bytes");
        if (flag !== "u") this.flags[flag as keyof Flags] = true;
      }
      this.at += m[0].length;
    }
  }

  private alternatives(): string {
    let source = this.sequence();
    while (this.take("|")) source += `|${this.sequence()}`;
    return source;
  }

  private sequence(): string {
    let source = "";
    for (;;) {
      if (this.flags.x) this.skipVerbose();
      const c = this.peek();
      if (c === "" || c === "|" || c === ")") return source;
      const start = this.at;
      const atom = this.atom();
      if (this.flags.x) this.skipVerbose();
      source += this.quantified(atom, start);
    }
  }

  private skipVerbose(): void {
    for (;;) {
      const c = this.peek();
      if (c !== "" && " \t\n\r\f\v".includes(c)) this.at++;
      else if (c === "#") while (this.peek() !== "" && this.next() !== "\n");
      else return;
    }
  }

  private quantified(atom: string, start: number): string {
    const rest = this.chars.slice(this.at, this.at + 24).join("");
    const m = /^(?:[*+?]|\{(\d*)(,?)(\d*)\})/.exec(rest);
    if (!m || m[0] === "{}") return atom;
    if (atom === "") this.fail("nothing to repeat");
    if (/^(?:[\^$]|\\[AZbB])\s*$/.test(this.chars.slice(start, this.at).join("")))
      this.fail("nothing to repeat");
    this.at += m[0].length;
    let quantifier = m[0];
    if (quantifier[0] === "{") quantifier = `{${m[1] || "0"}${m[2]}${m[3]}}`;
    if (this.take("?")) quantifier += "?";
    else if (this.take("+")) return this.atomic(`${wrap(atom)}${quantifier}`);
    else if (/^[*+]|^\{\d*,?\d*\}/.test(this.chars.slice(this.at, this.at + 24).join("")))
      this.fail("multiple repeat");
    return `${wrap(atom)}${quantifier}`;
  }

  /** (?>…): what matched is not given back. */
  private atomic(source: string): string {
    const name = `atomic${++this.atomics}`;
    return `(?:(?=(?<${name}>${source}))\\k<${name}>)`;
  }

  private atom(): string {
    const c = this.next();
    switch (c) {
      case ".":
        return this.flags.s ? "[\\s\\S]" : "[^\\n]";
      case "^":
        return this.flags.m ? "(?<=^|\\n)" : "^";
      case "$":
        return this.flags.m ? "(?=\\n|$)" : "(?=\\n?$)";
      case "[":
        return this.set();
      case "(":
        return this.group();
      case "\\":
        return this.escape();
      case "*":
      case "+":
      case "?":
        return this.fail("nothing to repeat");
      case "{":
        // A brace that begins no quantifier is itself.
        if (/^(?:\d+,?\d*|,\d*)\}/.test(this.chars.slice(this.at, this.at + 24).join(""))) {
          this.fail("nothing to repeat");
        }
        return "\\{";
      default:
        return literal(c);
    }
  }

  private group(): string {
    if (!this.take("?")) return this.capture(undefined);
    if (this.take(":")) return this.close(`(?:${this.alternatives()}`);
    if (this.take(">")) {
      const source = this.alternatives();
      if (!this.take(")")) this.fail("a parenthesis is not closed");
      return this.atomic(source);
    }
    for (const look of ["<=", "<!", "=", "!"]) {
      if (this.take(look)) return this.close(`(?${look}${this.alternatives()}`);
    }
    if (this.take("#")) {
      while (this.next() !== ")");
      return "";
    }
    if (this.take("P<")) return this.capture(this.name(">"));
    if (this.take("P=")) return this.reference(this.name(")"));
    if (this.peek() === "(") this.fail("JavaScript has no conditional groups (?(…)…)");
    if (/[aiLmsux-]/.test(this.peek())) {
      this.fail("flags have to be at the start, as in (?i); flags for a part are not supported");
    }
    return this.fail("unknown extension (?…");
  }

  private name(end: string): string {
    let name = "";
    for (let c = this.next(); c !== end; c = this.next()) name += c;
    if (!/^[\p{L}_][\p{L}\p{N}_]*$/u.test(name)) this.fail(`"${name}" is no name for a group`);
    return name;
  }

  private capture(name: string | undefined): string {
    // Every group gets a name of ours, because atomic groups add some of their own between.
    const id = `group${++this.groups}`;
    this.names.set(String(this.groups), id);
    if (name !== undefined) {
      if (this.names.has(name)) this.fail(`the group name "${name}" is there twice`);
      this.names.set(name, id);
    }
    this.open.add(id);
    const source = this.close(`(?<${id}>${this.alternatives()}`);
    this.open.delete(id);
    return source;
  }

  private close(source: string): string {
    if (!this.take(")")) this.fail("a parenthesis is not closed");
    return `${source})`;
  }

  private reference(name: string): string {
    const id = this.names.get(name);
    if (id === undefined || this.open.has(id)) this.fail(`there is no group ${name} to refer to`);
    return `\\k<${id}>`;
  }

  private classOf(letter: string): string {
    return (this.flags.a ? ASCII : UNICODE)[letter]!;
  }

  private escape(): string {
    const c = this.next();
    if ("dws".includes(c)) return `[${this.classOf(c)}]`;
    if ("DWS".includes(c)) return `[^${this.classOf(c.toLowerCase())}]`;
    const word = `[${this.classOf("w")}]`;
    switch (c) {
      case "A":
        return "^";
      case "Z":
        return "$";
      case "b":
        return `(?:(?<=${word})(?!${word})|(?<!${word})(?=${word}))`;
      case "B":
        return `(?:(?<=${word})(?=${word})|(?<!${word})(?!${word}))`;
    }
    if (/[1-9]/.test(c)) {
      // Three octal digits are a character, otherwise it is a reference to a group.
      if (/[0-3]/.test(c) && /[0-7]/.test(this.peek()) && /[0-7]/.test(this.peek(1))) {
        return literal(String.fromCharCode(Number.parseInt(c + this.next() + this.next(), 8)));
      }
      return this.reference(/[0-9]/.test(this.peek()) ? c + this.next() : c);
    }
    return literal(this.character(c));
  }

  /** The character an escape stands for, the same in and outside of sets. */
  private character(c: string): string {
    const control = CONTROL[c];
    if (control !== undefined) return control;
    const width = { x: 2, u: 4, U: 8 }[c];
    if (width) {
      const hex = this.chars.slice(this.at, this.at + width).join("");
      const code = Number.parseInt(hex, 16);
      if (hex.length !== width || !/^[0-9a-fA-F]+$/.test(hex) || code > 0x10ffff)
        this.fail(`incomplete escape \\${c}`);
      this.at += width;
      return String.fromCodePoint(code);
    }
    if (/[0-7]/.test(c)) {
      let octal = c;
      while (octal.length < 3 && /[0-7]/.test(this.peek())) octal += this.next();
      return String.fromCharCode(Number.parseInt(octal, 8));
    }
    if (/[A-Za-z0-9]/.test(c)) this.fail(`unknown escape \\${c}`);
    return c;
  }

  private set(): string {
    const negated = this.take("^");
    let members = "";
    for (let first = true; first || this.peek() !== "]"; first = false) {
      const from = this.member();
      if (this.peek() === "-" && this.peek(1) !== "]" && this.peek(1) !== "") {
        this.at++;
        const to = this.member();
        if (isClass(from) || isClass(to)) this.fail("a class cannot be the end of a range");
        if (from.codePointAt(0)! > to.codePointAt(0)!)
          this.fail(`the range ${from}-${to} is the wrong way round`);
        members += `${literal(from)}-${literal(to)}`;
      } else members += isClass(from) ? from : literal(from);
    }
    this.at++;
    return `[${negated ? "^" : ""}${members}]`;
  }

  /** A character, or a class as a set of its own ("[…]"). */
  private member(): string {
    const c = this.next();
    if (c !== "\\") return c;
    const e = this.next();
    if ("dws".includes(e)) return `[${this.classOf(e)}]`;
    if ("DWS".includes(e)) return `[^${this.classOf(e.toLowerCase())}]`;
    if (/[89]/.test(e)) this.fail(`unknown escape \\${e}`);
    return this.character(e);
  }
}

/** Tells a member that is a class from one that is the character "[". */
const isClass = (member: string) => member.length > 2;

/** Groups what is more than one element, so that a quantifier applies to all of it. */
function wrap(atom: string): string {
  return /^(?:\[.*\]|\(.*\)|\\u\{[0-9a-f]+\}|.)$/s.test(atom) && !/^\(\?<?[=!]/.test(atom)
    ? atom
    : `(?:${atom})`;
}

/** A regular expression to search with. @throws ArgumentError for what is not valid or not possible */
export function pythonRegex(text: string): RegExp {
  return new Translator(text).translate();
}
