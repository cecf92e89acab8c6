// coturn from the system's packages, as the TURN service of somebody else: on loopback, with a shared secret.
import { spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { createServer, type AddressInfo } from "node:net";
import { until } from "./wait.ts";

const LOOPBACK = "127.0.0.1";
/** A STUN Binding request without attributes (RFC 8489 §5): type, length 0, magic cookie, transaction id. */
const BINDING = Buffer.from("00010000" + "2112a442" + "0102030405060708090a0b0c", "hex");

export interface Coturn {
  /** What clients are told, UDP and TCP. */
  urls: string[];
  stop(): Promise<void>;
}

/** What is missing here to start one; undefined for nothing. */
export const missing = (): string | undefined =>
  spawnSync("turnserver", ["--version"], { stdio: "ignore" }).error && "no turnserver (apt-get install coturn)";

/** Starts one whose credentials are made from `secret`; it leads to this machine, which a real one never should. */
export async function coturn(secret: string): Promise<Coturn> {
  const port = await freePort();
  const listens = ["-n", "-L", LOOPBACK, "-E", LOOPBACK, `--listening-port=${port}`, "--realm=bank.test"];
  const rules = ["--use-auth-secret", `--static-auth-secret=${secret}`, "--allow-loopback-peers"];
  const bare = ["--no-tls", "--no-dtls", "--no-cli", "--log-file=stdout", "--simple-log", "--pidfile=/dev/null"];
  const child = spawn("turnserver", [...listens, ...rules, ...bare], { stdio: "ignore" });
  const over = new Promise<void>((done) => child.once("exit", () => done()));
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await over;
  };
  const socket = createSocket("udp4");
  let answered = false;
  socket.on("message", () => (answered = true));
  // Refused until it listens.
  socket.on("error", () => {});
  try {
    await until("coturn answers", () => {
      if (child.exitCode !== null) throw new Error(`coturn ended with ${child.exitCode}`);
      if (!answered) socket.send(BINDING, port, LOOPBACK);
      return answered;
    });
  } catch (fault) {
    await stop();
    throw fault;
  } finally {
    socket.close();
  }
  return { urls: ["udp", "tcp"].map((way) => `turn:${LOOPBACK}:${port}?transport=${way}`), stop };
}

/** What is free for TCP is nearly always free for UDP. */
async function freePort(): Promise<number> {
  const taken = createServer();
  await new Promise<void>((bound) => taken.listen(0, LOOPBACK, bound));
  const { port } = taken.address() as AddressInfo;
  await new Promise((closed) => taken.close(closed));
  return port;
}
