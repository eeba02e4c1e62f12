// An archive of what no file system holds: entries made on the way, with contents from any async iterable.
//   node examples/memory.mjs REPO
import { Repository } from "alcove";

async function* rows() {
  const encoder = new TextEncoder();
  for (let i = 1; i <= 50_000; i++) yield encoder.encode(`${i},row number ${i}\n`);
}

async function* entries() {
  yield { path: "dump", type: "directory" };
  yield { path: "dump/README", content: "Made without a single file.\n" };
  yield { path: "dump/table.csv", content: rows(), mode: 0o600, mtime: new Date("2026-01-01T00:00:00Z") };
  yield { path: "dump/latest", type: "symlink", target: "table.csv" };
}

const location = process.argv[2];
const repository = await Repository.init(location, { encryption: "repokey-blake2", passphrase: "example" });
try {
  const stats = await repository.create("dump", entries(), { compression: "zstd,3", comment: "from memory" });
  console.log(`${stats.files} files, ${stats.originalSize} bytes, ${stats.deduplicatedSize} stored`);

  const archive = await repository.archive("dump");
  for await (const item of archive.items()) console.log(`${item.type} ${item.path} ${item.size}`);

  // A web stream: what fetch, Response and every runtime's file functions understand.
  const text = await new Response(archive.stream("dump/README")).text();
  process.stdout.write(text);
} finally {
  await repository.close();
}
