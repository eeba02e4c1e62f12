// MessagePack, the encoding of Borg's metadata: see pack.ts and unpack.ts.
export { Float, Packer, type PackOptions, pack } from "./pack.ts";
export { Unpacker, type UnpackLimits, unpack } from "./unpack.ts";
