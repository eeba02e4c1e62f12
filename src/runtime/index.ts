// The runtime layer's face: `runtime` says where we are, `fs` is the file system, the rest are names, identity
// and processes. See fs.ts, scanner.ts, xattr.ts, holes.ts, users.ts and hostid.ts for what each does.
import * as fs from "./fs.ts";

export * as constants from "./constants.ts";
export type { FsEntry } from "./entry.ts";
export { isSystemError, systemError } from "./errno.ts";
export * as holes from "./holes.ts";
export {
  fqdn,
  fullHostname,
  getnode,
  hostId,
  hostname,
  localPidAlive,
  processAlive,
  processId,
} from "./hostid.ts";
export { libc } from "./libc.ts";
export { MemoryReader } from "./memory-reader.ts";
export { NameList } from "./name-list.ts";
export { type NativeCtr, nativeCtr } from "./native-ctr.ts";
export { NativeSha256, nativeSha256 } from "./native-sha256.ts";
export { fsDecode, fsEncode } from "./pathbytes.ts";
export { type RuntimeName, runtime } from "./platform.ts";
export { Directory, RawStat } from "./scanner.ts";
export * from "./stat.ts";
export { groupId, groupName, osUserName, userId, userName } from "./users.ts";
export * as xattr from "./xattr.ts";
export { fs };
