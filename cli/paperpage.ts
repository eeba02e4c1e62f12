// key export --qr-html: a page to be printed, without scripts and without anything from elsewhere. It holds the key
// file as a QR code and as text, and the lines to be typed in.
import { keyFileText, paperKey } from "./keybackup.ts";
import { qrCode } from "./qr.ts";

const escapeHtml = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

export function paperPage(repositoryId: Uint8Array, blob: string, location: string): string {
  const text = keyFileText(repositoryId, blob);
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Backup key</title>
<style>
body { font-family: sans-serif; margin: 2em; max-width: 48em; }
pre { font-size: 10pt; line-height: 1.35; }
svg { width: 9cm; height: 9cm; display: block; margin: 1em 0; }
section { break-inside: avoid; }
</style>
</head>
<body>
<h1>Backup key</h1>
<p>Repository: ${escapeHtml(location)}</p>
<p>This is the key of a backup repository, protected by its passphrase. Keep it in a safe place, away from the
passphrase. To bring it back, scan the code into a file and run <code>borg key import REPOSITORY FILE</code>, or type
the lines in with <code>borg key import --paper REPOSITORY</code>.</p>
<section>
<h2>Scan</h2>
${svg(qrCode(Buffer.from(text, "latin1")))}
</section>
<section>
<h2>Key file</h2>
<pre>${escapeHtml(text)}</pre>
</section>
<section>
<h2>Type in</h2>
<pre>${escapeHtml(paperKey(repositoryId, blob))}</pre>
</section>
</body>
</html>
`;
}

function svg(grid: boolean[][]): string {
  const quiet = 4;
  const size = grid.length + 2 * quiet;
  const squares = grid.flatMap((row, y) =>
    row.flatMap((dark, x) => (dark ? [`M${x + quiet},${y + quiet}h1v1h-1z`] : [])),
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size} ${size}" shape-rendering="crispEdges"><rect width="${size}" height="${size}" fill="#fff"/><path d="${squares.join("")}"/></svg>`;
}
