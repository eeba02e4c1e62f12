// A large file in pieces, which go to whatever workers have time. Each piece ends at a cut that the chunker would make
// anyway (src/chunker/boundary.ts), and that its worker tells before it reads the piece, so that the next one can begin:
// together they are the file without a gap, whatever is written to it meanwhile.
import type { ChunkRef } from "../item.ts";
import { CHANGED, type FileRequest, type FilesChanged, type FreshStat } from "./messages.ts";
import type { PendingFile, ReadError, RunOfFiles } from "./pending-file.ts";

export class SplitFile {
  readonly file: PendingFile;
  readonly #mode: FilesChanged;
  readonly #pieces: Piece[] = [];
  /** Pieces whose chunks are in the file's list; those of the one behind them go there as they come. */
  #done = 0;
  #flags = 0;
  #error: ReadError | undefined;
  /** Where the next piece begins; Infinity behind the last one, undefined where it is not known yet. */
  #next: number | undefined = 0;

  constructor(file: PendingFile, mode: FilesChanged) {
    this.file = file;
    this.#mode = mode;
  }

  /** The piece to be read next, if its beginning is known. */
  get next(): FileRequest | undefined {
    if (this.isBegun || this.#next === undefined) return undefined;
    return { ...this.file.request, from: this.#next };
  }

  /** No further piece will be read. */
  get isBegun(): boolean {
    return this.#next === Number.POSITIVE_INFINITY || this.#error !== undefined;
  }

  /** Whether pieces are being read, so that there may be chunks behind a gap. */
  get isUnderWay(): boolean {
    return this.#done < this.#pieces.length;
  }

  /** The piece that `next` told of is on its way. @param bytes that it is thought to have */
  begin(bytes: number): Piece {
    const piece = new Piece(this, this.#next! + bytes);
    this.#next = undefined;
    this.#pieces.push(piece);
    return piece;
  }

  /** Takes the chunks behind a gap away. @returns them, to be given back */
  dropLoose(): ChunkRef[] {
    return this.#pieces.flatMap((piece) => piece.chunks.splice(0));
  }

  /** @internal */
  chunk(piece: Piece, chunk: ChunkRef): void {
    if (piece === this.#pieces[this.#done]) this.file.chunks.push(chunk);
    else piece.chunks.push(chunk);
  }

  /** @internal */
  boundary(offset: number): void {
    this.#next = offset;
  }

  /** @internal */
  end(flags: number): ChunkRef[] {
    this.#flags |= flags & CHANGED;
    return this.#advance();
  }

  /** @internal */
  fail(error: ReadError): ChunkRef[] {
    this.#error ??= error;
    return this.#advance();
  }

  /** Puts what is complete into the file's list, in order. @returns chunks to be given back if the file has failed */
  #advance(): ChunkRef[] {
    const { file } = this;
    while (this.#pieces[this.#done]?.isDone) {
      this.#done++;
      for (const chunk of this.#pieces[this.#done]?.chunks.splice(0) ?? []) file.chunks.push(chunk);
    }
    if (this.isUnderWay) return [];
    // The last one did not tell of another: the file has ended in it.
    this.#next ??= Number.POSITIVE_INFINITY;
    if (!this.isBegun) return [];
    file.done = true;
    file.error = this.#error;
    if (this.#error) return file.chunks.splice(0).slice(file.written);
    this.#look();
    return [];
  }

  /** What the stats at the beginnings of the pieces tell. */
  #look(): void {
    const { file } = this;
    const { size, ctimeSec, ctimeNsec } = file.request;
    const first = this.#pieces[0]!.stat!;
    if (first.size !== size || first.ctimeSec !== ctimeSec || first.ctimeNsec !== ctimeNsec)
      file.fresh = first;
    const changed = this.#pieces.some(({ stat }) => this.#differs(stat!, first));
    file.flags = this.#flags | (changed ? CHANGED : 0);
  }

  #differs(a: FreshStat, b: FreshStat): boolean {
    if (this.#mode === "disabled") return false;
    return this.#mode === "ctime"
      ? a.ctimeSec !== b.ctimeSec || a.ctimeNsec !== b.ctimeNsec
      : a.mtimeSec !== b.mtimeSec || a.mtimeNsec !== b.mtimeNsec;
  }
}

export class Piece implements RunOfFiles {
  isDone = false;
  /** Chunks that came before those of the piece before it were all there. */
  readonly chunks: ChunkRef[] = [];
  /** The file's metadata when the piece was begun. */
  stat: FreshStat | undefined;
  readonly #split: SplitFile;
  readonly #expectedEnd: number;

  constructor(split: SplitFile, expectedEnd: number) {
    this.#split = split;
    this.#expectedEnd = expectedEnd;
  }

  close(): void {}

  chunk(bytes: Uint8Array, idAt: number, size: number, csize: number): void {
    this.#split.chunk(this, { id: bytes.slice(idAt, idAt + 32), size, csize });
  }

  boundary(offset: number): number {
    this.#split.boundary(offset);
    return Math.min(offset, this.#split.file.request.size) - this.#expectedEnd;
  }

  end(flags: number, stat: FreshStat | undefined): ChunkRef[] {
    this.isDone = true;
    this.stat = stat;
    return this.#split.end(flags);
  }

  fail(error: ReadError): ChunkRef[] {
    this.isDone = true;
    return this.#split.fail(error);
  }
}
