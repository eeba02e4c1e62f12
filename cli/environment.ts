// The environment of programs we start: ours without the secrets, and told which version started them (Borg's
// prepare_subprocess_env).
import { BORG_VERSION } from "../src/format/placeholders.ts";

const SECRETS = ["BORG_PASSPHRASE", "BORG_NEW_PASSPHRASE"];

export function childEnvironment(env: Record<string, string | undefined>): NodeJS.ProcessEnv {
  const out: NodeJS.ProcessEnv = { ...env, BORG_VERSION };
  for (const name of SECRETS) delete out[name];
  return out;
}
