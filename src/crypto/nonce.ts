// AES-CTR counters that never repeat, whatever aborts or crashes (safety: a repeated counter reveals the xor of two
// plaintexts). A stretch of the counter space is reserved, first in the repository (so that another client starts
// behind it), then in the local security directory (so that a server which rolls its state back gains nothing),
// and only then used. What a session leaves unused is lost. Borg's crypto/nonces.py.

import { AlcoveError, InvalidRPCMethod } from "../errors.ts";
import type { Repository } from "../repository/types.ts";
import type { Storage } from "../storage/types.ts";

/** Blocks of 16 bytes reserved beyond what is needed now: 4 GiB of data. */
export const NONCE_SPACE_RESERVATION = 2 ** 28;
// Borg's bound is 2^64; beyond 2^53 blocks (128 PiB written) a number would no longer be exact.
const MAX_NONCE = Number.MAX_SAFE_INTEGER;
const FILE = "nonce";

type NonceRepository = Pick<Repository, "getFreeNonce" | "commitNonceReservation">;

export class NonceManager {
  readonly #repository: NonceRepository;
  readonly #security: Storage;
  readonly #log: (message: string) => void;
  /** First counter that nobody has used, as far as the manifest tells; then our own position. */
  #next: number;
  /** End of what is reserved; 0 before the first reservation. */
  #end = 0;
  #serverKnowsNonces = true;
  #queue: Promise<unknown> = Promise.resolve();

  /** security: storage of security/<repository id>; manifestNonce: the counter behind the manifest's last block. */
  constructor(
    repository: NonceRepository,
    security: Storage,
    manifestNonce: number,
    log: (message: string) => void = () => {},
  ) {
    this.#repository = repository;
    this.#security = security;
    this.#next = manifestNonce;
    this.#log = log;
  }

  /** First of `blocks` counters that are the caller's alone. Ranges for workers are taken here too.
   *  @throws AlcoveError where the reservation cannot be made; then nothing may be encrypted */
  async reserve(blocks: number): Promise<number> {
    const start = this.take(blocks);
    if (start !== undefined) return start;
    // One reservation at a time; whoever waited may find room in the one before.
    const turn = this.#queue.then(async () => this.take(blocks) ?? (await this.#extend(blocks)));
    this.#queue = turn.catch(() => {});
    return turn;
  }

  /** As reserve, without waiting; undefined if what is reserved does not suffice. */
  take(blocks: number): number | undefined {
    if (!Number.isSafeInteger(blocks) || blocks < 0) throw new RangeError("reserve: not a number of blocks");
    if (this.#end === 0 || this.#next + blocks > this.#end) return undefined;
    const start = this.#next;
    this.#next += blocks;
    return start;
  }

  /** The next counter of the security directory, undefined if none was ever reserved here. */
  localFreeNonce(): number | undefined {
    if (!this.#security.exists(FILE)) return undefined;
    const text = Buffer.from(this.#security.read(FILE)).toString("latin1").trim();
    if (!/^[0-9a-fA-F]{16}$/.test(text)) {
      throw new AlcoveError(`${this.#security.root}/${FILE} does not hold a nonce of 16 hex digits.`);
    }
    const nonce = Number(BigInt(`0x${text}`));
    if (nonce > MAX_NONCE)
      throw new AlcoveError(`${this.#security.root}/${FILE}: the nonce is out of range.`);
    return nonce;
  }

  async #extend(blocks: number): Promise<number> {
    const repoFree = await this.#repositoryFreeNonce();
    const localFree = this.localFreeNonce();
    const start = Math.max(repoFree ?? 0, localFree ?? 0, this.#next, this.#end);
    const end = start + blocks + NONCE_SPACE_RESERVATION;
    if (end > MAX_NONCE)
      throw new AlcoveError("The repository's nonces are used up or damaged: nothing can be encrypted.");
    if (this.#serverKnowsNonces) await this.#repository.commitNonceReservation(end, repoFree);
    if (this.localFreeNonce() !== localFree) {
      throw new AlcoveError(
        "The nonce in the security directory changed meanwhile: is another backup running?",
      );
    }
    this.#security.writeAtomic(FILE, Buffer.from(end.toString(16).padStart(16, "0"), "latin1"), {
      mode: 0o600,
    });
    this.#end = end;
    this.#next = start + blocks;
    return start;
  }

  async #repositoryFreeNonce(): Promise<number | undefined> {
    if (!this.#serverKnowsNonces) return undefined;
    try {
      return await this.#repository.getFreeNonce();
    } catch (error) {
      if (!(error instanceof InvalidRPCMethod)) throw error;
      this.#serverKnowsNonces = false;
      this.#log(
        "The server's Borg is older than 1.1 and keeps no nonces: an upgrade there makes encryption safer.",
      );
      return undefined;
    }
  }
}
