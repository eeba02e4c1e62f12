// Runs a program and tells wall time, CPU time and peak memory of it and its children. CPU time is what the shell's
// `times` says of its children (10 ms steps); memory is the kernel's high-water mark, read while the program runs.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

export interface Measured {
  /** Seconds. */
  wall: number;
  cpu: number;
  /** KiB, summed over the processes of the tree. */
  memory: number;
  stderr: string;
}

const SHELL = '"$@" >/dev/null; code=$?; times >&3; exit $code';

/** @throws Error if the program ends with more than a warning */
export function measure(command: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<Measured> {
  return new Promise((resolve, reject) => {
    const began = process.hrtime.bigint();
    const child = spawn("/bin/sh", ["-c", SHELL, "sh", ...command], {
      cwd,
      env,
      stdio: ["ignore", "ignore", "pipe", "pipe"],
    });
    let stderr = "";
    let times = "";
    child.stderr!.on("data", (d) => {
      stderr += d;
    });
    child.stdio[3]!.on("data", (d) => {
      times += d;
    });
    const peaks = new Map<string, number>();
    // The kernel keeps the high-water mark: often is needed only where processes come and go. Each look takes time from
    // programs that use all processors.
    let looks = 0;
    const look = (): void => {
      watch(String(child.pid), peaks, true);
      timer = setTimeout(look, ++looks < 20 ? 20 : 100);
    };
    let timer = setTimeout(look, 20);
    child.on("error", reject);
    let wall = 0;
    child.on("exit", () => {
      wall = Number(process.hrtime.bigint() - began) / 1e9;
      clearTimeout(timer);
    });
    child.on("close", (code) => {
      if (code !== 0) {
        reject(new Error(`${command.join(" ")} ended with ${code}:\n${stderr}`));
        return;
      }
      let memory = 0;
      for (const kib of peaks.values()) memory += kib;
      resolve({ wall, cpu: childSeconds(times), memory, stderr });
    });
  });
}

function childSeconds(times: string): number {
  const fields = times.trim().split("\n").at(-1)!.trim().split(/\s+/);
  let sum = 0;
  for (const f of fields) {
    const m = /^(\d+)m([\d.]+)s$/.exec(f);
    if (m) sum += Number(m[1]) * 60 + Number(m[2]);
  }
  return sum;
}

function watch(pid: string, peaks: Map<string, number>, isShell: boolean): void {
  try {
    if (!isShell) {
      const kib = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
      if (kib) peaks.set(pid, Number(kib));
    }
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim();
    if (children) for (const c of children.split(/\s+/)) watch(c, peaks, false);
  } catch {
    // It has ended between two looks.
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
