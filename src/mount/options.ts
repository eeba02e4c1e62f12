// Mount options (-o a,b=c) as Borg's fuse.py takes them: some are ours, the rest goes to the kernel or fusermount.
import { CommandError } from "../errors.ts";

export interface MountOptions {
  versions: boolean;
  allowDamagedFiles: boolean;
  ignorePermissions: boolean;
  uid: number | undefined;
  gid: number | undefined;
  umask: number;
  /** Options of the mount itself, in order, without those given below. */
  passed: string[];
  /** Shown as device name in the mount table. */
  fsname: string;
  /** Makes the type fuse.SUBTYPE. */
  subtype: string | undefined;
  allowOther: boolean;
  nosuid: boolean;
  nodev: boolean;
}

const yes = new Set(["y", "yes", "true", "1"]);
const no = new Set(["n", "no", "false", "0"]);

function unsupported(option: string): never {
  throw new CommandError(`unsupported value in option: ${option}`);
}

function parseBoolean(option: string, value: string | undefined): boolean {
  if (value === undefined || yes.has(value.toLowerCase())) return true;
  return no.has(value.toLowerCase()) ? false : unsupported(option);
}

/** Numbers as Python's int(value, 0) reads them: decimal, 0x, 0o, 0b. */
function parseNumber(option: string, value: string | undefined): number {
  if (!/^(?:[1-9][0-9_]*|0+|0x[0-9a-f]+|0o[0-7]+|0b[01]+)$/i.test(value ?? "")) unsupported(option);
  const n = Number((value as string).replaceAll("_", ""));
  return n <= 0xffffffff ? n : unsupported(option);
}

/** @throws CommandError for a value that an option of ours does not take */
export function parseMountOptions(text: string | undefined): MountOptions {
  const options: MountOptions = {
    versions: false,
    allowDamagedFiles: false,
    ignorePermissions: false,
    uid: undefined,
    gid: undefined,
    umask: 0,
    passed: [],
    fsname: "borgfs",
    subtype: undefined,
    allowOther: false,
    nosuid: true,
    nodev: true,
  };
  for (const option of (text ?? "").split(",")) {
    if (option === "") continue;
    const equals = option.indexOf("=");
    const name = equals < 0 ? option : option.slice(0, equals);
    const value = equals < 0 ? undefined : option.slice(equals + 1);
    switch (name) {
      case "versions":
        options.versions = parseBoolean(option, value);
        break;
      case "allow_damaged_files":
        options.allowDamagedFiles = parseBoolean(option, value);
        break;
      case "ignore_permissions":
        options.ignorePermissions = parseBoolean(option, value);
        break;
      case "uid":
        options.uid = parseNumber(option, value);
        break;
      case "gid":
        options.gid = parseNumber(option, value);
        break;
      case "umask":
        if (!/^(?:0o)?[0-7]{1,5}$/.test(value ?? "")) unsupported(option);
        options.umask = Number.parseInt((value as string).replace("0o", ""), 8);
        break;
      case "fsname":
        if (value) options.fsname = value;
        break;
      case "subtype":
        if (value) options.subtype = value;
        break;
      case "allow_other":
        options.allowOther = true;
        break;
      case "suid":
      case "nosuid":
        options.nosuid = name === "nosuid";
        break;
      case "dev":
      case "nodev":
        options.nodev = name === "nodev";
        break;
      // An archive cannot be written to, whatever is asked for; and permissions are checked unless ignored.
      case "ro":
      case "rw":
      case "default_permissions":
      // What mount(8) takes out of fstab lines and what has no meaning here.
      case "defaults":
      case "auto":
      case "noauto":
      case "user":
      case "nouser":
      case "users":
      case "_netdev":
      case "nofail":
        break;
      default:
        options.passed.push(option);
    }
  }
  return options;
}
