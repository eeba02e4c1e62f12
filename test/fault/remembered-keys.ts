// Simulated lives unlock their key at every point: the derivation of 100,000 rounds is the same each time, and is done once.
import type * as nodeCrypto from "node:crypto";

const known = new Map<string, NonSharedBuffer>();

/** For vi.mock("node:crypto", async (original) => rememberingKeys(await original())). */
export function rememberingKeys(crypto: typeof nodeCrypto): typeof nodeCrypto {
  const hex = (value: unknown) => Buffer.from(value as Buffer).toString("hex");
  const pbkdf2Sync = (...args: Parameters<typeof crypto.pbkdf2Sync>): NonSharedBuffer => {
    const [passphrase, salt, ...rest] = args;
    const name = [hex(passphrase), hex(salt), ...rest].join(" ");
    let key = known.get(name);
    if (!key) {
      key = crypto.pbkdf2Sync(...args);
      known.set(name, key);
    }
    return key;
  };
  return { ...crypto, pbkdf2Sync };
}
