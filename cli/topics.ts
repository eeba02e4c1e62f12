// The help topics: patterns, placeholders, compression. What they describe is Borg's; see its usage documentation
// for the reasons behind.

export const topics: Readonly<Record<string, string>> = {
  patterns: `Patterns choose files by their path. They are used by -e/--exclude, --exclude-from, --pattern,
--patterns-from, and wherever a command takes PATHs inside an archive. Paths are
compared without a leading slash. What comes first in PATTERN says how it is read:

  fm:  fnmatch, the default of -e and --exclude-from: * matches anything, / included,
       ? one character, [abc] one of these. A pattern that ends with / also covers
       what is below. The whole path is compared.
  sh:  shell, the default of --pattern and --patterns-from: as fm:, but * and ? do not
       match /, and **/ stands for any number of directories, none included.
  re:  a regular expression, found anywhere in the path unless anchored by ^ and $.
  pp:  a path prefix, the default for PATHs: that path and everything below it.
  pf:  one full path. Fast, however many there are.

-e '*.o'               no object files
-e 'home/*/.cache/*'   not what is in these directories (the directories themselves stay)
-e 'sh:home/*/.cache'  not these directories
-e 're:/\\.git/objects$'
-e 'pp:/var/tmp'       nothing below /var/tmp

--pattern and the lines of --patterns-from begin with what to do:

  R PATH     a root: PATH is backed up, as if it were given on the command line
  P STYLE    the style of the following lines of a file that have no prefix (fm, sh, …)
  + PATTERN  include
  - PATTERN  exclude; a directory is still entered, as something in it may be included
  ! PATTERN  exclude, and do not enter the directory

Empty lines and lines that begin with # are skipped. Patterns of all kinds are tried in
the order in which they are given, and the first that matches decides; what none matches
is included. Example of a file for --patterns-from:

  R /home
  ! home/*/.cache
  + home/*/Documents
  - home/*/Downloads
`,
  placeholders: `Placeholders are replaced in the names of repositories and archives, in --comment,
--prefix and --glob-archives:

  {hostname}      name of this machine (BORG_HOSTNAME changes it)
  {fqdn}          its full name
  {reverse-fqdn}  the full name backwards: com.example.host
  {user}          the user's name (BORG_USERNAME changes it)
  {pid}           number of this process
  {uuid4}         a random id
  {now}           local time, {now:%Y-%m-%d_%H:%M} with a format of strftime
  {utcnow}        the same in UTC
  {unixtime}      seconds since 1970
  {borgversion} {borgmajor} {borgminor} {borgpatch}  version of Borg this is compatible to

{now} and {utcnow} follow --timestamp where it is given. A literal { or } is written
{{ or }}. In a crontab, % has to be written \\%.

  create REPO::{hostname}-{now:%Y-%m-%d} ~/Documents
  prune -a '{hostname}-*' --keep-daily 7 REPO
`,
  compression: `Compression is chosen with -C when an archive is made; what is stored already stays as it
is, and reading needs no option.

  none                  not at all
  lz4                   very fast, the default
  zstd[,L]              good and fast; L from 1 (fast) to 22 (small), default 3
  zlib[,L]              medium; L from 0 to 9, default 6
  lzma[,L]              small and slow; L from 0 to 9, default 6; more than 6 gains nothing
  auto,C[,L]            tries lz4 on each chunk first and takes C only where it helps
  obfuscate,SPEC,C[,L]  hides the compressed size of chunks: SPEC 1 to 6 adds a random
                        part relative to the size (1: up to 0.01 times … 6: up to 100 times
                        at the extreme), 110 to 123 adds up to 1 KiB … 8 MiB, 250 pads to
                        a size in the manner of Padmé (at most 12 percent)

  create -C zstd,10 REPO::name ~
  create -C auto,lzma,6 REPO::name ~
  create -C obfuscate,110,lz4 REPO::name ~
`,
};
