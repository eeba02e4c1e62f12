// What is in a repository, on this machine or behind ssh ("user@host:path"): its archives, and the newest one's files.
//   BORG_PASSPHRASE=… node examples/list.mjs REPO [PATTERN]
import { AlcoveError, Repository } from "alcove";

const [location, pattern] = process.argv.slice(2);
try {
  const repository = await Repository.open(location);
  try {
    const archives = await repository.archives();
    for (const { name, start } of archives) console.log(`${start.toISOString()} ${name}`);
    const newest = archives.at(-1);
    if (newest) {
      const archive = await repository.archive(newest.name);
      for await (const item of archive.items(pattern ? { paths: [pattern] } : {})) console.log(item.path);
    }
  } finally {
    await repository.close();
  }
} catch (error) {
  if (!(error instanceof AlcoveError)) throw error;
  console.error(`${error.msgid}: ${error.message}${error.hint ? `\n${error.hint}` : ""}`);
  process.exitCode = error.exitCode;
}
