// Tar archives, for export-tar and import-tar: see tar-header.ts, tar-reader.ts and tar-writer.ts.
export type { TarHeader, TarType } from "./tar-header.ts";
export { type TarEntry, TarReader } from "./tar-reader.ts";
export { type TarWriteEntry, TarWriter } from "./tar-writer.ts";
