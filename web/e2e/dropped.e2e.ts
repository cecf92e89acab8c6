// Networks that drop datagrams: those to the media ports, or all of them. Nobody tells the browsers; the call has to come
// about by itself. The scenario runs in a network of its own, in a second process.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { able } from "./harness/able.ts";
import { person, type Person } from "./harness/chromium.ts";
import { Desk, FREED_MS, HEARD_MIN, inChromium } from "./harness/desk.ts";
import { Drops, inside, missing, Probe, runInside } from "./harness/namespace.ts";
import { relaySettings, udpFirst } from "./harness/relay.ts";

/** Lines of the run inside that say what happened. */
const TOLD = /^lost .*/gm;

const here = inside || able("relay in a network that drops datagrams", missing());

if (inside) describe("inside a network that drops datagrams", scenario);
else {
  describe.skipIf(!here)("relay: a network that drops datagrams", () => {
    it("leaves calls that complete by themselves", async () => {
      const said = await runInside("e2e/dropped.e2e.ts");
      const told = said.match(TOLD) ?? [];
      console.log(told.join("\n"));
      expect(told.length, said).toBe(2);
    });
  });
}

function scenario(): void {
  const desk = new Desk("relay-dropped");
  const drops = new Drops();
  let probe: Probe;
  let customer: Person | undefined;

  beforeAll(async () => {
    probe = await Probe.open();
    await desk.open({ ...relaySettings(desk.folder).env, ...udpFirst });
  });

  afterEach(async () => {
    drops.lift();
    await customer?.close();
    customer = undefined;
  });

  afterAll(async () => {
    probe.close();
    await desk.close();
  });

  it.each([
    ["to the media ports", ["turn-udp"]],
    ["of any kind", ["turn-tcp", "turn-tls"]],
  ])("datagrams %s are lost: the call goes over %j", async (which, ways) => {
    const media = desk.server.media.map((address) => Number(address.slice(address.lastIndexOf(":") + 1)));
    customer = await person({ wav: desk.up, ear: true });
    await customer.page.goto(`${desk.server.url}/demo`);
    expect(await probe.arrives(), "nothing is lost yet").toBe(true);
    drops.lose(ways.includes("turn-udp") ? [...media, probe.port] : "all");
    expect(await probe.arrives(), "datagrams are lost").toBe(false);
    const lostBefore = drops.count();
    const side = inChromium(customer);
    const { id, tookMs } = await desk.connect(side);
    const lines = await desk.settle(id, ways);
    const heard = await desk.listen(side, ways[0]!);
    const lost = drops.count();
    const freedMs = await desk.end(side, id);
    const recorded = await desk.recorded(id, ways[0]!);
    console.log(
      `lost ${which}: answered after ${tookMs} ms over ${lines.map((line) => line.path).join(" and ")}; agent hears ` +
        `${heard.byAgent.toFixed(3)}, customer ${heard.byCustomer.toFixed(3)}; recorded ` +
        `${recorded.map((one) => one.toFixed(3)).join(" and ")}; datagrams lost: ${String(lost)}`,
    );
    expect(lost, "the browsers tried").toBeGreaterThan(lostBefore);
    expect(heard.byAgent, "the agent hears the customer").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(heard.byCustomer, "the customer hears the agent").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(Math.min(...recorded), "both sides are in the recording").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(freedMs).toBeLessThanOrEqual(FREED_MS);
  });
}
