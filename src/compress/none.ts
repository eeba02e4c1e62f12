// "none": the data behind the header 00 00.
import { type Encoder, tooLarge, withHeader } from "./codec.ts";

export const noneEncoder: Encoder = {
  name: "none",
  compress: (data) => withHeader(0, data),
  decide: () => "none",
};

export function decodeNone(blob: Uint8Array, maxSize: number): Uint8Array {
  if (blob.length - 2 > maxSize) throw tooLarge(maxSize);
  return blob.slice(2);
}
