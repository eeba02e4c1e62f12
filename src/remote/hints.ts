// What to tell a user whose connection to a server ended: by how far it came and how ssh ended.

export interface ConnectionEnd {
  /** Whether the server had answered at all. */
  started: boolean;
  /** ssh's exit code: the remote command's, or 255 for a failure of ssh itself. */
  code: number | null;
  signal: string | null;
  /** Last plain lines of ssh's or the server's stderr. */
  lastWords: string[];
}

export function closedHint(end: ConnectionEnd): string {
  const said = end.lastWords.filter((line) => line !== "").at(-1);
  const last = said ? ` The last thing it said was: ${said}` : "";
  if (!end.started) {
    if (end.code === 127) {
      return `A command was not found: either ssh here, or Borg on the server. Is Borg working on the server? Its path there can be given with --remote-path.${last}`;
    }
    if (end.code === 255) return `ssh could not connect or log in. Try the same host with ssh alone.${last}`;
    return `Is Borg working on the server? Try it with: ssh HOST borg --version${last}`;
  }
  if (end.signal) return `The connecting process was ended by ${end.signal}. ${KEPT}`;
  if (end.code === 255) return `The network connection was lost. ${KEPT} ${ALIVE}${last}`;
  return `The server ended before its work was done. ${KEPT}${last}`;
}

const KEPT = "Whatever was committed, checkpoints included, is kept: run the command again to continue.";
const ALIVE = "For an unsteady link set ServerAliveInterval in ssh's configuration, and use --lock-wait.";
