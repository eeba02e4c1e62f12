// Totals of an archive while it is made or read: original, compressed and deduplicated bytes, and files. Part
// files (pieces of a large file, written with checkpoints) are counted apart, as in Borg's Statistics.

export class Statistics {
  osize = 0;
  csize = 0;
  usize = 0;
  nfiles = 0;
  osizeParts = 0;
  csizeParts = 0;
  usizeParts = 0;
  nfilesParts = 0;

  /** Counts a reference to a chunk; `unique` where it was the first (or, with negative sizes, the last). */
  update(size: number, csize: number, unique: boolean, part = false): void {
    if (part) {
      this.osizeParts += size;
      this.csizeParts += csize;
      if (unique) this.usizeParts += csize;
    } else {
      this.osize += size;
      this.csize += csize;
      if (unique) this.usize += csize;
    }
  }

  add(other: Statistics): void {
    this.osize += other.osize;
    this.csize += other.csize;
    this.usize += other.usize;
    this.nfiles += other.nfiles;
    this.osizeParts += other.osizeParts;
    this.csizeParts += other.csizeParts;
    this.usizeParts += other.usizeParts;
    this.nfilesParts += other.nfilesParts;
  }

  /** Under the names of Borg's JSON. */
  toJSON(): { original_size: number; compressed_size: number; deduplicated_size: number; nfiles: number } {
    return {
      original_size: this.osize,
      compressed_size: this.csize,
      deduplicated_size: this.usize,
      nfiles: this.nfiles,
    };
  }
}
