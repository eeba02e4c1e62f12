// Who is shown which extended attributes: by the texts of /proc as the kernel writes them.
import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";
import { attributeSight, sightOf } from "../../../src/runtime/attribute-sight.ts";

const MOUNTS = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
23 22 0:21 / /dev/shm rw,nosuid,nodev shared:2 - tmpfs tmpfs rw,size=24683652k
24 22 0:22 / /srv/noacl rw,relatime shared:3 - ext4 /dev/vdb rw
`;
const status = (capabilities: string): string =>
  `Name:\tnode\nCapPrm:\t000001ffffffffff\nCapEff:\t${capabilities}\nCapBnd:\t0\n`;
const MACHINE = "         0          0 4294967295\n";

it("root, others, and root of a container", () => {
  expect(sightOf(MOUNTS, status("000001ffffffffff"), MACHINE)).toBe("all");
  expect(sightOf(MOUNTS, status("0000000000200000"), MACHINE)).toBe("all");
  expect(sightOf(MOUNTS, status("000001ffffdfffff"), MACHINE)).toBe("some");
  expect(sightOf(MOUNTS, status("0000000000000000"), MACHINE)).toBe("some");
  expect(sightOf(MOUNTS, status("000001ffffffffff"), "         0     100000      65536\n")).toBe("some");
  expect(sightOf(MOUNTS, "Name:\tnode\n", MACHINE)).toBeUndefined();
});

it.each(["noacl", "rw,noacl", "noacl,rw", "rw,nouser_xattr,errors=continue"])(
  "mounted with %s",
  (options) => {
    const hidden = `25 22 254:1 / /data rw,relatime - ext4 /dev/vdc ${options}\n`;
    expect(sightOf(MOUNTS + hidden, status("000001ffffffffff"), MACHINE)).toBeUndefined();
    expect(sightOf(hidden + MOUNTS, status("000001ffffffffff"), MACHINE)).toBeUndefined();
  },
);

it.runIf(process.platform === "linux")("this process", () => {
  const effective = execFileSync("sed", ["-n", "s/^CapEff:\\t//p", `/proc/${process.pid}/status`])
    .toString()
    .trim();
  const sight = attributeSight();
  if (sight !== undefined && (BigInt(`0x${effective}`) >> 21n) % 2n === 0n) expect(sight).toBe("some");
  expect([undefined, "all", "some"]).toContain(sight);
});
