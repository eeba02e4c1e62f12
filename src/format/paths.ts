// Paths as Python's os.path treats them on Unix, whatever runtime we are on.

/** os.path.normpath: "." and ".." resolved by text, doubled slashes gone, but exactly two leading ones kept. */
export function normPath(path: string): string {
  if (path === "") return ".";
  const leading = path.startsWith("/") ? (path.startsWith("//") && !path.startsWith("///") ? "//" : "/") : "";
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== ".." || (leading === "" && parts.length === 0) || parts.at(-1) === "..") parts.push(part);
    else parts.pop();
  }
  return leading + parts.join("/") || ".";
}

/** The text without the slashes at its start. */
export function stripLeadingSlashes(path: string): string {
  let i = 0;
  while (path.charCodeAt(i) === 47) i++;
  return i === 0 ? path : path.slice(i);
}

/** The text without the slashes at its end. */
export function stripTrailingSlashes(path: string): string {
  let i = path.length;
  while (i > 0 && path.charCodeAt(i - 1) === 47) i--;
  return path.slice(0, i);
}

/** A name for people: whatever is not valid text becomes "?", as Borg shows it. */
export function removeSurrogates(text: string): string {
  // Hardly any name has one: the check costs a fraction of the replacement that finds nothing.
  if ((text as string & { isWellFormed(): boolean }).isWellFormed()) return text;
  return text.replace(/\p{Surrogate}/gu, "?");
}
