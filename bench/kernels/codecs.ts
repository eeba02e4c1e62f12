// What the host's codecs and cipher give beside JavaScript libraries: the core has no kernel for these.

import { createCipheriv } from "node:crypto";
import * as host from "../../src/core/host.ts";
import { type Setting, text } from "./data.ts";
import { bokuwebZstd, fflate, zstdCodec } from "./libraries.ts";
import { type Row, rates } from "./measure.ts";

export async function codecs({ seconds }: Setting): Promise<Row[]> {
  const data = text().subarray(0, 1 << 20);
  const [flate, codec, bokuweb] = [await fflate(), await zstdCodec(), await bokuwebZstd()];
  const rows: Row[] = [];
  const zlibBlob = host.zlibCodec.compress(data, 6);
  rows.push({
    kernel: "zlib level 6, compress",
    ours: "host",
    figures: rates(
      data.length,
      {
        host: () => void host.zlibCodec.compress(data, 6),
        fflate: flate && (() => void flate.zlibSync(data, { level: 6 })),
      },
      seconds,
    ),
  });
  rows.push({
    kernel: "zlib, decompress",
    ours: "host",
    figures: rates(
      data.length,
      {
        host: () => void host.zlibCodec.decompress(zlibBlob, data.length),
        fflate: flate && (() => void flate.unzlibSync(zlibBlob)),
      },
      seconds,
    ),
  });
  const native = host.zstdCodec();
  const figures = rates(
    data.length,
    {
      host: native && (() => void native.compress(data, 3)),
      "@bokuweb/zstd-wasm": bokuweb && (() => void bokuweb.compress(data, 3)),
      "zstd-codec": codec && (() => void codec.compress(data, 3)),
    },
    seconds,
  );
  rows.push({ kernel: "zstd level 3, compress", ours: native ? "host" : "@bokuweb/zstd-wasm", figures });
  const [key, iv] = [new Uint8Array(32), new Uint8Array(16)];
  rows.push({
    kernel: "AES-256-CTR",
    ours: "host",
    figures: rates(
      data.length,
      { host: () => void createCipheriv("aes-256-ctr", key, iv).update(data) },
      seconds,
    ),
  });
  return rows;
}
