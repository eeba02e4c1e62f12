// How many messages the hash kernels take at once. By engine and not by a probe: a kernel is slow until it has been
// optimised in the background, so a short measurement would compare baseline code. bench/kernels prints all variants.
import { engine } from "../runtime/engine.ts";

export interface Lanes {
  /** "4c": four, with words of the schedule carried from round to round. */
  sha256: 4 | "4c" | 5;
  /** "3c": three, with the byte orders of rotations as constants. */
  blake2b: 3 | "3c" | 5;
}

/** Lanes that together use every variant of every kernel, the engine's own first. */
export function laneVariants(): Lanes[] {
  const own = engineLanes();
  const others = ([3, "3c", 5] as const).filter((variant) => variant !== own.blake2b);
  const sha256 = ([4, "4c", 5] as const).filter((variant) => variant !== own.sha256);
  return [own, ...others.map((blake2b, i) => ({ sha256: sha256[i]!, blake2b }))];
}

/**
 * GB/s on Zen 5. SHA-256 with 4 / 4c / 5: V8 11 and 12 (Node 20, 22) 0.82 / 0.85 / 0.76, V8 13 and 14 0.90 / 0.90 / 1.08,
 * JavaScriptCore 0.69 / 0.55 / 0.42. BLAKE2b with 3 / 3c / 5: V8 11 1.78 / 1.87 / 1.2, V8 13 and 14 1.92 / 1.73 / 1.7, JavaScriptCore
 * 0.49 / 0.47 / 1.5.
 */
export function engineLanes(): Lanes {
  if (engine.name === "jsc") return { sha256: 4, blake2b: 5 };
  return engine.major >= 13 ? { sha256: 5, blake2b: 3 } : { sha256: "4c", blake2b: "3c" };
}
