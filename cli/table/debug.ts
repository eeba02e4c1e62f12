// Table of the debug commands: looking at a repository's raw content. For people who know Borg's formats.
import { archive, flag, repository, valued } from "./groups.ts";
import type { CommandSpec, PositionalSpec } from "./spec.ts";

const file = (help: string): PositionalSpec => ({ name: "path", label: "PATH", help });
const id: PositionalSpec = { name: "id", label: "ID", help: "id of the object, 64 hex digits" };
const ids: PositionalSpec = {
  name: "ids",
  label: "IDs",
  nargs: "+",
  help: "ids of objects, 64 hex digits each",
};

function debug(
  name: string,
  summary: string,
  about: string,
  positionals: readonly PositionalSpec[],
  example: string,
  options: CommandSpec["options"] = [],
): CommandSpec {
  return {
    name: `debug ${name}`,
    section: "more",
    summary,
    about: [about],
    options,
    positionals,
    examples: [{ line: `debug ${name}${example ? ` ${example}` : ""}`, what: summary }],
  };
}

export const debugCommands: readonly CommandSpec[] = [
  debug(
    "info",
    "facts about this system",
    "Prints what a bug report should hold: versions, runtime, operating system.",
    [],
    "",
  ),
  debug(
    "dump-archive-items",
    "write the raw item chunks of an archive to files",
    "Writes the decrypted metadata chunks of an archive into numbered files in the current directory.",
    [archive("archive to dump")],
    "REPO::monday",
  ),
  debug(
    "dump-archive",
    "write an archive's metadata as JSON",
    "Writes everything an archive's metadata says, as JSON.",
    [archive("archive to dump"), file("file to write, - for standard output")],
    "REPO::monday monday.json",
  ),
  debug(
    "dump-manifest",
    "write the manifest as JSON",
    "Writes the decoded manifest of a repository, as JSON.",
    [repository("repository to look at"), file("file to write, - for standard output")],
    "REPO -",
  ),
  debug(
    "dump-repo-objs",
    "write all objects to files",
    "Writes the objects of a repository, decrypted, into files in the current directory; with --ghost everything the segment files hold, as it is stored.",
    [repository("repository to dump")],
    "REPO",
    [
      flag("--ghost", "everything in the segments: deleted and uncommitted objects, end marks"),
      valued("--segment", "SEG", "with --ghost: only this segment", { type: "positive" }),
      valued("--offset", "OFFS", "with --ghost: only from this offset", { type: "positive" }),
    ],
  ),
  debug(
    "search-repo-objs",
    "search all objects for bytes",
    "Decrypts every object and shows where WANTED occurs.",
    [
      repository("repository to search"),
      { name: "wanted", label: "WANTED", help: "what to look for: hex:123abc (bytes) or str:foobar (text)" },
    ],
    "REPO str:hello",
  ),
  debug(
    "id-hash",
    "compute the id of a file's content",
    "Computes the id that the repository would give to a file's content as one chunk.",
    [repository("whose id hash"), file("file to read")],
    "REPO file.bin",
  ),
  debug(
    "get-obj",
    "copy an object to a file",
    "Writes an object, as it is stored, to a file.",
    [repository("repository to read"), id, file("file to write")],
    "REPO 0000000000000000000000000000000000000000000000000000000000000000 manifest.bin",
  ),
  debug(
    "put-obj",
    "store a file as an object",
    "Stores a file, as it is, under the given id.",
    [repository("repository to write"), id, file("file to read")],
    "REPO ID object.bin",
  ),
  debug(
    "delete-obj",
    "delete objects",
    "Deletes objects from a repository, whether they are needed or not.",
    [repository("repository to write"), ids],
    "REPO ID",
  ),
  debug(
    "refcount-obj",
    "say how often objects are used",
    "Shows the reference counts of objects as the chunks cache has them.",
    [repository("repository to look at"), ids],
    "REPO ID",
  ),
  debug(
    "dump-hints",
    "write the hints as JSON",
    "Writes the decoded hints file of a repository, as JSON.",
    [repository("repository to look at"), file("file to write, - for standard output")],
    "REPO -",
  ),
  debug(
    "convert-profile",
    "convert a profile that Borg has written",
    "Converts an execution profile in Borg's form into one that Python's tools read.",
    [
      { name: "input", label: "INPUT", help: "profile as Borg wrote it" },
      { name: "output", label: "OUTPUT", help: "file to write" },
    ],
    "borg.profile python.pyprof",
  ),
];
