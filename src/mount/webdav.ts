// The same read-only tree over WebDAV (RFC 4918, class 1) on a local port, for systems without FUSE. What may be
// read is guarded: other users of the machine reach the port too, so without a password the address holds a random
// word, and a foreign Host header (a web page that has its name point here) is refused.
import { randomBytes } from "node:crypto";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { CommandError } from "../errors.ts";
import { equalSecret, fsDecode } from "../format/bytes.ts";
import { errno, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "./constants.ts";
import { type FileSystem, FsError } from "./filesystem.ts";
import { working } from "./garbage.ts";
import { followLink, isDots } from "./paths.ts";
import type { Attributes } from "./protocol.ts";
import { ROOT } from "./tree.ts";
import {
  etag,
  httpDate,
  lastPart,
  parseRange,
  percentDecode,
  percentEncode,
  properties,
  xml,
} from "./webdav-text.ts";

const METHODS = "OPTIONS, GET, HEAD, PROPFIND";
/** Bytes of one read from the tree. */
const PIECE = 1 << 20;
const MAX_BODY = 1 << 16;
const USER = "alcove";

export interface WebDavOptions {
  /** HOST:PORT, HOST or PORT; [::1]:PORT. Port 0, the default, takes a free one. */
  address: string | undefined;
  /** Undefined: the address holds a secret. Empty: everybody who reaches the port may read. */
  password: string | undefined;
  log?: (level: "debug" | "warning", message: string) => void;
}

export interface WebDavServer {
  url: string;
  close(): Promise<void>;
}

/** Host and port of an address. @throws CommandError */
export function parseAddress(text: string | undefined): { host: string; port: number } {
  const match =
    /^(?:\[([0-9a-f:]+)\]|([^:[\]]*[^:[\]\d][^:[\]]*|\d+\.\d+\.\d+\.\d+))?(?::?(\d{1,5}))?$/i.exec(
      text ?? "",
    );
  const port = Number(match?.[3] ?? 0);
  if (!match || port > 65535) throw new CommandError(`--webdav: ${text} is no address`);
  return { host: match[1] ?? match[2] ?? "127.0.0.1", port };
}

const isLoopback = (host: string): boolean => /^(?:127\.\d+\.\d+\.\d+|::1|localhost)$/.test(host);

/** Serves a file system that has been started. @throws CommandError for an address that is not to be used */
export async function serveWebDav(fs: FileSystem, options: WebDavOptions): Promise<WebDavServer> {
  const { host, port } = parseAddress(options.address);
  if (!isLoopback(host) && !options.password) {
    throw new CommandError(
      `--webdav: ${host} can be reached from other machines; set ALCOVE_WEBDAV_PASSWORD`,
    );
  }
  const secret = options.password === undefined ? randomBytes(12).toString("hex") : "";
  const dav = new WebDav(fs, { ...options, prefix: secret ? `/${secret}` : "", loopback: isLoopback(host) });
  // Loaded here: node:http brings 20 ms of its own to the start of every command otherwise.
  const { createServer } = await import("node:http");
  const server = createServer((request, response) => void dav.answer(request, response));
  await listen(server, port, host);
  const address = server.address();
  const actual = address !== null && typeof address === "object" ? address.port : port;
  const name = host.includes(":") ? `[${host}]` : host;
  return {
    url: `http://${name}:${actual}${secret ? `/${secret}` : ""}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (e) => reject(new CommandError(`--webdav: ${e.message}`)));
    server.listen(port, host, () => resolve());
  });
}

/** A request that ends with this HTTP status. */
class Status extends Error {
  readonly status: number;
  constructor(status: number, message = "") {
    super(message);
    this.status = status;
  }
}

interface Resource {
  node: number;
  attributes: Attributes;
  /** Percent-encoded, with a slash at the end of directories. */
  href: string;
}

class WebDav {
  readonly #fs: FileSystem;
  readonly #options: WebDavOptions & { prefix: string; loopback: boolean };

  constructor(fs: FileSystem, options: WebDavOptions & { prefix: string; loopback: boolean }) {
    this.#fs = fs;
    this.#options = options;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    working();
    response.on("error", () => undefined); // the client has gone
    try {
      this.#guard(request);
      await drain(request);
      await this.#dispatch(request, response);
    } catch (e) {
      let status = 500;
      if (e instanceof Status) status = e.status;
      else if (e instanceof FsError)
        status = e.errno === errno.ENOENT ? 404 : e.errno === errno.ENOTDIR ? 404 : 500;
      if (status === 500) this.#options.log?.("warning", `mount: ${(e as Error).message}`);
      if (response.headersSent) {
        response.destroy(); // a body that ends early must not look whole
        return;
      }
      if (status === 401) response.setHeader("WWW-Authenticate", 'Basic realm="alcove", charset="UTF-8"');
      if (status === 405) response.setHeader("Allow", METHODS);
      response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" });
      response.end(
        request.method === "HEAD" ? undefined : `${status} ${e instanceof Status ? e.message : ""}\n`,
      );
    }
  }

  #guard(request: IncomingMessage): void {
    const host = (request.headers.host ?? "").replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
    if (this.#options.loopback && !isLoopback(host)) throw new Status(403, "wrong host");
    const { password } = this.#options;
    if (!password) return;
    const given = /^Basic (.+)$/i.exec(request.headers.authorization ?? "")?.[1] ?? "";
    const wanted = Buffer.from(`${USER}:${password}`);
    if (!equalSecret(Buffer.from(given, "base64"), wanted)) throw new Status(401, `the user is ${USER}`);
  }

  async #dispatch(request: IncomingMessage, response: ServerResponse): Promise<void> {
    switch (request.method) {
      case "OPTIONS":
        response.writeHead(200, { DAV: "1", Allow: METHODS, "MS-Author-Via": "DAV", "Content-Length": "0" });
        response.end();
        return;
      case "PROPFIND":
        await this.#propfind(request, response, await this.#resolve(request));
        return;
      case "GET":
      case "HEAD":
        await this.#get(request, response, await this.#resolve(request));
        return;
      default:
        throw new Status(405, "this is read-only");
    }
  }

  /** The resource that a request's path names. */
  async #resolve(request: IncomingMessage): Promise<Resource> {
    const path = (request.url ?? "/").replace(/[?#].*$/, "");
    const { prefix } = this.#options;
    if (!equalSecret(Buffer.from(path.slice(0, prefix.length)), Buffer.from(prefix))) throw new Status(404);
    const rest = path.slice(prefix.length);
    if (rest !== "" && !rest.startsWith("/")) throw new Status(404);
    let node = ROOT;
    let href = prefix;
    for (const part of rest.split("/")) {
      if (part === "") continue;
      const name = percentDecode(part);
      if (name.length === 0 || name.includes(0) || name.includes(0x2f) || isDots(name)) throw new Status(404);
      node = await this.#fs.lookup(node, name);
      if (!node) throw new Status(404);
      const target = await this.#follow(node);
      if (!target) throw new Status(404);
      node = target;
      href += `/${percentEncode(name)}`;
    }
    const attributes = await this.#fs.attributes(node);
    return { node, attributes, href: this.#fs.tree.isDirectory(node) ? `${href}/` : href };
  }

  /** WebDAV has no symlinks: one to a file in the tree is shown as that file. Links to directories are left out,
   *  as whoever walks the tree could walk in circles. 0 for what cannot be shown. */
  async #follow(node: number): Promise<number> {
    const type = this.#fs.tree.mode(node) & S_IFMT;
    if (type === S_IFREG || type === S_IFDIR) return node;
    if (type !== S_IFLNK) return 0;
    const file = await followLink(this.#fs, node).catch((e: unknown) => {
      if (e instanceof FsError) return 0;
      throw e;
    });
    return file && (this.#fs.tree.mode(file) & S_IFMT) === S_IFREG ? file : 0;
  }

  async #propfind(request: IncomingMessage, response: ServerResponse, resource: Resource): Promise<void> {
    const depth = request.headers.depth ?? "infinity";
    if (depth !== "0" && depth !== "1") {
      response.writeHead(403, { "Content-Type": "application/xml; charset=utf-8" });
      response.end(
        '<?xml version="1.0" encoding="utf-8"?>\n<D:error xmlns:D="DAV:"><D:propfind-finite-depth/></D:error>\n',
      );
      return;
    }
    const { tree } = this.#fs;
    const directory = tree.isDirectory(resource.node);
    if (directory && depth === "1") await this.#fs.ready(resource.node);
    response.writeHead(207, { "Content-Type": "application/xml; charset=utf-8" });
    const name = directory ? lastPart(resource.href) : fsDecode(tree.name(resource.node));
    let text = `<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">\n`;
    text += properties(resource.href, name, resource.attributes);
    if (directory && depth === "1") {
      for (let child = tree.firstChild(resource.node); child; child = tree.nextSibling(child)) {
        const node = await this.#follow(tree.inode(child));
        if (!node) continue;
        const bytes = tree.name(child);
        const href = resource.href + percentEncode(bytes) + (tree.isDirectory(node) ? "/" : "");
        text += properties(href, fsDecode(bytes), await this.#fs.attributes(node));
        if (text.length < 65536) continue;
        await send(response, text);
        text = "";
      }
    }
    await send(response, `${text}</D:multistatus>\n`);
    response.end();
  }

  async #get(request: IncomingMessage, response: ServerResponse, resource: Resource): Promise<void> {
    const { node, attributes } = resource;
    if (this.#fs.tree.isDirectory(node)) {
      await this.#listing(request, response, resource);
      return;
    }
    const { size } = attributes;
    const tag = etag(attributes);
    const modified = httpDate(attributes.mtime);
    const headers: Record<string, string> = {
      ETag: tag,
      "Last-Modified": modified,
      "Accept-Ranges": "bytes",
      "Content-Type": "application/octet-stream",
      // What is in a backup must not run in the browser's name for this address.
      "X-Content-Type-Options": "nosniff",
      "Content-Security-Policy": "sandbox",
    };
    const known = request.headers["if-none-match"];
    const same = known
      ? known.split(/\s*,\s*/).some((t) => t === tag || t === "*")
      : request.headers["if-modified-since"] === modified;
    if (same) {
      response.writeHead(304, headers);
      response.end();
      return;
    }
    const ifRange = request.headers["if-range"];
    const range =
      ifRange === undefined || ifRange === tag || ifRange === modified ? request.headers.range : undefined;
    const part = parseRange(range, size);
    if (part === "none") {
      response.writeHead(416, { ...headers, "Content-Range": `bytes */${size}` });
      response.end();
      return;
    }
    const [from, to] = part ?? [0, size];
    headers["Content-Length"] = String(to - from);
    if (part) headers["Content-Range"] = `bytes ${from}-${to - 1}/${size}`;
    if (request.method === "HEAD") {
      response.writeHead(part ? 206 : 200, headers);
      response.end();
      return;
    }
    // The first read comes before the headers, so that a damaged file gives an error and not a short answer.
    for (let at = from; at < to || at === from; ) {
      const pieces = to > from ? await this.#fs.read(node, at, Math.min(PIECE, to - at)) : [];
      if (at === from) response.writeHead(part ? 206 : 200, headers);
      let got = 0;
      for (const piece of pieces) {
        got += piece.length;
        await send(response, piece);
      }
      if (response.destroyed) return;
      at += got;
      if (got === 0) break;
    }
    response.end();
  }

  /** A plain page for a browser. */
  async #listing(request: IncomingMessage, response: ServerResponse, resource: Resource): Promise<void> {
    const { tree } = this.#fs;
    await this.#fs.ready(resource.node);
    response.writeHead(200, {
      "Content-Type": "text/html; charset=utf-8",
      "Content-Security-Policy": "default-src 'none'",
    });
    if (request.method === "HEAD") {
      response.end();
      return;
    }
    let text = `<!doctype html><meta charset="utf-8"><title>${xml(lastPart(resource.href) || "/")}</title><pre>\n`;
    if (resource.node !== ROOT) text += '<a href="../">../</a>\n';
    for (let child = tree.firstChild(resource.node); child; child = tree.nextSibling(child)) {
      const node = await this.#follow(tree.inode(child));
      if (!node) continue;
      const bytes = tree.name(child);
      const slash = tree.isDirectory(node) ? "/" : "";
      text += `<a href="./${percentEncode(bytes)}${slash}">${xml(fsDecode(bytes))}${slash}</a>\n`;
      if (text.length < 65536) continue;
      await send(response, text);
      text = "";
    }
    await send(response, `${text}</pre>\n`);
    response.end();
  }
}

/** Reads the request's body to its end: what it asks for in detail does not matter, all properties are given. */
async function drain(request: IncomingMessage): Promise<void> {
  let size = 0;
  for await (const piece of request) {
    size += (piece as Uint8Array).length;
    if (size > MAX_BODY) throw new Status(413, "the request is too large");
  }
}

function send(response: ServerResponse, data: string | Uint8Array): Promise<void> | undefined {
  if (data.length === 0 || response.destroyed || response.write(data)) return undefined;
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });
}
