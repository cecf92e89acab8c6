// A bad link between browsers and the server: the carrier of `testkit::impair`, driven by words.
import { spawn } from "node:child_process";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { binaries } from "./paths.ts";

/** RTP packets of one direction since its last terms. */
export interface Counts {
  rtp: number;
  lost: number;
  /** Their number had gone by before: sent again. */
  again: number;
  /** Of those, came although the first had been dropped. */
  repaired: number;
  other: number;
}

export interface Netlab {
  /** Where clients send to, instead of the server. */
  listen: string;
  /** Says one of the commands that `hl-netlab` knows. */
  say(command: string): Promise<void>;
  counts(): Promise<{ up: Counts; down: Counts }>;
  stop(): void;
}

/** An address of this machine that every browser takes, in place of "any". */
export function reachable(): string {
  const all = Object.values(networkInterfaces()).flatMap((one) => one ?? []);
  return all.find((one) => one.family === "IPv4" && !one.internal)?.address ?? "127.0.0.1";
}

/** A link to the server's media port; `seed` decides what it loses. */
export async function netlab(media: string, seed: number): Promise<Netlab> {
  const target = media.replace("0.0.0.0", reachable());
  const child = spawn(join(binaries, "hl-netlab"), [target, String(seed)], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const line = await lines.next();
    if (line.done) throw new Error("the link ended");
    return JSON.parse(line.value);
  };
  const ask = (command: string): Promise<unknown> => {
    child.stdin.write(`${command}\n`);
    return next();
  };
  const { listen } = (await next()) as { listen: string };
  return {
    listen,
    say: async (command) => void (await ask(command)),
    counts: async () => (await ask("counts")) as { up: Counts; down: Counts },
    // The end of its input is its end.
    stop: () => child.stdin.end(),
  };
}

/** Runs in the page: whatever the server answers, the link at `via` is the only way to it. */
export function installLink(via: string): void {
  const candidate = `a=candidate:1 1 udp 2130706431 ${via.replace(":", " ")} typ host\r\n`;
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    override setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
      const sdp = (description.sdp ?? "").replace(/(?:a=candidate:[^\r]*\r\n)+/g, candidate);
      return super.setRemoteDescription({ type: description.type, sdp });
    }
    override addIceCandidate(): Promise<void> {
      return Promise.resolve();
    }
  };
}
