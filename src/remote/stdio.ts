// The process's stdin and stdout as the streams of one client. Reads and writes go through the event loop: with
// blocking calls neither a signal nor a lock's release would get its turn while a link is stalled, and a thread that
// is blocked in read(0) keeps Node from exiting at all (tried on 20 and 26).
import process from "node:process";
import type { ServeStreams } from "./server.ts";

export function standardStreams(): ServeStreams {
  const { stdin, stdout } = process;
  let broken: Error | undefined;
  stdout.on("error", (error) => {
    broken = error;
  });
  return {
    input: stdin,
    write(pieces) {
      if (broken) return Promise.reject(broken);
      return new Promise((resolve, reject) => {
        const done = (error?: Error | null) => (error ? reject(error) : resolve());
        // One writev for all of them.
        stdout.cork();
        pieces.forEach((piece, i) => {
          stdout.write(piece, i === pieces.length - 1 ? done : undefined);
        });
        stdout.uncork();
      });
    },
    abort() {
      stdin.destroy();
      stdout.destroy();
    },
  };
}
