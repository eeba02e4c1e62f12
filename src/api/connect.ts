// Opens a repository for the public API, local or behind ssh, with the surroundings that keys and caches need. The
// one place of the library that takes the process's own environment, where none is given.
import { localEnvironment } from "../cache/dirs.ts";
import { type Environment, silentPrompter } from "../crypto/environment.ts";
import { type Location, requireLocation } from "../format/location.ts";
import { LocalRepository } from "../repository/local.ts";
import type { Repository } from "../repository/types.ts";
import type { InitOptions, OpenOptions } from "./types.ts";

export interface Connection {
  repository: Repository;
  environment: Environment;
  location: Location;
}

export async function connect(
  text: string,
  options: OpenOptions,
  create?: Pick<InitOptions, "appendOnly" | "storageQuota" | "makeParentDirs">,
): Promise<Connection> {
  const { passphrase, mode = "read", lockWait = 1 } = options;
  const log = options.onLog ?? (() => {});
  const env: Record<string, string | undefined> = { ...(options.env ?? process.env) };
  if (typeof passphrase === "string") env["BORG_PASSPHRASE"] = passphrase;
  const environment = localEnvironment(env, {
    log,
    prompter: {
      ...silentPrompter(env),
      password: async (prompt) => (typeof passphrase === "function" ? passphrase(prompt) : undefined),
    },
  });
  const location = requireLocation(text, { archive: false }, env);
  const common = {
    create: create !== undefined,
    exclusive: create !== undefined || mode === "write",
    lock: mode !== "unlocked",
    lockWait,
    appendOnly: create?.appendOnly ?? false,
    makeParentDirs: create?.makeParentDirs ?? false,
  };
  if (!location.isRemote) {
    const repository = await LocalRepository.open(location.path, {
      ...common,
      ...(create?.storageQuota === undefined ? {} : { storageQuota: create.storageQuota }),
      displayPath: location.processed,
      log,
    });
    return { repository, environment, location };
  }
  const { RemoteRepository } = await import("../remote/client.ts");
  const repository = await RemoteRepository.open(location, {
    ...common,
    ...(create?.storageQuota === undefined ? {} : { storageQuota: String(create.storageQuota) }),
    ...(options.rsh === undefined ? {} : { rsh: options.rsh }),
    ...(options.remotePath === undefined ? {} : { remotePath: options.remotePath }),
    env,
    onRecord: (record) => {
      if (record.kind !== "log") return;
      const level = record.level as string;
      log(level === "critical" ? "error" : (level as "info"), record.message);
    },
  });
  return { repository, environment, location };
}
