// `serve` alone, as a program for tests: the command's own code without the rest of the command line.
import { run } from "../../cli/commands/serve.ts";

const lists: Record<string, string[]> = { "restrict-to-path": [], "restrict-to-repository": [] };
let appendOnly = false;
let quota: number | undefined;
let level = "warning";
const words = process.argv
  .slice(2)
  .flatMap((word) => (word.startsWith("--") ? word.split(/=(.*)/s, 2) : [word]));
for (let i = 0; i < words.length; i++) {
  const name = words[i]!.replace(/^--/, "");
  if (name in lists) lists[name]!.push(words[++i]!);
  else if (name === "append-only") appendOnly = true;
  else if (name === "storage-quota") quota = Number(words[++i]);
  else if (["debug", "info", "warning", "error", "critical"].includes(name)) level = name;
}
const levels = ["debug", "info", "warning", "error", "critical"];
const abort = new AbortController();
for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => abort.abort(new Error(signal)));
const args = {
  list: (name: string) => lists[name],
  flag: () => appendOnly,
  value: () => quota,
};
const ctx = {
  log: { enabled: (l: string) => levels.indexOf(l) >= levels.indexOf(level) },
  stderr: { write: (text: string) => process.stderr.write(text) },
  program: { name: "alcove", version: "test" },
  env: process.env,
  signal: abort.signal,
  exit: { ofError: () => 2 },
  checkSignal: () => abort.signal.throwIfAborted(),
};
const code = await run(args as never, ctx as never).catch((error) => {
  process.stderr.write(`${error.message}\n`);
  return 2;
});
process.exit(code ?? 0);
