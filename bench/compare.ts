// Whether what was extracted is what was backed up: a fast wrong answer counts as nothing.
import { execFileSync } from "node:child_process";

/** Types, permissions, sizes, times, targets and contents. @throws Error at the first difference */
export function compare(source: string, copy: string): void {
  const list = (dir: string): string =>
    execFileSync(
      "sh",
      [
        "-c",
        "find . -mindepth 1 -printf '%P %y %m %n %U %G %T@ %l %s\\n' | sed 's/ d \\(.*\\) [0-9]*$/ d \\1/' | sort",
      ],
      {
        cwd: dir,
        encoding: "utf8",
        maxBuffer: 1 << 28,
      },
    );
  if (list(source) !== list(copy)) throw new Error("the metadata of what was extracted differs");
  execFileSync("diff", ["-rq", "--no-dereference", source, copy]);
}
