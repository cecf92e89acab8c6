// A server with one agent who takes whatever comes, and what a call through it sounds like: for scenarios about the way
// that the sound takes.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LegQuality } from "../../shared/gen/LegQuality.ts";
import type { LiveCall } from "../../shared/gen/LiveCall.ts";
import { person, type Person } from "./chromium.ts";
import { hear } from "./ear.ts";
import { type FirefoxPerson } from "./firefox.ts";
import { LATE_MS_MAX, lateness } from "./late.ts";
import { artifacts, long } from "./paths.ts";
import { allocations, type Line } from "./relay.ts";
import { account, rest, serve, type Server } from "./server.ts";
import { chirp, compare, decode, writeWav } from "./sound.ts";
import { pause, until } from "./wait.ts";

/** Least correlation, as the median of the windows, that counts as heard. */
export const HEARD_MIN = 0.9;
/** How long each side listens, milliseconds. */
const LISTEN_MS = 6_000;
/** The first seconds of a connection are the browser's own jitter buffer settling. */
const SETTLE_MS = 3_000;
/** How soon after its end nothing of a call is left at the relay, milliseconds. */
export const FREED_MS = 1_000;

interface Call {
  callId: string;
  status: string;
}

/** How much of the other's known sound each heard. */
interface Listened {
  byAgent: number;
  byCustomer: number;
}

/** A customer in whatever browser. */
export interface Customer {
  press(name: string): Promise<void>;
  ended(): Promise<void>;
  page: Parameters<typeof hear>[0];
}

/** A desk with one agent, who takes whatever comes over the network as it is. */
export class Desk {
  server!: Server;
  agent!: Person;
  #supervisor = "";
  readonly folder: string;
  readonly up: string;
  readonly down: string;

  constructor(readonly name: string) {
    this.folder = artifacts(name);
    this.up = join(this.folder, "customer.wav");
    this.down = join(this.folder, "agent.wav");
  }

  async open(env: Record<string, string>): Promise<void> {
    chirp("up", this.up);
    chirp("down", this.down);
    this.server = await serve(this.name, { env });
    const { staff } = await rest<{ staff: { id: string; email: string }[] }>(this.server, "GET", "/api/support/staff");
    const { id } = staff.find((one) => one.email === account(this.server, "supervisor").email)!;
    const path = `/api/support/staff/${id}/sessions`;
    this.#supervisor = (await rest<{ token: string }>(this.server, "POST", path, {})).token;
    this.agent = await person({ wav: this.down, ear: true });
    const { page } = this.agent;
    const { email, password } = account(this.server, "agent");
    await page.goto(`${this.server.url}/agent`);
    await page.getByTestId("email").fill(email);
    await page.getByTestId("password").fill(password);
    await page.getByTestId("sign-in").click();
    await page.getByTestId("online").click();
    await page.getByTestId("microphone-checked").waitFor();
  }

  async close(): Promise<void> {
    await this.agent?.close();
    await this.server?.stop();
  }

  call = (id: string) => rest<Call>(this.server, "GET", `/api/support/call/${id}`);

  /** A request of the supervisor. */
  #supervise = <T>(path: string) => rest<T>({ ...this.server, serviceKey: this.#supervisor }, "GET", path);

  /** Over what each side's sound goes, as a supervisor sees it. */
  async lines(id: string): Promise<Line[]> {
    return (await this.#supervise<{ lines?: Line[] }>(`/api/support/call/${id}`)).lines ?? [];
  }

  /** The last second of each leg of a running call, as a supervisor sees it. */
  async legs(id: string): Promise<LegQuality[]> {
    const { calls } = await this.#supervise<{ calls: LiveCall[] }>("/api/support/calls/live");
    return calls.find((one) => one.callId === id)?.legs ?? [];
  }

  /** Waits until the sound of both sides goes over one of these ways. */
  settle(id: string, ways: string[]): Promise<Line[]> {
    return until(`both go over ${ways.join(" or ")}`, async () => {
      const lines = await this.lines(id);
      return lines.length === 2 && lines.every(({ path }) => ways.includes(path)) && lines;
    });
  }

  /** The customer calls, the agent accepts; the call once it is answered, and how long that took. */
  async connect(customer: Customer): Promise<{ id: string; tookMs: number }> {
    for (const control of ["launcher", "call-us", "call-now"]) await customer.press(control);
    await this.agent.page.getByTestId("offer").waitFor();
    const { calls } = await rest<{ calls: Call[] }>(this.server, "GET", "/api/support/calls");
    const id = calls.find((one) => one.status === "ringing")!.callId;
    await this.agent.page.getByTestId("offer-accept").click();
    const accepted = Date.now();
    await until("the call is answered", async () => (await this.call(id)).status === "answered", 40_000);
    return { id, tookMs: Date.now() - accepted };
  }

  /**
   * Both listen for a while; the medians. Once more where this machine was too busy to let them: the harness was late, or a
   * page caught less than it listened to. In the ordinary run, on a machine of which nothing is known, once more in any
   * case: a browser's own audio threads may starve while everything else is in time.
   */
  async listen(customer: Customer, name: string): Promise<Listened> {
    const first = await this.#listenOnce(customer, name).catch((fault: unknown) => String(fault));
    if (typeof first !== "string") {
      const heard = Math.min(first.byAgent, first.byCustomer) >= HEARD_MIN;
      if (heard || (long && first.lateMs <= LATE_MS_MAX)) return first;
    }
    const figures =
      typeof first === "string"
        ? first
        : `${first.byAgent.toFixed(3)} and ${first.byCustomer.toFixed(3)}, ${first.lateMs.toFixed()} ms late`;
    console.log(`${name}: ${figures}; once more`);
    return this.#listenOnce(customer, name);
  }

  async #listenOnce(customer: Customer, name: string): Promise<Listened & { lateMs: number }> {
    await pause(SETTLE_MS);
    const [atCustomer, atAgent, lateMs] = await Promise.all([
      hear(customer.page, LISTEN_MS),
      hear(this.agent.page, LISTEN_MS),
      lateness(LISTEN_MS),
    ]);
    const wav = (who: string, { samples, rate }: Awaited<ReturnType<typeof hear>>): string =>
      writeWav(join(this.folder, `${name}-heard-by-${who}.wav`), samples, rate);
    return {
      lateMs,
      byAgent: compare(this.up, wav("agent", atAgent), 0, 1).median,
      byCustomer: compare(this.down, wav("customer", atCustomer), 0, 1).median,
    };
  }

  /** The customer hangs up; how long the relay kept something of the call after its end, milliseconds. */
  async end(customer: Customer, id: string): Promise<number> {
    const left = async (): Promise<boolean> => (await allocations(this.server)).some((one) => one.callId === id);
    return this.hangUp(customer, id, () => until("the relay has freed the call", async () => !(await left())));
  }

  /** The customer hangs up and the agent has written up; how long `after` took after the call's end, milliseconds. */
  async hangUp(
    customer: Customer,
    id: string,
    after: () => Promise<unknown> = () => Promise.resolve(),
  ): Promise<number> {
    await customer.press("hangup");
    await until("the call is completed", async () => (await this.call(id)).status === "completed");
    const over = Date.now();
    await after();
    const tookMs = Date.now() - over;
    await customer.ended();
    await this.agent.page.getByTestId("wrapup-done").click();
    return tookMs;
  }

  /** Both sides of the call's recording, by correlation. */
  async recorded(id: string, name: string): Promise<[number, number]> {
    const stored = await until(
      "the recording is stored",
      async () => {
        const path = `/api/support/call/${id}/recordings`;
        const { recordings } = await rest<{ recordings: { recordingId: string; state: string }[] }>(
          this.server,
          "GET",
          path,
        );
        return recordings.find((one) => one.state === "stored");
      },
      60_000,
    );
    const audio = await fetch(`http://${this.server.http}/api/support/recordings/${stored.recordingId}/audio`, {
      headers: { authorization: `Bearer ${this.server.serviceKey}` },
    });
    const file = join(this.folder, `${name}.opus`);
    writeFileSync(file, Buffer.from(await audio.arrayBuffer()));
    const wav = decode(file, join(this.folder, `${name}.wav`));
    return [compare(this.up, wav, 0, 1).median, compare(this.down, wav, 1, 1).median];
  }
}

export function inChromium(one: Person): Customer {
  return {
    page: one.page,
    press: (name) => one.page.getByTestId(name).first().click(),
    ended: () => one.page.getByTestId("ended").waitFor(),
  };
}

export function inFirefox(one: FirefoxPerson): Customer {
  return { page: one.page, press: one.press, ended: () => one.see("ended") };
}
