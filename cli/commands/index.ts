// Where each command's code is: imported when it is called, so that starting costs nothing for the others.
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";

/** A command's code. It may give the exit code it wants, a number; problems are thrown. */
export interface CommandModule {
  run(args: Args, ctx: Context): Promise<unknown> | unknown;
}

export const loaders: Readonly<Record<string, () => Promise<CommandModule>>> = {
  "benchmark cpu": () => import("./benchmark/cpu.ts"),
  "benchmark crud": () => import("./benchmark/crud.ts"),
  "break-lock": () => import("./break-lock.ts"),
  check: () => import("./check.ts"),
  compact: () => import("./compact.ts"),
  completions: () => import("./completions.ts"),
  config: () => import("./config.ts"),
  create: () => import("./create.ts"),
  "debug convert-profile": () => import("./debug/convert-profile.ts"),
  "debug delete-obj": () => import("./debug/delete-obj.ts"),
  "debug dump-archive": () => import("./debug/dump-archive.ts"),
  "debug dump-archive-items": () => import("./debug/dump-archive-items.ts"),
  "debug dump-hints": () => import("./debug/dump-hints.ts"),
  "debug dump-manifest": () => import("./debug/dump-manifest.ts"),
  "debug dump-repo-objs": () => import("./debug/dump-repo-objs.ts"),
  "debug get-obj": () => import("./debug/get-obj.ts"),
  "debug id-hash": () => import("./debug/id-hash.ts"),
  "debug info": () => import("./debug/info.ts"),
  "debug put-obj": () => import("./debug/put-obj.ts"),
  "debug refcount-obj": () => import("./debug/refcount-obj.ts"),
  "debug search-repo-objs": () => import("./debug/search-repo-objs.ts"),
  delete: () => import("./delete.ts"),
  diff: () => import("./diff.ts"),
  "export-tar": () => import("./export-tar.ts"),
  extract: () => import("./extract.ts"),
  help: () => import("./help.ts"),
  "import-tar": () => import("./import-tar.ts"),
  info: () => import("./info.ts"),
  init: () => import("./init.ts"),
  "install-timer": () => import("./install-timer.ts"),
  "key change-passphrase": () => import("./key/change-passphrase.ts"),
  "key export": () => import("./key/export.ts"),
  "key export-related-secrets": () => import("./key/export-related-secrets.ts"),
  "key import": () => import("./key/import.ts"),
  "key migrate-to-repokey": () => import("./key/migrate-to-repokey.ts"),
  list: () => import("./list.ts"),
  mount: () => import("./mount.ts"),
  prune: () => import("./prune.ts"),
  recreate: () => import("./recreate.ts"),
  rename: () => import("./rename.ts"),
  serve: () => import("./serve.ts"),
  umount: () => import("./umount.ts"),
  upgrade: () => import("./upgrade.ts"),
  version: () => import("./version.ts"),
  "with-lock": () => import("./with-lock.ts"),
};
