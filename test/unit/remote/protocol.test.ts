// Client against server over in-process pipes: every call, errors on both sides, options, records.
import { describe, expect, it } from "vitest";
import {
  AlcoveError,
  ConnectionClosedWithHint,
  IntegrityError,
  ObjectNotFound,
  PathNotAllowed,
  RepositoryDoesNotExist,
  StorageQuotaExceeded,
  UnexpectedRPCDataFormatFromClient,
} from "../../../src/errors.ts";
import { pack, Unpacker, unpack } from "../../../src/format/msgpack.ts";
import { connect, memoryOpener, wire } from "./memory.ts";

const idOf = (n: number) => {
  const id = new Uint8Array(32);
  new DataView(id.buffer).setUint32(0, n);
  return id;
};

async function setup(options: Partial<Parameters<typeof wire>[0]> = {}) {
  const opener = memoryOpener();
  const wired = wire({ openRepository: opener.open, logLevel: "info", ...options });
  const client = await connect(wired);
  return { ...opener, ...wired, client };
}

describe("client and server", () => {
  it("opens, and gives the server's id, version and options", async () => {
    const t = await setup();
    expect(t.client.idHex).toBe("07".repeat(32));
    expect(t.client.serverVersion).toEqual([1, 4, 5, -1]);
    expect(t.server.clientVersion).toEqual([1, 4, 5, -1]);
    expect(t.opened[0]!.options).toEqual({
      create: false,
      exclusive: false,
      lockWait: 1,
      lock: true,
      appendOnly: false,
      storageQuota: undefined,
      makeParentDirs: false,
    });
    await t.client.close();
    await t.served;
    expect(t.repository.closed).toBe(1);
  });

  it("stores and gives objects of all sizes", async () => {
    const t = await setup();
    const sizes = [0, 1, 31, 32, 255, 256, 4095, 4096, 4097, 65535, 65536, 3_000_000, 20971479];
    for (const [i, size] of sizes.entries()) await t.client.put(idOf(i), new Uint8Array(size).fill(i));
    await t.client.commit({ compact: true });
    expect(t.repository.calls).toEqual([
      'commit {"saveSpace":false,"compact":true,"threshold":0.1,"cleanupCommits":false}',
      "rollback",
    ]);
    const got: number[] = [];
    for await (const data of t.client.getMany(sizes.map((_, i) => idOf(i)))) got.push(data!.length);
    expect(got).toEqual(sizes);
    expect((await t.client.get(idOf(11)))[2_999_999]).toBe(11);
    await expect(t.client.put(idOf(99), new Uint8Array(20971480))).rejects.toThrow(IntegrityError);
    await t.client.close();
  });

  it("keeps the data of a put although the caller reuses its buffer", async () => {
    const t = await setup();
    const buffer = Buffer.alloc(100_000, 1);
    await t.client.put(idOf(1), buffer);
    buffer.fill(2);
    await t.client.commit();
    expect((await t.client.get(idOf(1)))[99_999]).toBe(1);
    await t.client.close();
  });

  it("preloads, in order and beyond the window, with repetitions and ids never taken", async () => {
    const t = await setup();
    for (let i = 0; i < 3000; i++)
      t.repository.objects.set(Buffer.from(idOf(i)).toString("hex"), Buffer.from([i]));
    const ids = Array.from({ length: 3000 }, (_, i) => idOf(i));
    t.client.preload([...ids, idOf(5), idOf(5)]);
    let n = 0;
    for await (const data of t.client.getMany(ids, { preloaded: true })) expect(data![0]).toBe(n++ & 255);
    expect(n).toBe(3000);
    for await (const data of t.client.getMany([idOf(5), idOf(5), idOf(6)]))
      expect([5, 6]).toContain(data![0]);
    await t.client.close();
  });

  it("stops a getMany early without harm", async () => {
    const t = await setup();
    for (let i = 0; i < 50; i++) await t.client.put(idOf(i), new Uint8Array(10).fill(i));
    for await (const data of t.client.getMany(Array.from({ length: 50 }, (_, i) => idOf(i)))) {
      if (data![0] === 3) break;
    }
    expect((await t.client.get(idOf(7)))[0]).toBe(7);
    await t.client.close();
  });

  it("missing objects throw or are skipped", async () => {
    const t = await setup();
    await t.client.put(idOf(1), new Uint8Array(1));
    await expect(t.client.get(idOf(2))).rejects.toThrow(ObjectNotFound);
    const got: unknown[] = [];
    for await (const data of t.client.getMany([idOf(2), idOf(1)], { missing: "skip" }))
      got.push(data?.length);
    expect(got).toEqual([undefined, 1]);
    expect(await t.client.has(idOf(1))).toBe(true);
    expect(await t.client.has(idOf(3))).toBe(false);
    await t.client.close();
  });

  it("errors of puts and deletes surface in commit", async () => {
    const t = await setup();
    t.repository.failPuts = new StorageQuotaExceeded("1 kB", "2 kB");
    await t.client.put(idOf(1), new Uint8Array(1));
    await expect(t.client.commit()).rejects.toMatchObject({
      msgid: "Repository.StorageQuotaExceeded",
      exitCode: 20,
    });
    expect(t.repository.calls).toEqual([]);
    t.repository.failPuts = undefined;
    await t.client.delete(idOf(8));
    await expect(t.client.commit()).rejects.toMatchObject({ msgid: "Repository.ObjectNotFound" });
    await t.client.rollback();
    await t.client.commit();
    await t.client.close();
  });

  it("lists, scans, keys, nonces, locks, destroy, check with records", async () => {
    const t = await setup();
    for (let i = 0; i < 10; i++) await t.client.put(idOf(i), new Uint8Array(1));
    expect(await t.client.count()).toBe(10);
    const first = await t.client.list(4);
    expect(first).toEqual([0, 1, 2, 3].map(idOf));
    expect((await t.client.list(100, first[3])).length).toBe(6);
    expect((await t.client.scan(3)).ids.length).toBe(3);
    await t.client.saveKey(Buffer.from("key blob"));
    expect(Buffer.from(await t.client.loadKey()).toString()).toBe("key blob");
    expect(await t.client.getFreeNonce()).toBeUndefined();
    await t.client.commitNonceReservation(5000000000, undefined);
    expect(await t.client.getFreeNonce()).toBe(5000000000);
    await expect(t.client.commitNonceReservation(1, 2)).rejects.toThrow(/mismatched/);
    await t.client.breakLock();
    expect(await t.client.check()).toBe(true);
    expect(await t.client.check({ repair: true })).toBe(false);
    await t.client.destroy();
    expect(t.repository.calls).toEqual(["break_lock", "check false", "check true", "destroy"]);
    expect(t.records.filter((r) => r.kind === "log").map((r) => [r.level, r.message])).toEqual([
      ["info", "Remote: finished segment check"],
      ["info", "Remote: finished segment check"],
    ]);
    const progress = t.records.filter((r) => r.kind === "progress").map((r) => r.record);
    expect(progress[0]).toMatchObject({
      type: "progress_percent",
      msgid: "repository.check",
      message: "Remote: Checking segments 25.0%",
      current: 1,
      total: 4,
      finished: false,
    });
    expect(progress[1]).toMatchObject({ finished: true });
    await t.client.close();
  });

  it("refuses paths that are not allowed, and unknown repositories", async () => {
    const opener = memoryOpener();
    const wired = wire({ openRepository: opener.open, restrictToPaths: ["/memor"] });
    await expect(connect(wired)).rejects.toThrow(PathNotAllowed);
    expect(opener.opened).toEqual([]);
    await expect(connect(wire({ openRepository: opener.open }), "/other")).rejects.toThrow(
      RepositoryDoesNotExist,
    );
  });

  it("append-only and quota are the server's", async () => {
    const opener = memoryOpener();
    const options = { openRepository: opener.open, appendOnly: true, storageQuota: 1000 };
    await connect(wire(options));
    await connect(wire(options), "/memory", { create: true });
    await connect(wire({ openRepository: opener.open }), "/memory", { create: true, appendOnly: true });
    expect(
      opener.opened.map((o) => [o.options.create, o.options.appendOnly, o.options.storageQuota]),
    ).toEqual([
      [false, true, 1000],
      [true, false, 1000],
      [true, true, undefined],
    ]);
  });

  it("a connection that ends fails everything pending, with a hint", async () => {
    const t = await setup();
    const pending = t.client.count().then(
      () => "answered",
      (e) => e,
    );
    t.toClient.destroy();
    const result = await pending;
    if (result !== "answered") expect(result).toBeInstanceOf(ConnectionClosedWithHint);
    await expect(t.client.get(idOf(1))).rejects.toThrow(ConnectionClosedWithHint);
    await expect(t.client.put(idOf(1), new Uint8Array(1))).rejects.toThrow(ConnectionClosedWithHint);
    await expect(t.client.commit()).rejects.toThrow(ConnectionClosedWithHint);
    await t.client.rollback();
    await t.client.close();
  });

  it("stops on a signal and closes the repository", async () => {
    const abort = new AbortController();
    const t = await setup({ signal: abort.signal });
    abort.abort();
    await t.served;
    expect(t.repository.closed).toBe(1);
    await t.client.close();
  });

  it("limits the rate of what is sent", async () => {
    const opener = memoryOpener();
    const wired = wire({ openRepository: opener.open });
    const client = await connect(wired, "/memory", { uploadRatelimit: 100 });
    const start = performance.now();
    await client.put(idOf(1), new Uint8Array(50 * 1024));
    await client.commit();
    // 50 KiB at 100 KiB/s, less two periods of 0.1 s that may be unused quota.
    expect(performance.now() - start).toBeGreaterThan(250);
    await client.close();
  });
});

describe("old and foreign clients", () => {
  async function talk(messages: unknown[], options: Partial<Parameters<typeof wire>[0]> = {}) {
    const opener = memoryOpener();
    const wired = wire({ openRepository: opener.open, ...options });
    for (const message of messages) wired.toServer.write(message instanceof Buffer ? message : pack(message));
    wired.toServer.end();
    const unpacker = new Unpacker();
    const answers: unknown[] = [];
    for await (const piece of wired.toClient) {
      unpacker.feed(piece);
      answers.push(...unpacker);
    }
    const ended = await wired.served.then(
      () => undefined,
      (error: Error) => error,
    );
    return { answers, ended, ...opener, ...wired };
  }

  it("speaks the positional form of 1.0 throughout", async () => {
    const t = await talk([
      [1, 1, "negotiate", [2]],
      [1, 2, "open", ["/memory", false, 1, true]],
      [1, 3, "put", [idOf(1), Buffer.from("data")]],
      [1, 4, "get", [idOf(1)]],
      [1, 5, "get", [idOf(2)]],
      [1, 6, "commit", [false]],
      [1, 7, "nothing", []],
      [1, 8, "get", []],
    ]);
    const raw = (text: string) => Uint8Array.from(Buffer.from(text));
    const failed = raw("Remote Exception (see remote log for the traceback)");
    expect(t.answers).toEqual([
      [1, 1, null, 2],
      [1, 2, null, new Uint8Array(32).fill(7)],
      [1, 3, null, null],
      [1, 4, null, raw("data")],
      [1, 5, raw("ObjectNotFound"), failed],
      [1, 6, null, null],
      [1, 7, raw("InvalidRPCMethod"), failed],
      [1, 8, raw("TypeError"), failed],
    ]);
    expect(t.repository.calls[0]).toContain('"compact":true');
    expect(t.stderr[0]).toMatch(/^\$LOG ERROR borg.remote Remote: Object /);
    expect(t.repository.closed).toBe(1);
  });

  it("ignores unknown arguments of newer clients", async () => {
    const t = await talk([
      [1, 1, "negotiate", [{ client_version: [1, 9, 0, -1] }]],
      { i: 2, m: "open", a: { path: "/memory", something_new: 1, exclusive: null } },
      { i: 3, m: "__len__", a: { more: [1, 2] } },
    ]);
    expect(t.answers[2]).toEqual(
      new Map<string, unknown>([
        ["i", 3],
        ["r", 0],
      ]),
    );
    expect(t.server.clientVersion).toEqual([1, 9, 0, -1]);
  });

  it("answers wrong arguments and calls out of order with errors, and goes on", async () => {
    const t = await talk([
      { i: 1, m: "get", a: { id: idOf(1) } },
      { i: 2, m: "open", a: { path: "/memory" } },
      { i: 3, m: "get", a: { id: "short" } },
      { i: 4, m: "get", a: {} },
      { i: 5, m: "put", a: { id: idOf(1), data: 7 } },
      { i: 6, m: "list", a: { limit: -1 } },
      { i: 7, m: "constructor", a: {} },
      { i: 8, m: "open", a: { path: "/memory\0/x" } },
      { i: 9, m: "__len__", a: {} },
    ]);
    const classes = t.answers.map((a) => {
      const name = (a as Map<string, unknown>).get("exception_class");
      return name && Buffer.from(name as Uint8Array).toString();
    });
    const type = "TypeError";
    const expected = [
      "AttributeError",
      undefined,
      type,
      type,
      type,
      type,
      "InvalidRPCMethod",
      "PathNotAllowed",
      undefined,
    ];
    expect(classes).toEqual(expected);
  });

  it("ends with an error on anything that is no request, and closes the repository", async () => {
    for (const junk of [
      Buffer.from([0xc1]),
      Buffer.from("GET / HTTP/1.1\r\n\r\n"),
      pack([1, 2, 3]),
      pack({ i: 1, m: "get" }),
    ]) {
      const t = await talk([{ i: 2, m: "open", a: { path: "/memory" } }, Buffer.from(junk)]);
      expect(t.ended).toBeInstanceOf(UnexpectedRPCDataFormatFromClient);
      expect(t.repository.closed).toBe(1);
    }
  });

  it("refuses messages beyond the limit before they fill the memory", async () => {
    const opener = memoryOpener();
    const wired = wire({ openRepository: opener.open });
    const head = Buffer.from([0xdb, 0xff, 0xff, 0xff, 0xff]);
    wired.toServer.write(head);
    const piece = Buffer.alloc(1024 * 1024);
    let sent = 0;
    const ended = wired.served.catch((e) => e);
    while (sent < 70 && !wired.toServer.destroyed) {
      if (!wired.toServer.write(piece)) await new Promise((resolve) => setImmediate(resolve));
      sent++;
    }
    expect(await ended).toBeInstanceOf(UnexpectedRPCDataFormatFromClient);
  });

  it("a truncated request at the end is dropped", async () => {
    const whole = pack({ i: 3, m: "put", a: { id: idOf(1), data: new Uint8Array(1000) } });
    const t = await talk([{ i: 2, m: "open", a: { path: "/memory" } }, Buffer.from(whole.subarray(0, 500))]);
    expect(t.ended).toBeUndefined();
    expect(t.repository.objects.size).toBe(0);
    expect(t.repository.closed).toBe(1);
  });
});

describe("foreign servers", () => {
  async function answering(answers: unknown[]) {
    const { PassThrough } = await import("node:stream");
    const toServer = new PassThrough();
    const toClient = new PassThrough();
    const { RemoteRepository } = await import("../../../src/remote/client.ts");
    const { locationOf } = await import("./memory.ts");
    const opened = RemoteRepository.open(locationOf("/r"), {
      streams: { input: toClient, output: toServer },
    });
    const requests = new Unpacker();
    const queue = [...answers];
    toServer.on("data", (piece: Uint8Array) => {
      requests.feed(piece);
      for (const _ of requests) {
        const answer = queue.shift();
        if (answer) toClient.write(answer instanceof Buffer ? answer : pack(answer));
      }
    });
    return { opened, toClient };
  }
  const hello = [1, 1, null, { server_version: [1, 2, 4, -1] }];

  it("refuses a server of Borg 1.0", async () => {
    const t = await answering([[1, 1, null, 2]]);
    await expect(t.opened).rejects.toMatchObject({
      msgid: "RemoteRepository.RPCServerOutdated",
      exitCode: 84,
    });
  });

  it("refuses answers in no known form, to nothing, or malformed", async () => {
    for (const bad of [
      Buffer.from("Welcome to the server!\n"),
      [1, 2],
      { i: 77, r: 1 },
      { i: 1 },
      Buffer.from([0xc1]),
    ]) {
      const t = await answering([bad]);
      await expect(t.opened).rejects.toMatchObject({ msgid: "UnexpectedRPCDataFormatFromServer" });
    }
    const t = await answering([hello, { i: 2, r: "short" }]);
    await expect(t.opened).rejects.toThrow(IntegrityError);
  });

  it("maps Python's exceptions and old failures", async () => {
    const t = await answering([
      hello,
      {
        i: 2,
        exception_class: "ZeroDivisionError",
        exception_args: ["integer division or modulo by zero"],
        exception_full: ["Traceback…\n", "ZeroDivisionError: …\n"],
        exception_short: ["ZeroDivisionError: integer division or modulo by zero\n"],
        exception_trace: true,
        sysinfo: "Platform: Linux",
      },
    ]);
    const error = await t.opened.catch((e) => e);
    expect(error).toBeInstanceOf(AlcoveError);
    expect(error.msgid).toBe("ZeroDivisionError");
    expect(error.message).toContain("integer division");
    expect(error.message).not.toContain("Traceback");
    expect(error.details).toContain("Traceback");
  });

  it("checks the server's version for what needs a newer one", async () => {
    const t = await answering([
      [1, 1, null, { server_version: [1, 1, 8, -1] }],
      { i: 2, r: new Uint8Array(32) },
    ]);
    const client = await t.opened;
    await expect(client.check({ maxDuration: 10 })).rejects.toMatchObject({ exitCode: 84 });
    await client.close();
  });
});

it("messages are Borg's to the byte", async () => {
  const { encodeRequest, encodeAnswer } = await import("../../../src/remote/framing.ts");
  const joined = (pieces: Uint8Array[]) => Buffer.concat(pieces);
  expect(joined(encodeRequest(5, "commit", { save_space: false })).toString("latin1")).toBe(
    "\x83\xa1i\x05\xa1m\xa6commit\xa1a\x81\xaasave_space\xc2",
  );
  expect(joined(encodeAnswer(300, null, true)).toString("latin1")).toBe("\x82\xa1i\xcd\x01\x2c\xa1r\xc0");
  const big = unpack(joined(encodeAnswer(1, new Uint8Array(5000).fill(3), true))) as Map<string, Uint8Array>;
  expect(big.get("r")!.length).toBe(5000);
});
