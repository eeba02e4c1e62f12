// The host id decides whose lock is whose: it must be what real Borg computes on the same machine.
import { execFileSync, spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { fqdn, getnode, hostId, hostname, localPidAlive, processAlive } from "../../../src/runtime/index.ts";
import { hasBorgModules } from "../../runtime/tree.ts";

const borg = (code: string) =>
  execFileSync("/usr/bin/python3", ["-c", code], { encoding: "utf8" }).trim().split("\n");

describe.runIf(hasBorgModules())("against Borg", () => {
  it("computes the same names", () => {
    const [theirHostname, theirFqdn] = borg("from borg.platform import *; print(hostname); print(fqdn)");
    expect(hostname()).toBe(theirHostname);
    expect(fqdn()).toBe(theirFqdn);
  });

  it("computes the same node, unless it is a random one", () => {
    const [first, second] = [
      borg("import uuid; print(uuid.getnode())"),
      borg("import uuid; print(uuid.getnode())"),
    ];
    if (first[0] === second[0]) expect(String(getnode())).toBe(first[0]);
    else expect(getnode() & (1n << 40n)).not.toBe(0n);
    expect(getnode()).toBe(getnode());
  });
});

describe("processes", () => {
  it("are taken for dead only on this host, for certain", () => {
    const gone = spawnSync("true").pid;
    expect(localPidAlive(process.pid)).toBe(true);
    expect(localPidAlive(1)).toBe(true);
    expect(localPidAlive(gone)).toBe(false);
    expect(processAlive(hostId(), gone, 0)).toBe(false);
    expect(processAlive(hostId(), process.pid, 0)).toBe(true);
    expect(processAlive(hostId(), gone, 1)).toBe(true);
    expect(processAlive("other@1", gone, 0)).toBe(true);
    expect(processAlive(hostId(), -1, 0)).toBe(true);
  });

  it("identify themselves as BORG_HOST_ID says", () => {
    process.env["BORG_HOST_ID"] = "me@here";
    expect(hostId()).toBe("me@here");
    delete process.env["BORG_HOST_ID"];
    expect(hostId()).toContain("@");
  });
});
