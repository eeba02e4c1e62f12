// Files in, files out: a backup of a directory with progress and a limit of time, checked, restored, and one file
// read as a stream.
//   node examples/backup.mjs REPO SOURCE TARGET
import { Repository } from "alcove";

const [location, source, target] = process.argv.slice(2);
const passphrase = () => "example"; // here a program would ask somebody

await (await Repository.init(location, { encryption: "repokey", passphrase })).close();

const repository = await Repository.open(location, { mode: "write", passphrase });
try {
  let files = 0;
  const stats = await repository.backup("today", [source], {
    compression: "lz4",
    exclude: ["sh:**/*.tmp"],
    signal: AbortSignal.timeout(60_000),
    onProgress: (event) => {
      files = event.stats?.files ?? files;
    },
    onWarning: (warning) => console.error(warning.message),
  });
  console.log(`backed up ${stats.files} files (${files} seen), ${stats.originalSize} bytes`);

  const sound = await repository.check({ verifyData: true, onProblem: (message) => console.error(message) });
  console.log(sound ? "sound" : "damaged");

  const archive = await repository.archive("today");
  await archive.extract(target, { onWarning: (warning) => console.error(warning.message) });

  let bytes = 0;
  for await (const item of archive.items()) {
    if (item.type !== "file") continue;
    for await (const piece of archive.read(item)) bytes += piece.length;
  }
  console.log(`read ${bytes} bytes`);
} finally {
  await repository.close();
}
