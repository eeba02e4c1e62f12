// A slow link on loopback without any privilege or kernel module: relays TCP connections to a port, with a rate and a
// one-way delay in either direction and a queue as a router has it. `npx tsx bench/remote-link.ts TO MBIT MS` prints
// the port it listens on.
import { connect, createServer, type Socket } from "node:net";

const [to, mbit, delay] = process.argv.slice(2).map(Number) as [number, number, number];
/** Bytes per millisecond. */
const rate = (mbit * 1e6) / 8 / 1000;
/** Bytes that wait at most before the sender is held back: the link's own content and as much again. */
const QUEUE = Math.max(256 * 1024, 2 * rate * delay * 2);

/** One direction: every piece leaves when the link is free and arrives a delay later. */
function direction(from: Socket, into: Socket): void {
  const queue: { at: number; piece: Buffer }[] = [];
  let bytes = 0;
  let free = 0;
  let armed = false;
  let ended = false;
  const arm = () => {
    if (!armed) setTimeout(deliver, Math.max(1, queue[0]!.at - performance.now()));
    armed = true;
  };
  const deliver = () => {
    armed = false;
    const now = performance.now();
    while (queue.length > 0 && queue[0]!.at <= now) {
      const { piece } = queue.shift()!;
      bytes -= piece.length;
      into.write(piece);
    }
    if (bytes < QUEUE && from.isPaused()) from.resume();
    if (queue.length > 0) arm();
    else if (ended) into.end();
  };
  from.on("data", (piece: Buffer) => {
    free = Math.max(performance.now(), free) + piece.length / rate;
    queue.push({ at: free + delay, piece });
    bytes += piece.length;
    if (bytes >= QUEUE) from.pause();
    arm();
  });
  from.on("end", () => {
    ended = true;
    if (queue.length === 0) into.end();
  });
  from.on("error", () => into.destroy());
  from.on("close", () => {
    if (!ended) into.destroy();
  });
}

createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
  const far = connect({ port: to, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
  direction(near, far);
  direction(far, near);
}).listen(0, "127.0.0.1", function (this: import("node:net").Server) {
  process.stdout.write(`${(this.address() as { port: number }).port}\n`);
});
