// "auto": LZ4 tells whether a chunk compresses at all. Only where it saves more than 3 % is the expensive codec
// tried, and only where that saves another 1 % is its result taken (Borg's compress.pyx, class Auto).
import type { CodecName, Encoder } from "./codec.ts";

const WORTH_TRYING = 0.97;
const WORTH_TAKING = 0.99;

export function autoEncoder(lz4: Encoder, expensive: Encoder): Encoder {
  const tryLz4 = (data: Uint8Array) => {
    const cheap = lz4.compress(data);
    // Both sizes with the two bytes of a header.
    return { cheap, worth: cheap.length / (data.length + 2) < WORTH_TRYING };
  };
  return {
    name: expensive.name,
    compress(data) {
      const { cheap, worth } = tryLz4(data);
      if (!worth) return cheap;
      const best = expensive.compress(data);
      return best.length / cheap.length < WORTH_TAKING ? best : cheap;
    },
    decide(data): CodecName {
      const { cheap, worth } = tryLz4(data);
      if (worth) return expensive.name;
      return cheap[0] === 1 ? "lz4" : "none";
    },
  };
}
