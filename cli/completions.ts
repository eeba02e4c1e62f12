// Shell completions and the manual page, written from the table. The scripts are static text: completing needs no
// start of the program. They complete commands, options, choices, files, and leave archive names to the user.
import { commandGroups, commands, commonOptions } from "./options.ts";
import type { CommandSpec, OptionSpec } from "./table/spec.ts";

/** All options of a command, old spellings left out. */
function completed(command: CommandSpec | undefined): OptionSpec[] {
  return [...(command?.options ?? []), ...commonOptions].filter((o) => !o.standsFor && !o.deprecated);
}

const firstWords = [...new Set(commands.map((c) => c.name.split(" ")[0]!))];
const membersOf = (group: string) =>
  commands
    .filter((c) => c.name.startsWith(`${group} `))
    .map((c) => ({ ...c, short: c.name.slice(group.length + 1) }));
const flagsOf = (options: readonly OptionSpec[]) => options.flatMap((o) => [...o.flags]);
const summaryOf = (word: string) => commandGroups.get(word) ?? commands.find((c) => c.name === word)!.summary;
const topicWords = ["patterns", "placeholders", "compression", "common"];
/** Values that can be completed, by flag. */
function choicesOf(option: OptionSpec): readonly string[] {
  if (option.choices) return option.choices;
  if (option.type === "compression") return ["none", "lz4", "zstd", "zlib", "lzma", "auto,lzma", "auto,zstd"];
  if (option.type === "sort-keys") return ["timestamp", "name", "id"];
  return [];
}

export function bashCompletion(program: string): string {
  const fn = `_${program}_complete`;
  const cases = commands.map((c) => `    "${c.name}") words="${flagsOf(completed(c)).join(" ")}" ;;`);
  const groups = [...commandGroups.keys()].map(
    (g) =>
      `    "${g}") words="${membersOf(g)
        .map((c) => c.short)
        .join(" ")}" ;;`,
  );
  const valued = new Map<string, Set<string>>();
  for (const option of commands.flatMap((c) => [...c.options])) {
    const choices = choicesOf(option);
    if (!choices.length) continue;
    const key = choices.join(" ");
    const set = valued.get(key) ?? new Set<string>();
    for (const f of option.flags) set.add(f);
    valued.set(key, set);
  }
  // A flag that means different things in different commands (-e of init and create) is left alone.
  const counts = new Map<string, number>();
  for (const set of valued.values()) for (const f of set) counts.set(f, (counts.get(f) ?? 0) + 1);
  const valueCases = [...valued].map(([choices, flags]) => {
    const own = [...flags].filter((f) => counts.get(f) === 1 && f.startsWith("--"));
    return `    ${own.join("|")}) COMPREPLY=($(compgen -W "${choices}" -- "$cur")); return ;;`;
  });
  return `# bash completion for ${program}; made by "${program} completions bash"
${fn}() {
  local cur prev command="" group="" word words="" i
  cur="\${COMP_WORDS[COMP_CWORD]}"
  prev="\${COMP_WORDS[COMP_CWORD-1]}"
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$word" in
      -*) ;;
      *)
        if [[ -n "$group" ]]; then command="$group $word"; break; fi
        case "$word" in
          ${[...commandGroups.keys()].join("|")}) group="$word" ;;
          ${firstWords.filter((w) => !commandGroups.has(w)).join("|")}) command="$word"; break ;;
        esac ;;
    esac
  done
  case "$prev" in
${valueCases.join("\n")}
  esac
  if [[ -z "$command" && "$cur" != -* ]]; then
    case "$group" in
${groups.join("\n")}
    "") words="${firstWords.join(" ")}" ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    return
  fi
  if [[ "$cur" == -* ]]; then
    case "$command" in
${cases.join("\n")}
    *) words="${flagsOf(completed(undefined)).join(" ")} -V --version" ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    return
  fi
  case "$command" in
    help) COMPREPLY=($(compgen -W "${[...firstWords, ...topicWords].join(" ")}" -- "$cur")) ;;
    completions) COMPREPLY=($(compgen -W "bash zsh fish man" -- "$cur")) ;;
    *) COMPREPLY=($(compgen -f -- "$cur")) ;;
  esac
}
complete -o filenames -o bashdefault -F ${fn} ${program}
`;
}

const zshText = (text: string) =>
  text.replaceAll("'", "'\\''").replaceAll("[", "\\[").replaceAll("]", "\\]").replaceAll(":", "\\:");

function zshOptions(options: readonly OptionSpec[]): string {
  return options
    .flatMap((o) =>
      o.flags.map((f) => {
        const choices = choicesOf(o);
        const action = choices.length ? `(${choices.join(" ")})` : "_files";
        const value = o.value === undefined ? "" : `:${zshText(o.value)}:${action}`;
        return `'*${f}${o.value === undefined || !f.startsWith("--") ? "" : "="}[${zshText(o.help)}]${value}'`;
      }),
    )
    .join(" \\\n        ");
}

export function zshCompletion(program: string): string {
  const fn = `_${program}`;
  const describe = (words: readonly (readonly [string, string])[]) =>
    words.map(([w, what]) => `'${w}:${what.replaceAll("'", "'\\''").replaceAll(":", "\\:")}'`).join(" ");
  const cases = commands.map((c) => {
    const last =
      c.name === "help"
        ? `(${[...firstWords, ...topicWords].join(" ")})`
        : c.name === "completions"
          ? "(bash zsh fish man)"
          : "_files";
    return `      "${c.name}") _arguments -s -S ${zshOptions(completed(c))} \\\n        '*:argument:${last}' ;;`;
  });
  const groupCases = [...commandGroups.keys()].map(
    (g) =>
      `      ${g}) members=(${describe(membersOf(g).map((c) => [c.short, c.summary] as const))}); _describe command members ;;`,
  );
  return `#compdef ${program}
# zsh completion for ${program}; made by "${program} completions zsh"
${fn}() {
  local -a commands members
  local command="" group="" i word
  commands=(${describe(firstWords.map((w) => [w, summaryOf(w)] as const))})
  for ((i = 2; i < CURRENT; i++)); do
    word="\${words[i]}"
    case "$word" in
      -*) ;;
      ${[...commandGroups.keys()].join("|")}) if [[ -n "$group" ]]; then command="$group $word"; break; else group="$word"; fi ;;
      *) if [[ -n "$group" ]]; then command="$group $word"; else command="$word"; fi; break ;;
    esac
  done
  if [[ -n "$command" ]]; then
    words=("\${words[1]}" "\${(@)words[i+1,-1]}")
    ((CURRENT = CURRENT - i + 1))
    case "$command" in
${cases.join("\n")}
    esac
  elif [[ "\${words[CURRENT]}" == -* ]]; then
    _arguments -s ${zshOptions(completed(undefined))}
  elif [[ -n "$group" ]]; then
    case "$group" in
${groupCases.join("\n")}
    esac
  else
    _describe command commands
  fi
}
${fn} "$@"
`;
}

export function fishCompletion(program: string): string {
  const quote = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines: string[] = [`# fish completion for ${program}; made by "${program} completions fish"`];
  const option = (o: OptionSpec, condition: string) => {
    const names = o.flags.map((f) => (f.startsWith("--") ? `-l ${f.slice(2)}` : `-s ${f[1]}`)).join(" ");
    const choices = choicesOf(o);
    const value = o.value === undefined ? "" : choices.length ? ` -x -a ${quote(choices.join(" "))}` : " -r";
    lines.push(`complete -c ${program}${condition} ${names}${value} -d ${quote(o.help)}`);
  };
  for (const o of completed(undefined)) option(o, "");
  const seen = (words: readonly string[]) => `__fish_seen_subcommand_from ${words.join(" ")}`;
  for (const word of firstWords) {
    lines.push(
      `complete -c ${program} -n ${quote(`not ${seen(firstWords)}`)} -f -a ${word} -d ${quote(summaryOf(word))}`,
    );
  }
  for (const group of commandGroups.keys()) {
    const members = membersOf(group);
    for (const c of members) {
      const condition = `${seen([group])}; and not ${seen(members.map((m) => m.short))}`;
      lines.push(`complete -c ${program} -n ${quote(condition)} -f -a ${c.short} -d ${quote(c.summary)}`);
    }
  }
  for (const c of commands) {
    // "info" is a command, and a member of debug.
    const words = c.name.split(" ").map((w) => seen([w]));
    if (words.length === 1) words.push(`not ${seen([...commandGroups.keys()])}`);
    const condition = ` -n ${quote(words.join("; and "))}`;
    for (const o of c.options) if (!o.standsFor && !o.deprecated) option(o, condition);
  }
  return `${lines.join("\n")}\n`;
}
