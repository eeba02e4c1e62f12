// Our client against real borg: `borg serve` behind a real OpenSSH server, driven through the Repository interface,
// and real borg's check as the judge of what came out.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseLocation } from "../../src/format/location.ts";
import { type RemoteOptions, RemoteRepository } from "../../src/remote/client.ts";
import type { RemoteRecord } from "../../src/remote/records.ts";
import { BORG, borgEnv, type Sshd, script, startSshd } from "./remote-sshd.ts";

let sshd: Sshd;
beforeAll(async () => {
  sshd = await startSshd();
}, 30_000);
afterAll(() => sshd?.stop());

const idOf = (data: Uint8Array) => createHash("sha256").update(data).digest();

function objects(count: number, seed: number): [Uint8Array, Uint8Array][] {
  return Array.from({ length: count }, (_, i) => {
    const data = Buffer.alloc(i % 7 === 0 ? 400_000 : 100 + i * 13, `${seed}-${i}-`);
    return [idOf(data), data];
  });
}

function borg(args: string[], env: Record<string, string> = {}) {
  const done = spawnSync(BORG, args, { env: borgEnv(sshd.dir, env), encoding: "utf8", timeout: 60_000 });
  return { code: done.status, out: `${done.stdout}${done.stderr}` };
}

const open = (url: string, options: RemoteOptions = {}) =>
  RemoteRepository.open(parseLocation(url, {}), {
    rsh: sshd.rsh,
    remotePath: BORG,
    env: borgEnv(sshd.dir),
    ...options,
  });

describe("our client, borg's server", () => {
  it("creates, stores, reads, deletes, compacts; borg check agrees", { timeout: 60_000 }, async () => {
    const path = join(sshd.dir, "one");
    const records: RemoteRecord[] = [];
    let repository = await open(sshd.url(path), {
      create: true,
      exclusive: true,
      logLevel: "info",
      onRecord: (r) => records.push(r),
    });
    expect(repository.serverVersion.slice(0, 2)).toEqual(process.env["ALCOVE_BORG14"] ? [1, 4] : [1, 2]);
    const all = objects(400, 1);
    for (const [id, data] of all) await repository.put(id, data);
    await repository.commit();
    expect(await repository.count()).toBe(400);
    await repository.close();
    expect(borg(["check", "--repository-only", path])).toMatchObject({ code: 0 });

    repository = await open(sshd.url(path, "[::1]"), {
      exclusive: true,
      logLevel: "info",
      onRecord: (r) => records.push(r),
    });
    repository.preload(all.map(([id]) => id));
    let n = 0;
    for await (const data of repository.getMany(
      all.map(([id]) => id),
      { preloaded: true },
    )) {
      expect(Buffer.compare(data!, all[n++]![1])).toBe(0);
    }
    expect(n).toBe(400);
    const listed: string[] = [];
    for (let marker: Uint8Array | undefined; ; ) {
      const ids = await repository.list(150, marker);
      if (ids.length === 0) break;
      listed.push(...ids.map((id) => Buffer.from(id).toString("hex")));
      marker = ids.at(-1);
    }
    expect(new Set(listed).size).toBe(400);
    const scanned = await repository.scan(1000);
    expect(scanned.ids.map((id) => Buffer.from(id).toString("hex"))).toEqual(
      all.map(([id]) => Buffer.from(id).toString("hex")),
    );
    for (const [id] of all.slice(0, 300)) await repository.delete(id);
    await repository.commit({ compact: true, threshold: 0 });
    expect(await repository.check()).toBe(true);
    await repository.close();
    // Records come on a stream of their own, so only now all of them are sure to be here.
    expect(records.some((r) => r.kind === "progress" && r.record["msgid"] === "repository.check")).toBe(true);
    expect(
      records.some((r) => r.kind === "log" && r.message.startsWith("Remote: Finished full repository check")),
    ).toBe(true);
    expect(borg(["check", "--repository-only", path])).toMatchObject({ code: 0 });
  });

  it("keys, nonces and locks", { timeout: 60_000 }, async () => {
    const path = join(sshd.dir, "two");
    const repository = await open(sshd.url(path), { create: true, exclusive: true });
    await repository.saveKey(Buffer.from("BORG_KEY blob"));
    expect(Buffer.from(await repository.loadKey()).toString()).toBe("BORG_KEY blob");
    expect(await repository.getFreeNonce()).toBeUndefined();
    await repository.commitNonceReservation(2 ** 33, undefined);
    expect(await repository.getFreeNonce()).toBe(2 ** 33);
    await expect(open(sshd.url(path), { lockWait: 0 })).rejects.toMatchObject({
      msgid: "LockTimeout",
      exitCode: 73,
    });
    const bypass = await open(sshd.url(path), { lock: false });
    expect(bypass.idHex).toBe(repository.idHex);
    await bypass.close();
    await repository.put(idOf(Buffer.from("x")), Buffer.from("x"));
    await repository.commit();
    await repository.destroy();
    await repository.close();
    await expect(open(sshd.url(path))).rejects.toMatchObject({ msgid: "Repository.DoesNotExist" });
  });

  it("scp-style and relative locations", { timeout: 60_000 }, async () => {
    mkdirSync(join(sshd.dir, "home"), { recursive: true });
    const home = join(sshd.dir, "home");
    const wrapper = script(
      join(sshd.dir, "athome"),
      `cd ${home}; export HOME=${home}; unset BORG_BASE_DIR; exec ${BORG} "$@"`,
    );
    const rsh = `${sshd.rsh} -p ${sshd.port}`;
    const places = [
      `${sshd.user}@127.0.0.1:rel`,
      sshd.url("/./rel2"),
      sshd.url("/~/rel3"),
      `127.0.0.1:${home}/abs`,
    ];
    for (const place of places) {
      const repository = await open(place, { rsh, remotePath: wrapper, create: true, exclusive: true });
      await repository.put(idOf(Buffer.from(place)), Buffer.from(place));
      await repository.commit();
      await repository.close();
    }
    for (const name of ["rel", "rel2", "rel3", "abs"]) {
      expect(borg(["check", "--repository-only", join(home, name)])).toMatchObject({ code: 0 });
    }
  });

  it("errors of the server and of ssh are clear", { timeout: 60_000 }, async () => {
    await expect(open(sshd.url("/nowhere/at/all"))).rejects.toMatchObject({
      msgid: "Repository.DoesNotExist",
      exitCode: 13,
    });
    await expect(open(sshd.url("/nowhere/at/all"), { create: true })).rejects.toMatchObject({
      msgid: "Repository.ParentPathDoesNotExist",
    });
    await expect(open(sshd.url("/x"), { remotePath: "/no/such/borg" })).rejects.toMatchObject({
      msgid: "ConnectionClosedWithHint",
      message: expect.stringContaining("not found"),
    });
    await expect(open(sshd.url("/x"), { rsh: `${sshd.rsh} -o Port=1 -p 1` })).rejects.toMatchObject({
      msgid: "ConnectionClosedWithHint",
    });
    await expect(open(sshd.url("/x"), { rsh: "/no/such/ssh" })).rejects.toMatchObject({
      msgid: "ConnectionClosedWithHint",
    });
    await expect(open("ssh://-oProxyCommand=touch/x")).rejects.toMatchObject({ msgid: "CommandError" });
    sshd.force(`${BORG} serve --restrict-to-path ${sshd.dir}/allowed`);
    await expect(open(sshd.url(join(sshd.dir, "two")), { rsh: sshd.rshForced })).rejects.toMatchObject({
      msgid: "PathNotAllowed",
      exitCode: 83,
    });
  });
});
