// A network of a scenario's own: its file runs once more in a process with interfaces of its own, where packets can be
// dropped and nobody else notices. Linux, as root.
import { spawn, spawnSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { reachable } from "./netlab.ts";
import { root } from "./paths.ts";

/** Set in the process inside. */
const MARK = "HELPLINE_E2E_NAMESPACE";
/** True in the process that has the network to itself. */
export const inside = process.env[MARK] === "own";

/** An interface that is not loopback, which browsers pass over: one end of a cable whose other end leads nowhere. */
const MAKE = [
  "ip link set lo up",
  "ip link add uplink type veth peer name nowhere",
  "ip addr add 192.0.2.1/24 dev uplink",
  "ip link set nowhere up",
  "ip link set uplink up",
].join(" && ");

/** Why there can be no such network here; undefined where there can. */
export function missing(): string | undefined {
  const made = spawnSync("unshare", ["--net", "sh", "-c", MAKE], { encoding: "utf8" });
  if (made.status === 0) return undefined;
  return `no network of its own (root, unshare and ip are needed): ${made.stderr?.trim() || String(made.error)}`;
}

/** Runs a scenario's file inside; what it printed. Throws with all of that if it failed. */
export function runInside(file: string): Promise<string> {
  const vitest = [join(root, "web/node_modules/vitest/vitest.mjs"), "run", "--config", "e2e/vitest.config.ts", file];
  const child = spawn("unshare", ["--net", "sh", "-c", `${MAKE} && exec "$@"`, "sh", process.execPath, ...vitest], {
    cwd: join(root, "web"),
    env: { ...process.env, [MARK]: "own", NO_COLOR: "1", FORCE_COLOR: undefined },
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (said += String(bytes)));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => (code === 0 ? resolve(said) : reject(new Error(`inside:\n${said}`))));
  });
}

/** Which datagrams are lost: those to these ports, or all. */
export type Lost = number[] | "all";

/** The packet filter of the network inside, or its routes where the kernel has no filter. */
export class Drops {
  readonly #filter = spawnSync("nft", ["list", "ruleset"]).status === 0;
  #rules: string[][] = [];

  /** From now on these datagrams are lost, and no others. */
  lose(lost: Lost): void {
    this.lift();
    if (this.#filter) {
      const which = lost === "all" ? "meta l4proto udp" : `udp dport { ${lost.join(", ")} }`;
      const chain = `type filter hook input priority 0\n${which} counter name lost drop\n`;
      run("nft", ["-f", "-"], `table inet scenario {\ncounter lost { }\nchain input {\n${chain}}\n}\n`);
      return;
    }
    const ports = lost === "all" ? [[]] : lost.map((port) => ["dport", String(port)]);
    for (const family of ["-4", "-6"]) {
      // The rule for local addresses comes before all others, until it is moved.
      this.#rule(family, ["pref", "20", "lookup", "local"]);
      spawnSync("ip", [family, "rule", "del", "pref", "0"]);
      // Not as a black hole, of which a sender learns by an error that makes Chromium give up the whole socket.
      for (const port of ports) this.#rule(family, ["pref", "10", "ipproto", "udp", ...port, "unreachable"]);
    }
  }

  /** Nothing is lost any more. */
  lift(): void {
    if (this.#filter) spawnSync("nft", ["delete", "table", "inet", "scenario"]);
    for (const [family, ...rule] of this.#rules.splice(0).reverse()) {
      if (rule.includes("local")) run("ip", [family!, "rule", "add", "pref", "0", "lookup", "local"]);
      run("ip", [family!, "rule", "del", ...rule]);
    }
  }

  /** How many were lost: by the rules of now, or, where the routes are the filter, all that found no way since the start. */
  count(): number {
    if (!this.#filter) return withoutRoute();
    const told = JSON.parse(run("nft", ["-j", "list", "counter", "inet", "scenario", "lost"])) as {
      nftables: { counter?: { packets: number } }[];
    };
    const counter = told.nftables.find((one) => one.counter)?.counter;
    if (!counter) throw new Error("the packet filter does not count");
    return counter.packets;
  }

  #rule(family: string, rule: string[]): void {
    run("ip", [family, "rule", "add", ...rule]);
    this.#rules.push([family, ...rule]);
  }
}

/** Datagrams of IPv4 that this network has sent nowhere for want of a route. */
function withoutRoute(): number {
  const [names, values] = readFileSync("/proc/net/snmp", "utf8")
    .split("\n")
    .filter((line) => line.startsWith("Ip: "))
    .map((line) => line.split(" "));
  return Number(values?.[names?.indexOf("OutNoRoutes") ?? -1]);
}

function run(program: string, words: string[], input = ""): string {
  const ran = spawnSync(program, words, { input, encoding: "utf8" });
  if (ran.status !== 0) throw new Error(`${program} ${words.join(" ")}: ${ran.stderr || String(ran.error)}`);
  return ran.stdout;
}

/** Rounds of the event loop in which a datagram that is there is read. */
const PROBE_TURNS = 20;

/** A listener of the test itself, which shows whether datagrams to its port are lost. */
export class Probe {
  readonly port: number;
  readonly #socket: Socket;
  #came = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.port = socket.address().port;
    socket.on("message", () => (this.#came += 1));
  }

  static async open(): Promise<Probe> {
    const socket = createSocket("udp4");
    await new Promise<void>((bound) => socket.bind(0, reachable(), bound));
    return new Probe(socket);
  }

  /** Whether a datagram arrives. On this machine it lies in the socket before its sender goes on, or never. */
  async arrives(): Promise<boolean> {
    const before = this.#came;
    const sender = createSocket("udp4");
    // A rule for routes tells the sender, a filter does not.
    await new Promise<void>((sent) => sender.send("probe", this.port, reachable(), () => sent()));
    sender.close();
    for (let turn = 0; turn < PROBE_TURNS && this.#came === before; turn++) {
      await new Promise((next) => setTimeout(next, 10));
    }
    return this.#came > before;
  }

  close(): void {
    this.#socket.close();
  }
}
