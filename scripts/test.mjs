// `npm test`: all set-up, then every check: types, lint, build, and the whole suite on the built file.
// Arguments go to vitest (`npm test -- test/unit`).
import { checkNode, packages, programs, root, run, runtimes } from "./setup.mjs";

checkNode();
packages();
runtimes();
programs();
const bin = `${root}/node_modules/.bin`;
run(process.execPath, ["scripts/build.mjs"]);
run(`${bin}/tsc`, ["--noEmit", "-p", "tsconfig.json"]);
run(`${bin}/biome`, ["ci", "--diagnostic-level=error", "."]);
run(process.execPath, [`${root}/node_modules/vitest/vitest.mjs`, "run", ...process.argv.slice(2)]);
