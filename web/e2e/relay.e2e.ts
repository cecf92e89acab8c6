// Customers whose network lets them reach nothing but the relay: real browsers call through it over UDP, TCP and TLS, are
// heard and recorded; and one whose datagrams to the media port go nowhere finds the relay by himself.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { person, type Person } from "./harness/chromium.ts";
import { hear } from "./harness/ear.ts";
import { firefoxPerson, type FirefoxPerson } from "./harness/firefox.ts";
import { artifacts, long } from "./harness/paths.ts";
import { allocations, installOnlyRelay, relaySettings, type Line, type Way } from "./harness/relay.ts";
import { account, rest, serve, type Server } from "./harness/server.ts";
import { chirp, compare, decode, writeWav } from "./harness/sound.ts";
import { pause, until } from "./harness/wait.ts";

/** Least correlation, as the median of the windows, that counts as heard. */
const HEARD_MIN = 0.9;
/** How long each side listens, milliseconds. */
const LISTEN_MS = 6_000;
/** The first seconds of a connection are the browser's own jitter buffer settling. */
const SETTLE_MS = 3_000;
/** How soon after its end nothing of a call is left at the relay, milliseconds. */
const FREED_MS = 1_000;

interface Call {
  callId: string;
  status: string;
}

/** A customer in whatever browser. */
interface Customer {
  press(name: string): Promise<void>;
  ended(): Promise<void>;
  page: Parameters<typeof hear>[0];
}

/** A desk with one agent, who takes whatever comes over the network as it is. */
class Desk {
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

  /** Over what each side's sound goes, as a supervisor sees it. */
  async lines(id: string): Promise<Line[]> {
    const asStaff = { ...this.server, serviceKey: this.#supervisor };
    return (await rest<{ lines?: Line[] }>(asStaff, "GET", `/api/support/call/${id}`)).lines ?? [];
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

  /** Both listen for a while; the medians. */
  async listen(customer: Customer, name: string): Promise<{ byAgent: number; byCustomer: number }> {
    await pause(SETTLE_MS);
    const [atCustomer, atAgent] = await Promise.all([hear(customer.page, LISTEN_MS), hear(this.agent.page, LISTEN_MS)]);
    const wav = (who: string, { samples, rate }: Awaited<ReturnType<typeof hear>>): string =>
      writeWav(join(this.folder, `${name}-heard-by-${who}.wav`), samples, rate);
    return {
      byAgent: compare(this.up, wav("agent", atAgent), 0, 1).median,
      byCustomer: compare(this.down, wav("customer", atCustomer), 0, 1).median,
    };
  }

  /** The customer hangs up; how long the relay kept something of the call after its end, milliseconds. */
  async end(customer: Customer, id: string): Promise<number> {
    await customer.press("hangup");
    await until("the call is completed", async () => (await this.call(id)).status === "completed");
    const over = Date.now();
    const left = async (): Promise<boolean> => (await allocations(this.server)).some((one) => one.callId === id);
    await until("the relay has freed the call", async () => !(await left()));
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

function inChromium(one: Person): Customer {
  return {
    page: one.page,
    press: (name) => one.page.getByTestId(name).first().click(),
    ended: () => one.page.getByTestId("ended").waitFor(),
  };
}

function inFirefox(one: FirefoxPerson): Customer {
  return { page: one.page, press: one.press, ended: () => one.see("ended") };
}

describe("relay: a customer who may use nothing else", () => {
  const desk = new Desk("relay");
  let customer: Person | undefined;
  let spki = "";

  beforeAll(async () => {
    const settings = relaySettings(desk.folder);
    spki = settings.spki;
    await desk.open(settings.env);
  });

  afterAll(() => desk.close());

  afterEach(async (context) => {
    if (context.task.result?.state === "fail") {
      for (const [name, one] of [["customer", customer] as const, ["agent", desk.agent] as const]) {
        await one?.page.screenshot({ path: join(desk.folder, `${name}.png`) });
        writeFileSync(join(desk.folder, `${name}.log`), one?.log.join("\n") ?? "");
      }
    }
    await customer?.close();
    customer = undefined;
  });

  it.each(["udp", "tcp", "tls"] as const)("calls over TURN/%s, is heard and recorded", async (way) => {
    // The browser checks the certificate as any other; this one key is known to it.
    const args = [`--ignore-certificate-errors-spki-list=${spki}`];
    customer = await person({ wav: desk.up, ear: true, args });
    await customer.page.addInitScript(installOnlyRelay, way);
    await customer.page.goto(`${desk.server.url}/demo`);
    const side = inChromium(customer);
    const { id, tookMs } = await desk.connect(side);
    const heard = await desk.listen(side, way);
    const lines = await desk.lines(id);
    const held = (await allocations(desk.server)).filter((one) => one.callId === id);
    const freedMs = await desk.end(side, id);
    const recorded = await desk.recorded(id, way);
    console.log(
      `${way}: answered after ${tookMs} ms; agent hears ${heard.byAgent.toFixed(3)}, customer ` +
        `${heard.byCustomer.toFixed(3)}; recorded ${recorded.map((one) => one.toFixed(3)).join(" and ")}; freed after ` +
        `${freedMs} ms`,
    );
    expect(heard.byAgent, "the agent hears the customer").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(heard.byCustomer, "the customer hears the agent").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(Math.min(...recorded), "both sides are in the recording").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(lines).toContainEqual({ part: "customer", path: `turn-${way}` });
    expect(lines).toContainEqual({ part: "agent", path: "direct" });
    expect(held.map((one) => one.via)).toContain(way);
    expect(Math.max(...held.map((one) => Math.min(one.packetsUp, one.packetsDown)))).toBeGreaterThan(200);
    expect(freedMs, "nothing of the call is left at the relay").toBeLessThanOrEqual(FREED_MS);
    expect(customer.log.filter((line) => line.startsWith("pageerror"))).toEqual([]);
  });
});

// The media server binds one address and tells browsers another, at which nobody listens: what they send there is lost as
// in a network that lets no such datagram out. The relay takes it for its own shard's address and sends it nowhere.
describe("relay: a network that lets nothing through to the media ports", () => {
  const desk = new Desk("relay-closed");
  let customer: Person | undefined;

  beforeAll(async () => {
    await desk.open({
      ...relaySettings(desk.folder).env,
      HELPLINE_MEDIA_BIND: "127.0.0.1",
      HELPLINE_MEDIA_ADVERTISE: "127.0.0.2",
    });
    customer = await person({ wav: desk.up, ear: true });
  });

  afterAll(async () => {
    await customer?.close();
    await desk.close();
  });

  it("leaves a call that completes by itself", async () => {
    await customer!.page.goto(`${desk.server.url}/demo`);
    const side = inChromium(customer!);
    const { id, tookMs } = await desk.connect(side);
    const heard = await desk.listen(side, "closed");
    const lines = await desk.lines(id);
    const freedMs = await desk.end(side, id);
    console.log(`closed: answered after ${tookMs} ms, over ${JSON.stringify(lines)}; freed after ${freedMs} ms`);
    expect(heard.byAgent, "the agent hears the customer").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(heard.byCustomer, "the customer hears the agent").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(lines.map((line) => line.path)).toEqual(["turn-udp", "turn-udp"]);
    expect(freedMs).toBeLessThanOrEqual(FREED_MS);
  });
});

if (!long) console.log("relay in Firefox: left out, it runs with --long");

describe.skipIf(!long)("relay: a customer in Firefox who may use nothing else", () => {
  const desk = new Desk("relay-firefox");
  let customer: FirefoxPerson | undefined;

  beforeAll(() => desk.open(relaySettings(desk.folder).env));

  afterEach(async () => {
    await customer?.close();
    customer = undefined;
  });

  afterAll(() => desk.close());

  it.each(["udp", "tcp"] as const)("calls over TURN/%s and is heard", async (way) => {
    customer = await firefoxPerson(desk.up);
    await customer.page.evaluateOnNewDocument(installOnlyRelay, way as Way);
    await customer.page.goto(`${desk.server.url}/demo`);
    const side = inFirefox(customer);
    const { id, tookMs } = await desk.connect(side);
    const heard = await desk.listen(side, `firefox-${way}`);
    const lines = await desk.lines(id);
    const freedMs = await desk.end(side, id);
    console.log(`firefox: answered after ${tookMs} ms, over ${JSON.stringify(lines)}; freed after ${freedMs} ms`);
    expect(heard.byAgent, "the agent hears the customer").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(heard.byCustomer, "the customer hears the agent").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(lines).toContainEqual({ part: "customer", path: `turn-${way}` });
    expect(freedMs).toBeLessThanOrEqual(FREED_MS);
  });
});
