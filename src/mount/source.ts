// What a mount needs of a repository: its archives, where their item streams are, and decrypted chunks by id.
// The command line gives an implementation over an opened repository; tests give one in memory.

export interface MountArchive {
  /** Surrogate-escaped. */
  name: string;
  /** Start of the archive, nanoseconds since the epoch: the mtime of its directory. */
  timeNs: bigint;
}

export interface MountSource {
  /** The archives to show, in Borg's order. */
  archives(): MountArchive[];
  /** Ids (32 bytes) of the chunks that an archive's item stream is made of. */
  itemChunks(archive: MountArchive): Promise<Uint8Array[]>;
  /** Decrypted, verified chunks in the order of the ids; undefined where the repository has none or it is bad. */
  getChunks(ids: Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  /** The same where that needs no waiting: saves a promise for each chunk.
   *  @param take gives memory of a size, which is used for chunks where that saves other memory; chunks may begin
   *  behind its beginning. Other chunks have memory of their own, which the caller may release. */
  getChunksNow?(ids: readonly Uint8Array[], take?: (size: number) => Uint8Array): (Uint8Array | undefined)[];
}
