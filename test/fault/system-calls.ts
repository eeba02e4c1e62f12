// Hooks into every system call that the program makes in this process: node:fs's synchronous functions (for a vi.mock of
// "node:fs") and those of the C library by FFI. They can be counted, made to fail, and reads and writes made short.
import type * as nodeFs from "node:fs";
import { libc } from "../../src/runtime/libc.ts";

export interface Faults {
  /** Called before each call; an error code makes it fail. */
  before: ((call: string, args: readonly unknown[]) => string | undefined) | undefined;
  /** At most how many bytes a read or write of this many transfers. */
  transfer: ((bytes: number) => number) | undefined;
}

export const faults: Faults = { before: undefined, transfer: undefined };

const ERRNO: Record<string, number> = { EIO: 5, EACCES: 13, EMFILE: 24, ENOSPC: 28, EROFS: 30, ENOENT: 2 };

/** For vi.mock("node:fs", async (original) => hookedFs(await original())). */
export function hookedFs<T extends typeof nodeFs>(real: T): T {
  const hooked: Record<string, unknown> = { ...real };
  for (const [name, f] of Object.entries(real)) {
    if (!name.endsWith("Sync") || typeof f !== "function" || name === "existsSync") continue;
    hooked[name] = (...args: unknown[]) => {
      const code = faults.before?.(name, args);
      // A descriptor is gone even where closing it fails.
      if (code && name === "closeSync") (f as (...a: unknown[]) => unknown)(...args);
      if (code) throw Object.assign(new Error(`${code}: simulated, ${name}`), { code, syscall: name });
      if (faults.transfer && (name === "readSync" || name === "writeSync")) shorten(args, faults.transfer);
      return (f as (...a: unknown[]) => unknown)(...args);
    };
  }
  return { ...hooked, default: { ...hooked } } as unknown as T;
}

/** (fd, buffer), (fd, buffer, offset, length, position) → fewer bytes. */
function shorten(args: unknown[], transfer: (bytes: number) => number): void {
  const buffer = args[1] as Uint8Array;
  if (!(buffer instanceof Uint8Array)) return;
  const offset = (args[2] as number | undefined) ?? 0;
  const length = (args[3] as number | undefined) ?? buffer.length - offset;
  if (length <= 1) return;
  args[1] = buffer;
  args[2] = offset;
  args[3] = Math.max(1, Math.min(length, transfer(length)));
  if (args.length === 4) args[4] = null;
}

/** Puts the hook before the C library's functions; to be called before the first of them is used. */
export function hookLibc(): void {
  const c = libc();
  if (!c) return;
  const find = c.find.bind(c);
  const { errno } = c.ffi;
  let forced: number | undefined;
  c.ffi.errno = () => forced ?? errno(); // until the next call
  c.find = (name) => {
    const f = find(name);
    if (!f || name.startsWith("get")) return f;
    return (...args) => {
      const code = faults.before?.(name, args);
      forced = undefined;
      if (!code) {
        const { transfer } = faults;
        if (transfer && (name === "read" || name === "pread") && args[2]! > 1)
          args[2] = Math.max(1, Math.min(args[2]!, transfer(args[2]!)));
        return f(...args);
      }
      if (name === "close") f(...args); // gone even where closing it fails
      forced = ERRNO[code]!;
      return -1;
    };
  };
}
