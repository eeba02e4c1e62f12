// The page of `key export --qr-html`: key text, paper key and a QR code of the key text, to be printed. One file, no
// script, nothing loaded from anywhere: a page that holds a key should be readable by whoever prints it.

import { qrCode } from "./qr.ts";

/** keyText: the content of a key file; paper: its paper form. */
export function keyPage(keyText: string, paper: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Backup of a Borg key</title>
<style>
  body { font-family: sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em; color: #000; background: #fff; }
  pre { font-size: 0.8em; border: 1px solid #888; padding: 0.8em; white-space: pre-wrap; word-break: break-all; }
  svg { display: block; width: 100%; max-width: 15cm; margin: 1em auto; }
  section { break-inside: avoid; }
  @media print { body { margin: 0; max-width: none; } }
</style>
</head>
<body>
<h1>Backup of a Borg key</h1>
<p>With this page and the passphrase the backups in the repository can be read. Keep the two apart.</p>
<section>
<h2>QR code</h2>
<p>Holds the text below. Save what a scanner reads as a file, then: <code>borg key import REPOSITORY FILE</code></p>
${svg(Buffer.from(keyText, "utf8"))}
</section>
<section>
<h2>Text</h2>
<pre id="key">${escaped(keyText)}</pre>
</section>
<section>
<h2>To type in</h2>
<pre id="paper">${escaped(paper)}</pre>
</section>
</body>
</html>
`;
}

function svg(data: Uint8Array): string {
  const code = qrCode(data);
  // The standard's quiet zone is four modules.
  const size = code.length + 8;
  let path = "";
  code.forEach((row, y) => {
    for (let x = 0; x < row.length; x++) {
      if (!row[x]) continue;
      let width = 1;
      while (row[x + width]) width++;
      path += `M${x + 4} ${y + 4}h${width}v1h-${width}z`;
      x += width - 1;
    }
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size} ${size}" shape-rendering="crispEdges" role="img" aria-label="QR code"><rect width="${size}" height="${size}" fill="#fff"/><path d="${path}"/></svg>`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
