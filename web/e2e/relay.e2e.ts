// Customers whose network lets them reach nothing but the relay: real browsers call through it over UDP, TCP and TLS, are
// heard and recorded; and one whose datagrams to the media port go nowhere finds the relay by himself.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { able } from "./harness/able.ts";
import { person, type Person } from "./harness/chromium.ts";
import { Desk, FREED_MS, HEARD_MIN, inChromium, inFirefox } from "./harness/desk.ts";
import { cannotTrust, firefoxPerson, type FirefoxPerson } from "./harness/firefox.ts";
import { udpProxy, type UdpProxy } from "./harness/network.ts";
import { long } from "./harness/paths.ts";
import {
  allocations,
  installOnlyRelay,
  installRelayDetour,
  relaySettings,
  udpFirst,
  type Way,
} from "./harness/relay.ts";
import { until } from "./harness/wait.ts";

/** How many of a browser's first datagrams to the relay are lost; it says the same again after a quarter of a second. */
const FIRST_LOST = 2;

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
      ...udpFirst,
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
    const lines = await desk.settle(id, ["turn-udp"]);
    const heard = await desk.listen(side, "closed");
    const freedMs = await desk.end(side, id);
    console.log(`closed: answered after ${tookMs} ms, over ${JSON.stringify(lines)}; freed after ${freedMs} ms`);
    expect(heard.byAgent, "the agent hears the customer").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(heard.byCustomer, "the customer hears the agent").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(freedMs).toBeLessThanOrEqual(FREED_MS);
  });
});

describe("relay: a network that loses the first datagrams", () => {
  const desk = new Desk("relay-lossy");
  let network: UdpProxy | undefined;
  let customer: Person | undefined;

  beforeAll(() => desk.open({ ...relaySettings(desk.folder).env, ...udpFirst }));

  afterAll(async () => {
    await customer?.close();
    network?.close();
    await desk.close();
  });

  it("leaves a call that goes over UDP all the same", async () => {
    const [address] = desk.server.stun;
    network = await udpProxy(Number(address!.slice(address!.lastIndexOf(":") + 1)));
    network.lose(FIRST_LOST);
    customer = await person({ wav: desk.up, ear: true });
    await customer.page.addInitScript(installRelayDetour, network.port);
    await customer.page.goto(`${desk.server.url}/demo`);
    const side = inChromium(customer);
    const { id, tookMs } = await desk.connect(side);
    // Nobody listens: the comparison would stop this process, and with it what goes through it.
    const lines = await until("both ways are told", async () => {
      const told = await desk.lines(id);
      return told.length === 2 && told;
    });
    const lost = network.lost();
    console.log(`lossy: answered after ${tookMs} ms, over ${JSON.stringify(lines)}; datagrams lost: ${lost}`);
    expect(lost, "the first ones were lost").toBe(FIRST_LOST);
    expect(lines).toContainEqual({ part: "customer", path: "turn-udp" });
    await desk.end(side, id);
  });
});

if (!long) console.log("relay in Firefox: left out, it runs with --long");

describe.skipIf(!long)("relay: a customer in Firefox who may use nothing else", () => {
  const desk = new Desk("relay-firefox");
  let customer: FirefoxPerson | undefined;
  let authority = "";

  beforeAll(async () => {
    // To an address it opens no TLS: the relay must have a name.
    const settings = relaySettings(desk.folder, "localhost");
    authority = settings.authority;
    await desk.open(settings.env);
  });

  afterEach(async () => {
    await customer?.close();
    customer = undefined;
  });

  afterAll(() => desk.close());

  const calls = async (way: Way): Promise<void> => {
    customer = await firefoxPerson(desk.up, way === "tls" ? authority : undefined);
    await customer.page.evaluateOnNewDocument(installOnlyRelay, way);
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
  };

  it.each(["udp", "tcp"] as const)("calls over TURN/%s and is heard", calls);
  // Told of nothing it trusts nobody's certificate but the usual ones'.
  const trusts = long && able("TURN/tls in Firefox", cannotTrust());
  it.skipIf(!trusts)("calls over TURN/tls and is heard", () => calls("tls"));
});
