// Makes the one file out of many parts: a small head that runs at once, and every other part as the text of a
// function that is compiled when something first asks for it. Measured with the same 785 KB: as modules of one
// bundle they cost 18 ms of start-up on Node 24, 12 on Bun and 43 on Deno (even functions nobody calls are scanned,
// and every node: module of every part is loaded); as text 3, 2 and 18.
//
// esbuild splits the program at its dynamic imports. Static imports between its chunks have no circles, and nothing
// exported is assigned later, so that a part can take what it needs as constants when it starts.
import { basename } from "node:path";
import { build, transform } from "esbuild";

// As esbuild writes them when it does not minify.
const IMPORT = /^import (\{[^}]*\}|\* as [\w$]+|[\w$]+) from "([^"]+)";\n/gm;
const EFFECT = /^import "([^"]+)";\n/gm;
const EXPORTS = /^export \{([^}]*)\};\n/m;
const SLOW = new Set(["node:child_process", "node:crypto", "node:tty", "node:v8", "node:zlib"]);
const DYNAMIC = /\bimport\("([^"]+)"\)/g;

// Text of the module around the parts. eval, because it gives every runtime a compiled function of a text at once, and
// parentheses, because V8 then compiles it right away instead of scanning it first.
const PARTS = `
const __late = {};
for (const name of ["child_process", "crypto", "tty", "v8", "zlib"])
  Object.defineProperty(__late, name, { configurable: true, get: () => kept(name) });
const kept = (name) => Object.defineProperty(__late, name, { value: __builtin("node:" + name) })[name];
const __given = [];
const __part = (i) => (__given[i] ??= (0, eval)(__texts[i])(__part, __lazy, __builtin, __late, __address));
const __lazy = async (i) => __part(i);
`;
const LOADER = `
const __address = import.meta.url;
const __builtin = process.getBuiltinModule ?? (await import("node:module")).createRequire(__address);
${PARTS}`;
// A thread gets the parts that threads need instead of the whole file: 3 MB and 5 ms less for each on Node. (Bun and Deno
// load the file.)
const THREAD = `
const { texts: __texts, address: __address } = require("node:worker_threads").workerData.program;
const __builtin = process.getBuiltinModule ?? require;
${PARTS}`;
const THREAD_ENTRY = "src/archive/worker.ts";

/** @param options esbuild's, without entry and output. @returns the text of the file */
export async function oneFile(entry, options, banner) {
  const { outputFiles, metafile } = await build({
    ...options,
    entryPoints: [entry],
    outdir: "dist",
    splitting: true,
    minify: false,
    metafile: true,
    write: false,
  });
  const outputs = Object.entries(metafile.outputs);
  const headName = basename(outputs.find(([, o]) => o.entryPoint === entry)[0]);
  const files = outputFiles.map((f) => ({ name: basename(f.path), text: f.text }));
  const parts = files.filter((f) => f.name !== headName && f.text.trim() !== "");
  // In an order that does not depend on the names' hashes alone, so that builds can be compared.
  parts.sort((a, b) => (a.name < b.name ? -1 : 1));
  const numbers = new Map(parts.map((f, i) => [`./${f.name}`, i]));
  const texts = await Promise.all(parts.map((f) => asFunction(f, numbers, options)));
  // What the thread's entry leads to, by whatever kind of import.
  const chunks = new Map(outputs.map(([path, output]) => [basename(path), output]));
  const reached = new Set([basename(outputs.find(([, o]) => o.entryPoint === THREAD_ENTRY)[0])]);
  for (const name of reached)
    for (const { path, external } of chunks.get(name).imports) if (!external) reached.add(basename(path));
  const [entryNumber, ...others] = [...reached]
    .map((name) => numbers.get(`./${name}`))
    .filter((n) => n !== undefined);
  const thread = `${THREAD}\n__lazy(${entryNumber}).then(({ workerMain }) => workerMain());`;
  const threadCode = (await transform(thread, { ...forTransform(options), minifyIdentifiers: false })).code;
  const needed = `Object.fromEntries([${[entryNumber, ...others]}].map((n) => [n, __texts[n]]))`;
  const program = `{ code: ${JSON.stringify(threadCode)}, address: __address, texts: () => ${needed} }`;
  const head = converted(
    files.find((f) => f.name === headName),
    numbers,
  );
  const list = texts.map((text) => `\n${quoted(text)}`).join(",");
  const { code } = await transform(`${LOADER}__part.threads = ${program};\n${head.body}`, {
    ...forTransform(options),
    minifyIdentifiers: false,
  });
  return `${banner}\nvar __texts=[${list}\n];\n${code}`;
}

/** A chunk as the text of one function of what the loader gives. */
async function asFunction(file, numbers, options) {
  const params = "__part, __lazy, __builtin, __late, __address";
  const { body, late } = converted(file, numbers);
  const { code } = await transform(`__define(function (${params}) {\n"use strict";\n${body}});`, {
    ...forTransform(options),
    define: { "import.meta.url": "__address", __ALCOVE_THREADS__: "__part.threads", ...late },
  });
  const text = code.trim().replace(/^__define\((.*)\);$/s, "($1)");
  if (!text.startsWith("(function") || /\bimport\.meta\b/.test(text))
    throw new Error(`${file.name} holds what only a module may`);
  return text;
}

const forTransform = ({ target }) => ({ loader: "js", target, minify: true, legalComments: "none" });

/** Imports become constants at the top, exports an object that is returned. */
function converted({ name, text }, numbers) {
  const needs = [];
  const late = {};
  let gives = "";
  const source = (from) => {
    if (numbers.has(from)) return `__part(${numbers.get(from)})`;
    if (from.startsWith("node:")) return `__builtin(${JSON.stringify(from)})`;
    throw new Error(`${name} imports ${from}`);
  };
  const body = text
    .replace(EXPORTS, (_, list) => {
      const pairs = list.split(",").map((one) => one.trim().split(/\s+as\s+/));
      gives = `return { ${pairs.map(([inner, outer = inner]) => `${outer}: ${inner}`).join(", ")} };\n`;
      return "";
    })
    .replace(IMPORT, (_, what, from) => {
      const later = onDemand(what, from, late);
      if (later !== undefined) {
        needs.push(later);
        return "";
      }
      const pattern = what.startsWith("{") ? what.replace(/\s+as\s+/g, ": ") : what.replace("* as ", "");
      needs.push(`const ${pattern} = ${source(from)};\n`);
      return "";
    })
    .replace(EFFECT, (_, from) => {
      // What has nothing to do but its effects; chunks that turned out empty are none.
      if (numbers.has(from)) needs.push(`${source(from)};\n`);
      return "";
    })
    .replace(DYNAMIC, (_, from) =>
      numbers.has(from) ? `__lazy(${numbers.get(from)})` : `Promise.resolve().then(() => ${source(from)})`,
    );
  return { body: needs.join("") + body + gives, late };
}

/** Modules that take milliseconds to load (node:tty 5 on Bun, node:crypto 4 on Node) are loaded by the first use: each
 *  mention of a whole module becomes one of __late's property, and the first call of a function puts the function
 *  itself in its own place. Anything else of them is needed at once. */
function onDemand(what, from, late) {
  if (!SLOW.has(from)) return undefined;
  if (!what.startsWith("{")) {
    late[what.replace("* as ", "")] = `__late.${from.slice("node:".length)}`;
    return "";
  }
  const names = what
    .slice(1, -1)
    .split(",")
    .map((one) => one.trim().split(/\s+as\s+/));
  const isFunction = ([name]) =>
    /^[a-z]/.test(name) && typeof process.getBuiltinModule(from)[name] === "function";
  if (!names.every(isFunction)) return undefined;
  const define = ([name, local = name]) =>
    `let ${local} = (...args) => (${local} = __builtin("${from}").${name})(...args);\n`;
  return names.map(define).join("");
}

/** A literal of the quotes that need the fewest escapes. */
function quoted(text) {
  const count = (quote) => text.split(quote).length;
  const quote = ["'", '"', "`"].reduce((a, b) => (count(b) < count(a) ? b : a));
  const escaped = text.replaceAll("\\", "\\\\").replaceAll(quote, `\\${quote}`);
  if (quote === "`") return `\`${escaped.replaceAll("${", "\\${")}\``;
  return quote + escaped.replaceAll("\n", "\\n").replaceAll("\r", "\\r") + quote;
}
