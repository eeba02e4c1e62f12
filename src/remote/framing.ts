// The messages of Borg's RPC protocol (remote.py): a stream of msgpack values in either direction.
//   request  {i: number, m: method, a: {name: value}}     up to 1.0: [1, number, method, [values]]
//   answer   {i: number, r: result}                       up to 1.0: [1, number, null | error name, result]
//   failure  {i: number, exception_class, exception_args, exception_full, exception_short, exception_trace, sysinfo}
// The negotiation itself always travels in the old form, because neither end knows the other yet.

import { UnexpectedRPCDataFormatFromServer } from "../errors.ts";
import { fsDecode } from "../format/bytes.ts";
import { Packer, pack, Unpacker } from "../format/msgpack.ts";

/** Bytes of an object at most (Borg's MAX_DATA_SIZE: 20 MiB with the header of its segment entry). */
export const MAX_DATA_SIZE = 20971479;
/** Bytes of one message at most, as Borg's limited unpacker has it: three times the largest object. */
export const MAX_MESSAGE_SIZE = 3 * 20 * 1024 * 1024;
/** Ids that one list or scan gives back at most: what Borg's own clients ask for. */
export const LIST_SCAN_LIMIT = 100000;

/** Below this size data is copied behind its header; above it is sent as a piece of its own. */
const INLINE = 4096;

/** Decoder of what a peer sends: bounded in message size, nesting and the memory that a message may unfold to. */
export function messageReader(): Unpacker {
  // 200,000 ids of a list cost some 30 MB under the codec's estimate; hostile nests of empty maps stop well before
  // they hurt a small machine.
  return new Unpacker({ maxBuffer: MAX_MESSAGE_SIZE, maxDepth: 16, maxMemory: 256 * 1024 * 1024 });
}

export interface Request {
  id: number;
  method: string;
  /** Named arguments (Borg ≥ 1.1), or positional ones. */
  args: Map<unknown, unknown> | unknown[];
}

/** A request, undefined if the value is none. */
export function parseRequest(value: unknown): Request | undefined {
  let id: unknown;
  let method: unknown;
  let args: unknown;
  if (value instanceof Map) {
    id = value.get("i");
    method = value.get("m");
    args = value.get("a");
    if (!(args instanceof Map)) return undefined;
  } else if (Array.isArray(value) && value.length === 4) {
    [, id, method, args] = value;
    if (!Array.isArray(args)) return undefined;
  } else return undefined;
  if (!isMessageId(id) || !(method instanceof Uint8Array) || method.length > 256) return undefined;
  return { id, method: fsDecode(method), args: args as Map<unknown, unknown> | unknown[] };
}

/** What a failed call tells; everything but the class is absent in answers of the old form. */
export interface RemoteFailure {
  exceptionClass: string;
  args?: unknown[];
  short?: string[];
  full?: string[];
  trace?: boolean;
  sysinfo?: string;
}

export interface Answer {
  id: number;
  result?: unknown;
  failure?: RemoteFailure;
}

/** An answer, undefined if the value is none. */
export function parseAnswer(value: unknown): Answer | undefined {
  if (value instanceof Map) {
    const id = value.get("i");
    if (!isMessageId(id)) return undefined;
    const exceptionClass = value.get("exception_class");
    if (exceptionClass === undefined) return value.has("r") ? { id, result: value.get("r") } : undefined;
    if (!(exceptionClass instanceof Uint8Array)) return undefined;
    const args = value.get("exception_args");
    const sysinfo = value.get("sysinfo");
    const failure: RemoteFailure = {
      exceptionClass: fsDecode(exceptionClass),
      args: Array.isArray(args) ? args.map(wireText) : [],
      short: textList(value.get("exception_short")),
      full: textList(value.get("exception_full")),
      trace: value.get("exception_trace") !== false,
      sysinfo: sysinfo instanceof Uint8Array ? fsDecode(sysinfo) : "",
    };
    return { id, failure };
  }
  if (Array.isArray(value) && value.length === 4) {
    const [, id, error, result] = value as unknown[];
    if (!isMessageId(id)) return undefined;
    if (error === null) return { id, result };
    return error instanceof Uint8Array ? { id, failure: { exceptionClass: fsDecode(error) } } : undefined;
  }
  return undefined;
}

function isMessageId(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value);
}

/** Raw bytes as text; everything else as it is. Exceptions' arguments are strings at their origin. */
export function wireText(value: unknown): unknown {
  return value instanceof Uint8Array ? fsDecode(value) : value;
}

function textList(value: unknown): string[] {
  return Array.isArray(value) ? value.map((line) => String(wireText(line))) : [];
}

/** A request with named arguments. A value of type Uint8Array that comes last is not copied if it is large. */
export function encodeRequest(id: number, method: string, args: Record<string, unknown>): Uint8Array[] {
  const names = Object.keys(args);
  const last = args[names.at(-1) ?? ""];
  const packer = new Packer({}, 128);
  packer.mapHeader(3);
  packer.string("i");
  packer.int(id);
  packer.string("m");
  packer.string(method);
  packer.string("a");
  packer.mapHeader(names.length);
  for (const name of names.slice(0, -1)) packer.pack(name).pack(args[name]);
  if (names.length === 0) return [packer.take()];
  packer.string(names.at(-1)!);
  return withTail(packer, last);
}

/** The negotiation and calls to a server that speaks the old form. */
export function encodePositional(id: number, method: string, args: unknown[]): Uint8Array[] {
  return [pack([1, id, method, args])];
}

/** An answer in the form the request had. A large Uint8Array is not copied. */
export function encodeAnswer(id: number, result: unknown, named: boolean): Uint8Array[] {
  const packer = new Packer({}, 64);
  if (named) {
    packer.mapHeader(2);
    packer.string("i");
    packer.int(id);
    packer.string("r");
  } else {
    packer.arrayHeader(4);
    packer.int(1);
    packer.int(id);
    packer.pack(null);
  }
  return withTail(packer, result);
}

/** A failure in the form the request had; the old form carries the class's name only. */
export function encodeFailure(id: number, failure: RemoteFailure, named: boolean): Uint8Array[] {
  if (!named) {
    return [pack([1, id, failure.exceptionClass, "Remote Exception (see remote log for the traceback)"])];
  }
  return [
    pack({
      i: id,
      exception_class: failure.exceptionClass,
      exception_args: (failure.args ?? []).map(packable),
      exception_full: failure.full ?? [],
      exception_short: failure.short ?? [],
      exception_trace: failure.trace ?? false,
      sysinfo: failure.sysinfo ?? "",
    }),
  ];
}

function packable(arg: unknown): unknown {
  if (typeof arg === "string" || arg instanceof Uint8Array) return arg;
  return typeof arg === "number" && Number.isSafeInteger(arg) ? arg : null;
}

function withTail(packer: Packer, value: unknown): Uint8Array[] {
  if (!(value instanceof Uint8Array) || value.length <= INLINE) return [packer.pack(value).take()];
  const head = packer.peek();
  const whole = new Uint8Array(head.length + 5);
  whole.set(head);
  whole[head.length] = 0xdb;
  new DataView(whole.buffer).setUint32(head.length + 1, value.length);
  return [whole, value];
}

/** A result that has to be bytes. @throws UnexpectedRPCDataFormatFromServer */
export function asBytes(value: unknown, method: string): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw noBytes(method);
}

export function noBytes(method: string): Error {
  return new UnexpectedRPCDataFormatFromServer(`${method} gave no bytes`);
}

/** A result that has to be a count. @throws UnexpectedRPCDataFormatFromServer */
export function asNumber(value: unknown, method: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new UnexpectedRPCDataFormatFromServer(`${method} gave no number`);
}

/** A result that has to be a list of object ids. @throws UnexpectedRPCDataFormatFromServer */
export function asIds(value: unknown, method: string): Uint8Array[] {
  if (Array.isArray(value) && value.every((id) => id instanceof Uint8Array && id.length === 32)) {
    return value as Uint8Array[];
  }
  throw new UnexpectedRPCDataFormatFromServer(`${method} gave no list of ids`);
}
