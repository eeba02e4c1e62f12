import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  cacheDirPath,
  configDirPath,
  keysDirPath,
  localEnvironment,
  securityDirPath,
} from "../../../src/cache/dirs.ts";
import { AlcoveError } from "../../../src/errors.ts";
import { temporaryDir } from "../crypto/support.ts";

test("which variable wins", () => {
  const paths = (env: Record<string, string>) => [
    cacheDirPath(env),
    keysDirPath(env),
    securityDirPath(env, "ab"),
    configDirPath(env),
  ];
  expect(paths({ BORG_BASE_DIR: "/b", HOME: "/h", XDG_CACHE_HOME: "/xc", XDG_CONFIG_HOME: "/xg" })).toEqual([
    "/b/.cache/borg",
    "/b/.config/borg/keys",
    "/b/.config/borg/security/ab",
    "/b/.config/borg",
  ]);
  expect(paths({ HOME: "/h", XDG_CACHE_HOME: "/xc", XDG_CONFIG_HOME: "/xg" })).toEqual([
    "/xc/borg",
    "/xg/borg/keys",
    "/xg/borg/security/ab",
    "/xg/borg",
  ]);
  const each = { BORG_CACHE_DIR: "/c", BORG_KEYS_DIR: "/k", BORG_SECURITY_DIR: "/s", BORG_CONFIG_DIR: "/g" };
  expect(paths({ BORG_BASE_DIR: "/b", ...each })).toEqual(["/c", "/k", "/s/ab", "/g"]);
  expect(paths({ HOME: "/h" })[0]).toBe("/h/.cache/borg");
});

test("directories are made for their owner alone, the cache with its tag", () => {
  const dir = temporaryDir();
  const e = localEnvironment({ BORG_BASE_DIR: dir });
  for (const path of [e.cacheDir(), e.keysDir(), e.securityDir("00")])
    expect(statSync(path).mode & 0o777).toBe(0o700);
  const tag = readFileSync(join(e.cacheDir(), "CACHEDIR.TAG"), "latin1");
  expect(tag.startsWith("Signature: 8a477f597d28d172789f06886806bc55\n")).toBe(true);
  expect(() => localEnvironment({ BORG_KEYS_DIR: "/proc/nowhere" }).keysDir()).toThrow(AlcoveError);
});
