// An item: one entry of an archive, with the keys of Borg's item.pyx (1.4). Times are nanoseconds since the
// epoch; paths, names and targets are strings in which undecodable bytes are lone surrogates (U+DC80..U+DCFF),
// as Python's surrogateescape gives them.

/** One chunk of a file: id (32 bytes), plaintext size and stored size in bytes. */
export interface ChunkRef {
  id: Uint8Array;
  size: number;
  csize: number;
}

export interface Item {
  path: string;
  /** Target of a symlink, or the path of the hard link master. */
  source?: string;
  mode: number;
  uid?: number;
  gid?: number;
  /** null where the id has no name. */
  user?: string | null;
  group?: string | null;
  mtime?: bigint;
  atime?: bigint;
  ctime?: bigint;
  birthtime?: bigint;
  rdev?: number | bigint;
  bsdflags?: number;
  acl_access?: Uint8Array;
  acl_default?: Uint8Array;
  acl_extended?: Uint8Array;
  acl_nfs4?: Uint8Array;
  /** Names surrogate-escaped; null for an empty value, as Borg stores it. */
  xattrs?: Map<string, Uint8Array | null>;
  chunks?: ChunkRef[];
  chunks_healthy?: ChunkRef[];
  hardlink_master?: boolean;
  nlink?: number;
  size?: number;
  part?: number;
  /** Keys this program does not know, kept so that rewriting an archive loses nothing. */
  unknown?: Map<string, unknown>;
  /** The whole item as it is stored, where its reader asked for it. No key of an item. */
  encoded?: Uint8Array;
}
