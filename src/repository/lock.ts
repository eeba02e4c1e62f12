// A repository's lock is Borg's ordinary one, under the name "lock"; the caches have theirs by the same code.
export { Lock, type LockId, type LockOptions, lockId } from "../storage/lock.ts";
