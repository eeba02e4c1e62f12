// The Borg whose behaviour and output we have; {borgversion} and `--version` as `borg` give it. By itself, so that
// saying it loads nothing else.
export const BORG_VERSION = "1.4.5";
