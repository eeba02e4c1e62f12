// The mounted tree as a read-only SFTP server, version 3 (draft-ietf-secsh-filexfer-02), over one pair of streams. It
// serves `sshfs -o passive`, the last way to mount for ordinary users where a descriptor of /dev/fuse can be received
// neither by this process nor by a helper. SFTP knows whole seconds, no hard links and no extended attributes.
import type { Readable, Writable } from "node:stream";
import { FieldReader, text, u32 } from "../runtime/fields.ts";
import { errno, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "./constants.ts";
import { type FileSystem, FsError } from "./filesystem.ts";
import { findPath, followLink, splitPath } from "./paths.ts";
import type { Attributes } from "./protocol.ts";

const request = {
  INIT: 1,
  OPEN: 3,
  CLOSE: 4,
  READ: 5,
  WRITE: 6,
  LSTAT: 7,
  FSTAT: 8,
  SETSTAT: 9,
  FSETSTAT: 10,
  OPENDIR: 11,
  READDIR: 12,
  REMOVE: 13,
  MKDIR: 14,
  RMDIR: 15,
  REALPATH: 16,
  STAT: 17,
  RENAME: 18,
  READLINK: 19,
  SYMLINK: 20,
} as const;
const reply = { VERSION: 2, STATUS: 101, HANDLE: 102, DATA: 103, NAME: 104, ATTRS: 105 } as const;
const status = {
  OK: 0,
  EOF: 1,
  NO_SUCH_FILE: 2,
  DENIED: 3,
  FAILURE: 4,
  BAD_MESSAGE: 5,
  UNSUPPORTED: 8,
} as const;

const changing: ReadonlySet<number> = new Set([
  request.WRITE,
  request.SETSTAT,
  request.FSETSTAT,
  request.REMOVE,
  request.MKDIR,
  request.RMDIR,
  request.RENAME,
  request.SYMLINK,
]);

/** OPEN flags that ask for more than reading: write, append, create, truncate. */
const WRITING = 0x02 | 0x04 | 0x08 | 0x10;
/** Attributes that are told: size, uid and gid, permissions, times. */
const ATTRIBUTES = 0x01 | 0x02 | 0x04 | 0x08;
/** Larger requests are no SFTP: a path and a few numbers are all that reading takes. */
const MAX_REQUEST = 256 << 10;
const MAX_READ = 256 << 10;
const MAX_HANDLES = 4096;
/** Bytes of names in one answer to READDIR. */
const NAMES_BYTES = 64 << 10;

/** A request that breaks off, or ends with this status. */
class SftpStatus extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

interface Handle {
  node: number;
  /** Of a directory: the entry told last, −1 before the first, 0 after the last. */
  entry: number;
}

/** Reads the fields of a request. */
class Fields extends FieldReader {
  /** @throws SftpStatus above 2^53 */
  offset(): number {
    const n = this.u64();
    if (n > Number.MAX_SAFE_INTEGER) throw new SftpStatus(status.FAILURE, "the offset is too large");
    return Number(n);
  }

  protected override tooShort(): Error {
    return new SftpStatus(status.BAD_MESSAGE, "the request is too short");
  }
}

function encodeAttributes(a: Attributes): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.writeUInt32BE(ATTRIBUTES, 0);
  bytes.writeBigUInt64BE(BigInt(a.size), 4);
  bytes.writeUInt32BE(a.uid >>> 0, 12);
  bytes.writeUInt32BE(a.gid >>> 0, 16);
  bytes.writeUInt32BE(a.mode, 20);
  bytes.writeUInt32BE(seconds(a.atime), 24);
  bytes.writeUInt32BE(seconds(a.mtime), 28);
  return bytes;
}

/** Version 3 has 32 bits for a time. */
function seconds(time: bigint): number {
  const s = time / 1_000_000_000n;
  return s < 0n ? 0 : s > 0xffffffffn ? 0xffffffff : Number(s);
}

export class SftpServer {
  readonly #fs: FileSystem;
  readonly #output: Writable;
  readonly #log: ((level: "debug" | "warning", message: string) => void) | undefined;
  readonly #handles = new Map<number, Handle>();
  #lastHandle = 0;

  constructor(fs: FileSystem, output: Writable, log?: (level: "debug" | "warning", message: string) => void) {
    this.#fs = fs;
    this.#output = output;
    this.#log = log;
  }

  get openHandles(): number {
    return this.#handles.size;
  }

  /** Serves until the input ends. Requests are answered in their order. */
  async serve(input: Readable): Promise<void> {
    let held: Buffer = Buffer.alloc(0);
    for await (const piece of input) {
      held = held.length ? Buffer.concat([held, piece as Buffer]) : (piece as Buffer);
      let at = 0;
      while (held.length - at >= 4) {
        const length = held.readUInt32BE(at);
        if (length < 5 || length > MAX_REQUEST) {
          this.#log?.("warning", `mount: an SFTP request of ${length} bytes`);
          return;
        }
        if (held.length - at < 4 + length) break;
        await this.#answer(held.subarray(at + 4, at + 4 + length));
        at += 4 + length;
      }
      held = held.subarray(at);
    }
  }

  async #answer(bytes: Buffer): Promise<void> {
    const type = bytes[0]!;
    const fields = new Fields(bytes, 1);
    const id = fields.u32(); // of INIT: the version
    if (type === request.INIT) {
      await this.#send(reply.VERSION, [u32(3)]);
      return;
    }
    try {
      const [kind, body] = await this.#handle(type, fields);
      await this.#send(kind, [u32(id), ...body]);
    } catch (e) {
      let code: number = status.FAILURE;
      if (e instanceof SftpStatus) code = e.code;
      else if (e instanceof FsError) {
        if (e.errno === errno.ENOENT) code = status.NO_SUCH_FILE;
      } else this.#log?.("warning", `mount: ${(e as Error).message}`);
      await this.#send(reply.STATUS, [u32(id), u32(code), text((e as Error).message), text("")]);
    }
  }

  async #handle(type: number, fields: Fields): Promise<[number, Buffer[]]> {
    const fs = this.#fs;
    switch (type) {
      case request.REALPATH: {
        const names: Uint8Array[] = [];
        for (const part of splitPath(fields.text())) {
          if (part.length === 2 && part[0] === 0x2e && part[1] === 0x2e) names.pop();
          else names.push(part);
        }
        const path = Buffer.concat(names.length ? names.flatMap((n) => [SLASH, n]) : [SLASH]);
        return [reply.NAME, [u32(1), text(path), text(path), u32(0)]];
      }
      case request.LSTAT:
        return this.#attributes(await this.#find(fields.text()));
      case request.STAT:
        return this.#attributes(await this.#follow(await this.#find(fields.text())));
      case request.FSTAT:
        return this.#attributes(this.#opened(fields.text()).node);
      case request.READLINK: {
        const target = (await fs.readlink(await this.#find(fields.text()))).slice();
        return [reply.NAME, [u32(1), text(target), text(target), u32(0)]];
      }
      case request.OPENDIR: {
        const node = await this.#follow(await this.#find(fields.text()));
        await fs.ready(node);
        return this.#open(node);
      }
      case request.READDIR:
        return this.#names(this.#opened(fields.text()));
      case request.OPEN: {
        const path = fields.text();
        if (fields.u32() & WRITING) throw new SftpStatus(status.DENIED, "this is read-only");
        const node = await this.#follow(await this.#find(path));
        if ((fs.tree.mode(node) & S_IFMT) !== S_IFREG) throw new SftpStatus(status.FAILURE, "not a file");
        return this.#open(node);
      }
      case request.READ:
        return this.#read(this.#opened(fields.text()), fields.offset(), fields.u32());
      case request.CLOSE: {
        const handle = fields.text();
        this.#opened(handle);
        this.#handles.delete(Buffer.from(handle).readUInt32BE());
        return [reply.STATUS, [u32(status.OK), text(""), text("")]];
      }
    }
    if (changing.has(type)) throw new SftpStatus(status.DENIED, "this is read-only");
    throw new SftpStatus(status.UNSUPPORTED, "not supported");
  }

  async #find(path: Uint8Array): Promise<number> {
    const node = await findPath(this.#fs, path);
    if (!node) throw new SftpStatus(status.NO_SUCH_FILE, "no such file");
    return node;
  }

  async #follow(node: number): Promise<number> {
    if ((this.#fs.tree.mode(node) & S_IFMT) !== S_IFLNK) return node;
    const target = await followLink(this.#fs, node);
    if (!target) throw new SftpStatus(status.NO_SUCH_FILE, "the link leads nowhere");
    return target;
  }

  async #attributes(node: number): Promise<[number, Buffer[]]> {
    return [reply.ATTRS, [encodeAttributes(await this.#fs.attributes(node))]];
  }

  #open(node: number): [number, Buffer[]] {
    if (this.#handles.size >= MAX_HANDLES) throw new SftpStatus(status.FAILURE, "too many open files");
    const handle = (this.#lastHandle + 1) >>> 0;
    this.#lastHandle = handle;
    this.#handles.set(handle, { node, entry: -1 });
    return [reply.HANDLE, [text(u32(handle))]];
  }

  #opened(name: Uint8Array): Handle {
    const handle = name.length === 4 ? this.#handles.get(Buffer.from(name).readUInt32BE()) : undefined;
    if (!handle) throw new SftpStatus(status.FAILURE, "no such handle");
    return handle;
  }

  async #names(handle: Handle): Promise<[number, Buffer[]]> {
    const { tree } = this.#fs;
    if ((tree.mode(handle.node) & S_IFMT) !== S_IFDIR)
      throw new SftpStatus(status.FAILURE, "not a directory");
    const names: Buffer[] = [];
    let count = 0;
    let bytes = 0;
    const add = async (name: Uint8Array, node: number): Promise<void> => {
      const entry = Buffer.concat([
        text(name),
        text(name),
        encodeAttributes(await this.#fs.attributes(node)),
      ]);
      names.push(entry);
      bytes += entry.length;
      count++;
    };
    if (handle.entry === -1) {
      await add(Buffer.from("."), handle.node);
      await add(Buffer.from(".."), tree.parent(handle.node));
      handle.entry = tree.firstChild(handle.node);
    }
    while (handle.entry && bytes < NAMES_BYTES) {
      await add(tree.name(handle.entry).slice(), tree.inode(handle.entry));
      handle.entry = tree.nextSibling(handle.entry);
    }
    if (count === 0) throw new SftpStatus(status.EOF, "");
    return [reply.NAME, [u32(count), ...names]];
  }

  async #read({ node }: Handle, offset: number, size: number): Promise<[number, Buffer[]]> {
    const pieces = await this.#fs.read(node, offset, Math.min(size, MAX_READ));
    // Copied here: the file system's views are valid until it is asked again.
    const data = Buffer.concat(pieces);
    if (data.length === 0 && size > 0) throw new SftpStatus(status.EOF, "");
    this.#fs.readAhead(node);
    return [reply.DATA, [text(data)]];
  }

  async #send(type: number, body: Buffer[]): Promise<void> {
    let length = 1;
    for (const part of body) length += part.length;
    const message = Buffer.concat([u32(length), Buffer.of(type), ...body]);
    if (this.#output.write(message)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#output.off("drain", done);
        this.#output.off("close", done);
        resolve();
      };
      this.#output.on("drain", done);
      this.#output.on("close", done);
    });
  }
}

const SLASH = Buffer.from("/");
