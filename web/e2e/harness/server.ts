// The real binary on free ports, with a private database of its own, and its REST side as a program sees it.
import { spawn, type ChildProcess } from "node:child_process";
import { chmodSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { artifacts, binaries } from "./paths.ts";

export interface Account {
  email: string;
  password: string;
  role: string;
}

export interface Addresses {
  url: string;
  signalingUrl: string;
  http: string;
  compat: string;
  metrics: string;
  stun: string[];
  media: string[];
  pid: number;
  accounts: Account[];
  serviceKey: string;
}

/** A running server. `kill` is the end that nobody expects, `stop` the ordinary one. */
export interface Server extends Addresses {
  data: string;
  kill(): Promise<void>;
  stop(): Promise<void>;
}

const START_MS = 120_000;
const STOP_MS = 60_000;

/** Starts the demo; `data` continues an earlier server's folder, `env` adds to its settings. */
export async function serve(
  name: string,
  options: { data?: string; env?: Record<string, string> } = {},
): Promise<Server> {
  const data = options.data ?? mkdtempSync(join(tmpdir(), "hl-data-"));
  // The private PostgreSQL runs as another account when we are root.
  chmodSync(data, 0o755);
  const errors = openSync(join(artifacts(name), "server.log"), "a");
  const child = spawn(join(binaries, "helpline"), ["serve", "--demo", "--print-addresses", "--data-dir", data], {
    stdio: ["ignore", "pipe", errors],
    env: {
      ...process.env,
      HELPLINE_HTTP_LISTEN: "127.0.0.1:0",
      HELPLINE_SIGNALING_COMPAT_LISTEN: "127.0.0.1:0",
      HELPLINE_METRICS_LISTEN: "127.0.0.1:0",
      HELPLINE_MEDIA_BASE_PORT: "0",
      HELPLINE_STUN_PORTS: "0,0",
      // Whatever else fills the disk of this machine.
      HELPLINE_RECORDING_REFUSE_OPTIONAL_PERCENT: "100",
      HELPLINE_RECORDING_REFUSE_REQUIRED_PERCENT: "100",
      HELPLINE_DRAIN_TIMEOUT_SECONDS: "0",
      ...options.env,
    },
  });
  const addresses = await firstLine(child);
  const keep = options.data !== undefined;
  return {
    ...addresses,
    data,
    kill: async () => {
      child.kill("SIGKILL");
      await ended(child);
    },
    stop: async () => {
      child.kill("SIGTERM");
      await ended(child);
      if (!keep) rmSync(data, { recursive: true, force: true });
    },
  };
}

async function firstLine(child: ChildProcess): Promise<Addresses> {
  const lines = createInterface({ input: child.stdout! });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the server printed no addresses in time")), START_MS);
    lines.once("line", (line) => {
      clearTimeout(timer);
      resolve(JSON.parse(line) as Addresses);
    });
    child.once("exit", (code) => {
      clearTimeout(timer);
      reject(new Error(`the server ended with ${String(code)}; see server.log`));
    });
  });
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error("the server did not stop in time"));
    }, STOP_MS);
    child.once("exit", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** The account of a role, such as `agent` (the first one) or `supervisor`. */
export function account(server: Addresses, role: string): Account {
  const found = server.accounts.find((one) => one.role === role);
  if (!found) throw new Error(`the demo has no ${role}`);
  return found;
}

/** One request with the demo's service key; throws on anything but success. */
export async function rest<T>(
  server: Addresses,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<T> {
  const answer = await fetch(`http://${server.http}${path}`, {
    method,
    headers: { authorization: `Bearer ${server.serviceKey}`, "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return (answer.status === 204 ? undefined : await answer.json()) as T;
}
