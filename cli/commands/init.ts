// init: makes a repository, its key and its empty manifest. Borg's do_init.
import { readFileSync } from "node:fs";
import { Manifest } from "../../src/archive/manifest.ts";
import { makeObjects, openCache } from "../../src/archive/session.ts";
import { loadCore } from "../../src/core/index.ts";
import { createKey } from "../../src/crypto/keys.ts";
import type { KeyMode } from "../../src/crypto/modes.ts";
import { parseRelatedSecrets } from "../../src/crypto/related.ts";
import { rememberTamRequired } from "../../src/crypto/tam.ts";
import { CancelledByUser, CommandError, describeSystemError } from "../../src/errors.ts";
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";
import { withRepository } from "../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  ctx.log.info(`Initializing repository at "${args.location.canonicalPath()}"`);
  const secretsPath = args.text("import-related-secrets");
  const relatedSecrets =
    secretsPath === undefined ? undefined : parseRelatedSecrets(readText(secretsPath), secretsPath);
  await withRepository(
    ctx,
    args,
    { create: true, exclusive: true },
    async ({ repository, environment, location }) => {
      const core = loadCore();
      let key: Awaited<ReturnType<typeof createKey>>;
      try {
        key = await createKey(repository, environment, {
          mode: args.text("encryption") as KeyMode,
          location,
          kernels: core,
          ...(relatedSecrets ? { relatedSecrets } : {}),
        });
      } catch (e) {
        // No key, no repository: what was just made would be of no use to anyone.
        await repository.destroy();
        if (ctx.signal.aborted) throw new CancelledByUser();
        throw e;
      }
      const manifest = new Manifest(await makeObjects(repository, key, core));
      await manifest.write();
      await repository.commit({ compact: false });
      const cache = await openCache(manifest, environment, { warnIfUnencrypted: false });
      cache.close();
      if (key.tamRequired)
        rememberTamRequired(environment.storage(environment.securityDir(repository.idHex)), true);
      if (key.info.storage !== "none") {
        ctx.log.warning(
          [
            "",
            "IMPORTANT: without the KEY and its PASSPHRASE nobody can read this repository, you neither.",
            "",
            key.info.storage === "keyfile"
              ? `The key is in this user's home directory (${key.target}), not in the repository.`
              : "The key is stored in the repository, protected by the passphrase.",
            "Keep a copy of it in another place, and the passphrase too:",
            "   alcove key export           REPOSITORY encrypted-key-backup",
            "   alcove key export --paper   REPOSITORY encrypted-key-backup.txt",
            "   alcove key export --qr-html REPOSITORY encrypted-key-backup.html",
            "",
          ].join("\n"),
        );
      }
    },
  );
}

function readText(path: string): string {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8");
  } catch (e) {
    throw new CommandError(`${path}: ${describeSystemError(e as NodeJS.ErrnoException)}`);
  }
}
