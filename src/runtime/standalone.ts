// Node's single executable has no file that a worker thread could load: the program's source is packed into it once
// more as an asset, and threads are started from that. Bun's executables load their own embedded file by its address.

/** Name of the asset; scripts/build-exe.mjs packs it. */
const ASSET = "alcove.mjs";

interface Sea {
  isSea(): boolean;
  getAsset(name: string, encoding: "utf8"): string;
}

/** Address of the program's source inside a Node executable; undefined everywhere else. */
export function embeddedEntry(): URL | undefined {
  const sea = process.getBuiltinModule?.("node:sea") as Sea | undefined;
  if (!sea?.isSea()) return undefined;
  const source = Buffer.from(sea.getAsset(ASSET, "utf8")).toString("base64");
  return new URL(`data:text/javascript;base64,${source}`);
}
