// upgrade: the authentication (TAM) of archives and manifest, added, verified or switched off. The conversion of
// Attic's and of very old Borg repositories is refused: an original Borg does that.
import { Archive } from "../../src/archive/archive.ts";
import type { Manifest } from "../../src/archive/manifest.ts";
import { rewriteMetadata } from "../../src/archive/rewrite.ts";
import { decodeBlob, decryptBlob } from "../../src/crypto/blob.ts";
import { type Environment, hasWorkaround } from "../../src/crypto/environment.ts";
import { findKeyFile, readKeyFile } from "../../src/crypto/keyfiles.ts";
import type { Key } from "../../src/crypto/keys.ts";
import { askPassphrase, givenPassphrase } from "../../src/crypto/passphrase.ts";
import { rememberTamRequired, securityRequiresTam } from "../../src/crypto/tam.ts";
import { AlcoveError, PassphraseWrong } from "../../src/errors.ts";
import { toHex } from "../../src/format/bytes.ts";
import type { Repository } from "../../src/repository/types.ts";
import { archiveLine } from "../archive-line.ts";
import type { Args } from "../args.ts";
import { withChanges } from "../changing.ts";
import type { Context } from "../context.ts";
import { loadManifest, type OpenedManifest, withRepository } from "../repository.ts";

/** Begins the question for a passphrase that has opened the key before. */
const AGAIN = "Passphrase once more for key";
const IGNORE_INVALID = "ignore_invalid_archive_tam";

export async function run(args: Args, ctx: Context): Promise<void> {
  const archives = args.flag("archives-tam") || args.flag("check-archives-tam");
  const manifest = args.flag("tam") || args.flag("check-tam");
  if (!archives && !manifest && !args.flag("disable-tam")) {
    throw new AlcoveError(
      "There is nothing to upgrade without one of --tam, --check-tam, --disable-tam, --archives-tam, --check-archives-tam.",
      "Error",
      2,
      [],
      "A repository of Attic, or of Borg before 1.0, has to be converted by an original Borg 1.x first.",
    );
  }
  await withRepository(ctx, args, { exclusive: true }, async (opened) => {
    // Archives whose authentication does not verify are what this is about.
    const environment = {
      ...opened.environment,
      env: withWorkaround(opened.environment),
      prompter: remembering(opened.environment.prompter),
    };
    const loaded = await loadManifest(
      ctx,
      args,
      { ...opened, environment },
      {
        operations: archives || manifest ? ["check"] : [],
        secure: false,
        forceTamNotRequired: args.flag("disable-tam") || args.flag("force"),
      },
    );
    if (archives) await upgradeArchives(args, ctx, loaded);
    else if (manifest) await upgradeManifest(args, ctx, loaded);
    else await disable(args, ctx, loaded);
  });
}

/** What was typed for the key once is not asked for again: to store the key anew its passphrase is needed twice. Where
 *  it was wrong the same question comes again, and then it is asked. */
function remembering(prompter: Environment["prompter"]): Environment["prompter"] {
  let typed: { answer: string; used: boolean } | undefined;
  return {
    line: (prompt) => prompter.line(prompt),
    yes: (question) => prompter.yes(question),
    say: (text) => prompter.say(text),
    password: async (prompt) => {
      if (prompt.startsWith(AGAIN) && typed && !typed.used) {
        typed.used = true;
        return typed.answer;
      }
      const answer = await prompter.password(prompt);
      typed = answer === undefined ? undefined : { answer, used: false };
      return answer;
    },
  };
}

function withWorkaround(environment: Environment): Environment["env"] {
  const { env } = environment;
  if (hasWorkaround(env, IGNORE_INVALID)) return env;
  return { ...env, BORG_WORKAROUNDS: [env["BORG_WORKAROUNDS"], IGNORE_INVALID].filter((w) => w).join(",") };
}

async function upgradeArchives(
  args: Args,
  ctx: Context,
  { manifest, environment }: OpenedManifest,
): Promise<void> {
  const readOnly = args.flag("check-archives-tam");
  await withChanges(args, ctx, manifest, environment, async (changing) => {
    let issues = 0;
    for (const info of manifest.archives.select({ sortBy: ["timestamp"] })) {
      ctx.checkSignal();
      const archive = await Archive.load(manifest, info.id);
      const line = archiveLine(info);
      if (archive.tamVerified) {
        ctx.print(`Archive TAM present: ${line}`);
        continue;
      }
      issues++;
      if (readOnly) {
        ctx.print(`Archive TAM missing: ${line}`);
        continue;
      }
      const id = await rewriteMetadata(archive, changing.store, new Map());
      ctx.print(`Added archive TAM:   ${line} -> [${toHex(id)}]`);
      await changing.changed();
    }
    await changing.commit();
    if (readOnly && issues > 0) ctx.warning(`Found ${issues} archives with TAM issues!`);
    else if (issues > 0) {
      ctx.print(`Fixed ${issues} archives with TAM issues!`);
      ctx.print("All archives are TAM authenticated now.");
    } else ctx.print("All archives are TAM authenticated.");
  });
}

async function upgradeManifest(args: Args, ctx: Context, opened: OpenedManifest): Promise<void> {
  const { manifest, repository, key, environment } = opened;
  const readOnly = args.flag("check-tam");
  let issues = 0;
  const issue = (what: string) => {
    issues++;
    ctx.warning(what);
  };
  if (!manifest.tamVerified || manifest.config.get("tam_required") !== true) {
    if (readOnly) issue("Repository Manifest is not TAM verified or a TAM is not required!");
    else {
      ctx.print("Manifest contents:");
      for (const info of manifest.archives.select({ sortBy: ["timestamp"] })) ctx.print(archiveLine(info));
      await writeManifest(manifest, true);
    }
  }
  if (!key.tamRequired && key.info.storage !== "none") {
    if (readOnly) issue("Key does not require TAM authentication!");
    else await updateKey(ctx, opened, true);
  }
  const security = environment.storage(environment.securityDir(repository.idHex));
  if (!securityRequiresTam(security)) {
    if (readOnly) issue("Client-side security database does not require a TAM!");
    else {
      rememberTamRequired(security, true);
      ctx.print("Updated security database");
    }
  }
  if (readOnly && issues === 0) {
    ctx.print("Manifest authentication setup OK for this client and this repository.");
  }
}

async function disable(_args: Args, ctx: Context, opened: OpenedManifest): Promise<void> {
  const { manifest, repository, key, environment } = opened;
  rememberTamRequired(environment.storage(environment.securityDir(repository.idHex)), false);
  if (key.tamRequired && key.info.storage !== "none") await updateKey(ctx, opened, false);
  await writeManifest(manifest, false);
}

async function writeManifest(manifest: Manifest, tamRequired: boolean): Promise<void> {
  manifest.config.set("tam_required", tamRequired);
  await manifest.write();
  await manifest.objects.repository.commit({ compact: false });
}

/** Stores the key with another requirement and the same passphrase. */
async function updateKey(
  ctx: Context,
  { key, repository, environment }: OpenedManifest,
  required: boolean,
): Promise<void> {
  const passphrase = await currentPassphrase(key, repository, environment);
  key.tamRequired = required;
  await key.changePassphrase(passphrase);
  ctx.print("Key updated");
  if (key.target !== undefined) ctx.print(`Key location: ${key.target}`);
}

/** The passphrase that opens the stored key: the key itself does not remember it. */
async function currentPassphrase(
  key: Key,
  repository: Repository,
  environment: Environment,
): Promise<string> {
  const text =
    key.info.storage === "keyfile"
      ? readKeyFile(environment, findKeyFile(environment, repository), repository)
      : Buffer.from(await repository.loadKey()).toString("latin1");
  const envelope = decodeBlob(text);
  const opens = async (passphrase: string) =>
    envelope !== undefined && (await decryptBlob(envelope, passphrase)) !== undefined;
  const given = givenPassphrase(environment);
  for (const candidate of given === undefined ? [""] : [given]) if (await opens(candidate)) return candidate;
  const typed = await askPassphrase(environment, `${AGAIN} ${key.target}: `);
  if (!(await opens(typed))) throw new PassphraseWrong();
  return typed;
}
