// Where a repository or archive is, as Borg 1.x writes it: /path, path, file:///path, user@host:path,
// ssh://user@host:port/path, each with an optional ::archive. "::archive" alone takes the repository from BORG_REPO.
import { ArgumentError } from "../errors.ts";
import { normPath } from "./paths.ts";
import { type PlaceholderContext, replacePlaceholders } from "./placeholders.ts";

const USER = "(?:(?<user>[^@:/]+)@)?";
// A host name or IPv4 address without brackets, or an IPv6 address in brackets.
const HOST = "(?<host>(?!\\[)[^:/]+(?<!\\])|\\[[0-9a-fA-F:.]+\\])";
// A path ends at "::"; single colons belong to it.
const COLONS = "(?:[^:]|:(?!:))+";
// An archive name has no slash, because `mount` shows archives as directories.
const ARCHIVE = "(?:::(?<archive>[^/]+))?$";

const SSH = new RegExp(`^(?<proto>ssh)://${USER}${HOST}(?::(?<port>\\d+))?(?<path>/${COLONS})${ARCHIVE}`);
const FILE = new RegExp(`^(?<proto>file)://(?<path>[^/]*/${COLONS})${ARCHIVE}`);
// Local paths too: the part with the host is optional.
const SCP = new RegExp(`^(?:${USER}${HOST}:)?(?!:|//|ssh://)(?<path>${COLONS})${ARCHIVE}`);
const ARCHIVE_ONLY = new RegExp(`^(?:::$|${ARCHIVE})`);

export class Location {
  readonly proto: "file" | "ssh";
  readonly user: string | undefined;
  /** As written, an IPv6 address with its brackets; undefined for a local repository. */
  readonly bracketedHost: string | undefined;
  readonly port: number | undefined;
  readonly path: string;
  readonly archive: string | undefined;
  /** As the user gave it, placeholders included (BORG_REPO where that was used). */
  readonly raw: string;
  /** After the placeholders were replaced. */
  readonly processed: string;

  constructor(fields: {
    proto: "file" | "ssh";
    user?: string | undefined;
    bracketedHost?: string | undefined;
    port?: number | undefined;
    path: string;
    archive?: string | undefined;
    raw: string;
    processed: string;
  }) {
    this.proto = fields.proto;
    this.user = fields.user;
    this.bracketedHost = fields.bracketedHost;
    this.port = fields.port;
    this.path = fields.path;
    this.archive = fields.archive;
    this.raw = fields.raw;
    this.processed = fields.processed;
  }

  /** Host without the brackets of an IPv6 address. */
  get host(): string | undefined {
    return this.bracketedHost?.replace(/^\[+|\]+$/g, "");
  }

  get isRemote(): boolean {
    return this.proto !== "file";
  }

  /** The path, or the ssh:// form in which Borg remembers where a repository is (security directory, cache). */
  canonicalPath(): string {
    if (this.proto === "file") return this.path;
    const path = this.path.startsWith("~")
      ? `/${this.path}`
      : this.path.startsWith("/")
        ? this.path
        : `/./${this.path}`;
    const user = this.user ? `${this.user}@` : "";
    const port = this.port ? `:${this.port}` : "";
    return `ssh://${user}${this.bracketedHost}${port}${path}`;
  }

  /** Base name of a new key file for this repository, in the keys directory. */
  keyFileName(): string {
    const plain = (text: string) => text.replace(/[^\p{L}\p{N}_]/gu, "_");
    let name = plain(this.path).replace(/^_+|_+$/g, "");
    if (this.proto !== "file") name = `${plain(this.host ?? "")}__${name}`;
    return [...name].slice(0, 100).join("");
  }

  /** The same repository without the archive. */
  withoutArchive(): Location {
    return new Location({
      ...this,
      archive: undefined,
      raw: this.raw.split("::")[0]!,
      processed: this.processed.split("::")[0]!,
    });
  }

  /** The same repository with this archive in it. */
  withArchive(archive: string): Location {
    const bare = this.withoutArchive();
    return new Location({
      ...bare,
      archive,
      raw: `${bare.raw}::${archive}`,
      processed: `${bare.processed}::${archive}`,
    });
  }

  toString(): string {
    return this.processed;
  }
}

/**
 * A location from the command line or the configuration. Placeholders are replaced first; where the text has no
 * repository ("", "::" or "::archive"), BORG_REPO gives it.
 * @throws ArgumentError, InvalidPlaceholder, PlaceholderError
 */
export function parseLocation(
  text: string,
  env: Record<string, string | undefined> = process.env,
  context: PlaceholderContext = {},
): Location {
  const ctx = { env, ...context };
  const processed = replacePlaceholders(text, ctx);
  const direct = match(processed);
  if (direct) return new Location({ ...direct, raw: text, processed });
  const only = ARCHIVE_ONLY.exec(processed);
  const repositoryRaw = env["BORG_REPO"];
  if (only && repositoryRaw !== undefined) {
    const repository = replacePlaceholders(repositoryRaw, ctx);
    const found = match(repository);
    const archive = only.groups?.["archive"];
    if (found) {
      return new Location({
        ...found,
        archive,
        raw: archive ? repositoryRaw + text : repositoryRaw,
        processed: archive ? `${repository}::${archive}` : repository,
      });
    }
    throw new ArgumentError(`BORG_REPO is no valid location: "${repository}"`);
  }
  if (only) throw new ArgumentError(`no repository given: neither in "${text}" nor in BORG_REPO`);
  throw new ArgumentError(`Invalid location format: "${processed}"`);
}

function match(text: string) {
  const ssh = SSH.exec(text)?.groups;
  if (ssh) {
    return {
      proto: "ssh" as const,
      user: ssh["user"],
      bracketedHost: ssh["host"],
      port: Number(ssh["port"] ?? 0) || undefined,
      path: normalise(ssh["path"]!),
      archive: ssh["archive"],
    };
  }
  const file = FILE.exec(text)?.groups;
  if (file) return { proto: "file" as const, path: normalise(file["path"]!), archive: file["archive"] };
  const scp = SCP.exec(text)?.groups;
  if (!scp) return undefined;
  return {
    proto: scp["host"] ? ("ssh" as const) : ("file" as const),
    user: scp["user"],
    bracketedHost: scp["host"],
    path: normalise(scp["path"]!),
    archive: scp["archive"],
  };
}

/** normPath, but "/./x" (relative to the directory ssh logs into) stays as it is. */
function normalise(path: string): string {
  return path.startsWith("/./") ? `/.${normPath(path)}` : normPath(path);
}

/**
 * A location that an option demands to be of a kind: with or without archive, local or remote.
 * @throws ArgumentError and what parseLocation throws
 */
export function requireLocation(
  text: string,
  want: { archive?: boolean; proto?: "file" | "ssh" },
  env?: Record<string, string | undefined>,
  context?: PlaceholderContext,
): Location {
  const location = parseLocation(text, env, context);
  if (want.archive === true && !location.archive) throw new ArgumentError(`"${text}": No archive specified`);
  if (want.archive === false && location.archive) {
    throw new ArgumentError(`"${text}": No archive can be specified`);
  }
  if (want.proto && location.proto !== want.proto) {
    throw new ArgumentError(`"${text}": Repository must be ${want.proto === "file" ? "local" : "remote"}`);
  }
  return location;
}

/** An archive's name, placeholders replaced. @throws ArgumentError if it is empty or holds "/" or "::" */
export function parseArchiveName(text: string, context: PlaceholderContext = {}): string {
  const name = replacePlaceholders(text, context);
  if (name === "" || name.includes("/") || name.includes("::")) {
    throw new ArgumentError(`Invalid archive name: "${name}"`);
  }
  return name;
}
