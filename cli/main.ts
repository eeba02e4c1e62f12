// The program's entry, and that of its workers on Deno and Bun, which load the same file: so what a
// worker thread has to do is decided here, before anything of the command line is loaded. What this module imports
// itself runs at every start: only the version is so cheap, and so often asked for by front ends, that it is here.
import { writeSync } from "node:fs";
import { ownVersion, programName, versionText } from "./version.ts";

const words = process.argv.slice(2);
if (words.length === 1 && (words[0] === "--version" || words[0] === "-V")) {
  const program = { name: programName(process.argv), version: ownVersion() };
  writeSync(1, `${versionText(program)}\n`);
} else if (words.at(-1) === "\0worker") {
  // As src/archive/pipeline/threads.ts starts them on Deno and Bun.
  const { workerMain } = await import("../src/archive/worker.ts");
  await workerMain();
} else {
  if (willBackUp(words)) {
    // A thread takes as long to start as everything that comes before its use.
    const { startSpare } = await import("../src/archive/pipeline/threads.ts");
    startSpare();
  }
  const { main } = await import("./process.ts");
  await main();
}

/** A guess, made before words are understood. */
function willBackUp(words: readonly string[]): boolean {
  const without = ["-n", "--dry-run", "-h", "--help"];
  if (words.some((word) => without.includes(word) || word.startsWith("--workers"))) return false;
  return words.find((word) => !word.startsWith("-")) === "create";
}
