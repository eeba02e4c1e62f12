// What reading a directory gives, on every runtime.
/** One name of a directory. `dtype` is a DT_* number; DT_UNKNOWN where the file system does not tell. */
export interface FsEntry {
  name: string;
  /** Inode number; a bigint above 2^53. Without FFI 0 for mount points. */
  ino: number | bigint;
  dtype: number;
}
