// How many messages the hash kernels take at once. By engine and not by a probe: a kernel is slow until it has been
// optimised in the background, so a short measurement would compare baseline code. bench/kernels prints all variants.
import { engine } from "../runtime/engine.ts";

export interface Lanes {
  sha256: 4 | 5;
  blake2b: 3 | 5;
}

/** Every variant, the engine's own first. */
export function laneVariants(): Lanes[] {
  const own = engineLanes();
  return [own, { sha256: own.sha256 === 4 ? 5 : 4, blake2b: own.blake2b === 3 ? 5 : 3 }];
}

/**
 * GB/s on Zen 5. SHA-256 with 4 / 5: V8 11 and 12 (Node 20, 22) 0.84 / 0.76, V8 13 and 14 0.90 / 1.08, JavaScriptCore
 * 0.65 / 0.32. BLAKE2b with 3 / 5: V8 1.8 to 1.9 / 1.2 to 1.7, JavaScriptCore 0.49 / 1.5.
 */
export function engineLanes(): Lanes {
  if (engine.name === "jsc") return { sha256: 4, blake2b: 5 };
  return { sha256: engine.major >= 13 ? 5 : 4, blake2b: 3 };
}
