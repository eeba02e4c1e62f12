// Every command line of the README works as it stands there: blocks marked sh are run in order, `alcove` being the
// built file. (`npm run demo` and `npm test` are run by CI itself.)
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { alcoveCommand, root, Sandbox } from "../support/programs.ts";

const box = new Sandbox();
afterAll(() => box.remove());

const lines = [...readFileSync(join(root, "README.md"), "utf8").matchAll(/```sh\n([\s\S]*?)```/g)]
  .flatMap((m) => m[1]!.trim().split("\n"))
  .filter((line) => !line.startsWith("npm "));

it("runs the README's commands", () => {
  expect(lines.length).toBeGreaterThan(10);
  const bin = box.path("bin");
  mkdirSync(bin);
  const [program, ...rest] = alcoveCommand();
  writeFileSync(
    join(bin, "alcove"),
    `#!/bin/sh\nexec '${program}' ${rest.map((a) => `'${a}'`).join(" ")} "$@"\n`,
  );
  chmodSync(join(bin, "alcove"), 0o755);
  mkdirSync(box.path("documents"));
  writeFileSync(box.path("documents/letter.txt"), "Dear reader,\n");
  for (const line of lines) {
    const r = box.run(["sh", "-c", line], { env: { PATH: `${bin}:${process.env["PATH"]}` } });
    expect(r, line).toMatchObject({ code: 0 });
  }
  expect(readFileSync(box.path("documents/letter.txt"), "utf8")).toBe("Dear reader,\n");
});
