// --ping: tells a monitor when a command starts and how it ends, in the convention of healthchecks.io: the address
// with /start, the address itself for success, with /CODE for any other exit code. A monitor that does not answer
// never changes what the backup does; its address is a secret and is not logged.
import type { Logger } from "./output/log.ts";

/** Milliseconds for one request. */
const TIMEOUT = 10_000;
const TRIES = 2;

/** The address to call; a query stays at its end. @throws TypeError if it is no address of the web */
export function pingAddress(base: string, event: "start" | number): string {
  const url = new URL(base);
  if (url.protocol !== "https:" && url.protocol !== "http:") throw new TypeError("not http or https");
  if (event !== 0) url.pathname = `${url.pathname.replace(/\/+$/, "")}/${event}`;
  return url.href;
}

/** Sends one message. */
export async function ping(base: string, event: "start" | number, log: Logger): Promise<void> {
  let problem = "";
  try {
    const address = pingAddress(base, event);
    for (let i = 0; i < TRIES; i++) {
      try {
        const answer = await fetch(address, { signal: AbortSignal.timeout(TIMEOUT) });
        await answer.body?.cancel();
        if (answer.ok) return;
        problem = `it answered ${answer.status}`;
      } catch (e) {
        const cause = (e as { cause?: { code?: string } }).cause?.code;
        problem = cause ?? (e as Error).name;
      }
    }
  } catch {
    problem = "the address is not valid";
  }
  log.warning(`--ping: the monitor could not be told (${problem}).`);
}
