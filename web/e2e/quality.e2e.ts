// A bad line at the desk: the customer's uplink loses packets, the agent is told so while it does and no longer, and while
// it does not the server's scores are those of the browsers' own statistics. Its figures follow the machine's load, so part
// of `--long` only.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LegQuality } from "../shared/gen/LegQuality.ts";
import { between, mos, read, type Reading } from "../shared/quality.ts";
import { person, type Person } from "./harness/chromium.ts";
import { Desk, inChromium } from "./harness/desk.ts";
import { installLink, netlab, type Netlab } from "./harness/netlab.ts";
import { long } from "./harness/paths.ts";
import { keepWhatTheySaw } from "./harness/people.ts";
import { median } from "./harness/speech.ts";
import { rest } from "./harness/server.ts";
import { pause, until } from "./harness/wait.ts";

/** What the bad uplink does: half a second of every second is lost as a whole, and with it what is sent again. */
const BAD = "bursts 0.5 25";
/** How far the server's score and the browser's may be apart, as medians of a clean phase. */
const APART_MAX = 0.3;
/** Seconds of the clean phase. */
const CLEAN_SECONDS = 12;
/** The first seconds of a connection are the browser's own jitter buffer settling. */
const SETTLE_MS = 5_000;
/** Longest time until a flag stands (3 bad seconds of 5, as the bursts fall) or is gone (5 good ones). */
const FLAG_MS_MAX = 60_000;
/** What the agent reads, and the server's words for it. */
const SENTENCE = "The customer's connection is weak.";
const NETWORK = ["high_loss", "loss_burst", "high_jitter", "low_mos"];
/** Those of them that one bad second does not raise. */
const LASTING = ["high_loss", "low_mos"];
/** Mouth to ear beside round trip and buffer, milliseconds, as both models have it. */
const DEVICES_MS = 40;

if (!long) console.log("quality: left out, it runs with --long (or --only quality)");

type Row = Record<string, unknown> & { type?: string };

/** The rows of a page's live connection. */
const rowsOf = (page: Person["page"]): Promise<Row[]> =>
  page.evaluate(async () => {
    const ear = (window as unknown as { __ear: { peers: RTCPeerConnection[] } }).__ear;
    const live = ear.peers.filter((peer) => peer.connectionState === "connected").at(-1);
    return live ? [...((await live.getStats()).values() as Iterable<Record<string, unknown>>)] : [];
  });

describe.skipIf(!long)("quality: a customer with a bad uplink", () => {
  const desk = new Desk("quality");
  let customer: Person;
  let link: Netlab;
  let callId = "";

  beforeAll(async () => {
    // The relay would be a way around the link.
    await desk.open({ HELPLINE_TURN_MODE: "off" });
    link = await netlab(desk.server.media[0]!, 11);
    customer = await person({ wav: desk.up, ear: true });
    await customer.page.addInitScript(installLink, link.listen);
    await customer.page.goto(`${desk.server.url}/demo`);
  });

  afterAll(async () => {
    await customer?.close();
    link?.stop();
    await desk.close();
  });

  keepWhatTheySaw(desk.folder, () => ({ customer, agent: desk.agent }));

  /** The server's last second of a leg. */
  async function leg(part: string): Promise<LegQuality> {
    const found = (await desk.legs(callId)).find((one) => one.part === part);
    if (!found) throw new Error(`the server has no ${part}`);
    return found;
  }

  const raised = async (): Promise<string[]> => (await leg("customer")).flags.filter((flag) => NETWORK.includes(flag));
  const hint = () => desk.agent.page.getByTestId("call-hints").getByText(SENTENCE, { exact: false });

  it("begins over the link, and agent and server see nothing wrong", async () => {
    ({ id: callId } = await desk.connect(inChromium(customer)));
    await pause(SETTLE_MS);
    const { up } = await link.counts();
    expect(up.rtp, "the sound goes over the link").toBeGreaterThan(100);
    expect(await raised()).toEqual([]);
    expect(await hint().count()).toBe(0);
  });

  it("has the same scores at the server and in the browsers while the line is clean", async () => {
    const seen: Record<"down" | "agent" | "up", { server: number[]; browser: number[] }> = {
      down: { server: [], browser: [] },
      agent: { server: [], browser: [] },
      up: { server: [], browser: [] },
    };
    const before = new Map<Person, Reading>();
    for (let second = 0; second <= CLEAN_SECONDS; second++) {
      for (const [name, one] of [["down", customer] as const, ["agent", desk.agent] as const]) {
        const rows = await rowsOf(one.page);
        const now = read(rows, Date.now());
        const last = before.get(one);
        before.set(one, now);
        if (last) seen[name].browser.push(between(last, now).mos);
        const told = rows.find((row) => row.type === "remote-inbound-rtp");
        if (name === "down" && told) {
          const delay =
            (Number(told["roundTripTime"] ?? 0) * 1000) / 2 + Number(told["jitter"] ?? 0) * 2000 + DEVICES_MS;
          seen.up.browser.push(mos(Number(told["fractionLost"] ?? 0), delay));
        }
      }
      const [theirs, ours] = [await leg("customer"), await leg("agent")];
      seen.up.server.push(theirs.mos);
      if (typeof theirs.mosDown === "number") seen.down.server.push(theirs.mosDown);
      if (typeof ours.mosDown === "number") seen.agent.server.push(ours.mosDown);
      await pause(1_000);
    }
    for (const [way, { server, browser }] of Object.entries(seen)) {
      const figures = `${way}: server ${median(server).toFixed(2)} of ${server.length}, browser ${median(browser).toFixed(2)} of ${browser.length}`; // prettier-ignore
      console.log(figures);
      expect(Math.min(server.length, browser.length), `${way} was measured`).toBeGreaterThanOrEqual(CLEAN_SECONDS / 2);
      expect(Math.abs(median(server) - median(browser)), figures).toBeLessThanOrEqual(APART_MAX);
    }
  });

  it("tells the agent while the uplink is bad, and no longer once it is good again", async () => {
    await link.say(`up ${BAD}`);
    const bad = Date.now();
    const flags = await until(
      "the server raises what lasts",
      async () => {
        const now = await raised();
        return LASTING.some((flag) => now.includes(flag)) && now;
      },
      FLAG_MS_MAX,
    );
    await hint().waitFor({ timeout: FLAG_MS_MAX });
    const { loss, mos: score } = await leg("customer");
    const { up } = await link.counts();
    console.log(`link ${JSON.stringify(up)}; server's last second: loss ${loss.toFixed(2)}, score ${score.toFixed(2)}`);
    console.log(`raised ${flags.join(", ")}; the agent reads it after ${Date.now() - bad} ms`);
    await link.say("up");
    const good = Date.now();
    await hint().waitFor({ state: "detached", timeout: FLAG_MS_MAX });
    expect(await raised()).toEqual([]);
    console.log(`the agent reads nothing of it ${Date.now() - good} ms after the line is good`);
    const { events } = await rest<{ events: { kind: string; data: { flag?: string } }[] }>(
      desk.server,
      "GET",
      `/api/support/call/${callId}/events`,
    );
    const of = (kind: string) => events.filter((one) => one.kind === kind).map(({ data }) => data.flag);
    expect(of("quality.raised"), "the history has it").toEqual(expect.arrayContaining(flags));
    expect(of("quality.cleared")).toEqual(expect.arrayContaining(flags));
  });
});
