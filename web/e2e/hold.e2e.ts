// A hold so long that the customer was sent more packets than half of the sequence numbers there are, and then the agent's
// voice: a stream that went back, or jumped, would be refused as replayed and stay silent. The whole length takes a quarter
// of an hour and runs with --long; a short hold goes the same way each time.
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { person, type Person } from "./harness/chromium.ts";
import { hear } from "./harness/ear.ts";
import { artifacts, long } from "./harness/paths.ts";
import { keepWhatTheySaw, online, signIn } from "./harness/people.ts";
import { account, rest, serve, type Server } from "./harness/server.ts";
import { dropped } from "./harness/sockets.ts";
import { chirp, trace, writeWav } from "./harness/sound.ts";
import { pause, until } from "./harness/wait.ts";

/** Packets of music that the customer is sent, 50 a second. */
const HOLD_PACKETS = long ? 40_000 : 250;
/** The slowest that so many may come, milliseconds: five in six of the time. */
const HOLD_MS_MAX = HOLD_PACKETS * 24 + 20_000;
/** Least correlation of a window that counts as the voice. */
const VOICE_MIN = 0.7;
const WINDOW_MS = 250;
/** What is listened to before and after the agent is back, milliseconds. */
const BEFORE_MS = 1_500;
const AFTER_MS = 3_500;

/** Greatest number of packets that may be missing between the first of the music and the agent's last. */
const LOST_MAX = 1;

/** What a page has received, by its own statistics. */
interface Received {
  packets: number;
  /** By their numbers (RFC 3550 §6.4.1): the span of them less those that came. */
  lost: number;
  /** Came, but too late to be played: that is the machine's doing. */
  discarded: number;
  streams: number;
  /** The port at which the page receives. */
  port: number;
}

const received = (page: Person["page"]): Promise<Received> =>
  page.evaluate(async () => {
    const ear = (window as unknown as { __ear: { peers: RTCPeerConnection[] } }).__ear;
    const sum = { packets: 0, lost: 0, discarded: 0, streams: 0, port: 0 };
    const rows = await ear.peers.at(-1)!.getStats();
    for (const row of rows.values() as Iterable<Record<string, number | string>>) {
      if (row["type"] === "transport") {
        const pair = rows.get(String(row["selectedCandidatePairId"])) as Record<string, string> | undefined;
        const local = rows.get(String(pair?.["localCandidateId"])) as Record<string, number> | undefined;
        sum.port = Number(local?.["port"]);
      }
      if (row["type"] !== "inbound-rtp" || !row["packetsReceived"]) continue;
      sum.packets += Number(row["packetsReceived"]);
      sum.lost += Number(row["packetsLost"]);
      sum.discarded += Number(row["packetsDiscarded"] ?? 0);
      sum.streams += 1;
    }
    return sum;
  });

describe("hold: music for as long as it takes, then the agent", () => {
  const folder = artifacts("hold");
  const voices = { customer: join(folder, "customer.wav"), agent: join(folder, "agent.wav") };
  let server: Server;
  let customer: Person;
  let agent: Person;

  beforeAll(async () => {
    chirp("up", voices.customer);
    chirp("down", voices.agent);
    server = await serve("hold");
    agent = await person({ wav: voices.agent, ear: true });
    customer = await person({ wav: voices.customer, ear: true });
  });

  afterAll(async () => {
    await customer?.close();
    await agent?.close();
    await server?.stop();
  });

  keepWhatTheySaw(folder, () => ({ customer, agent }));

  it(
    `lets the customer hear the agent again after ${HOLD_PACKETS} packets`,
    async () => {
      await signIn(agent.page, server, account(server, "agent"));
      await online(agent.page);
      await customer.page.goto(`${server.url}/demo`);
      await customer.page.getByTestId("launcher").click();
      await customer.page.getByTestId("call-us").click();
      await customer.page.getByTestId("call-now").click();
      await agent.page.getByTestId("offer-accept").click();
      await until("the call is answered", async () => {
        const { calls } = await rest<{ calls: { status: string }[] }>(server, "GET", "/api/support/calls");
        return calls.some((one) => one.status === "answered");
      });
      const recorded = customer.page.getByTestId("recording");
      await recorded.waitFor();
      await pause(BEFORE_MS);
      await agent.page.getByTestId("hold").click();
      await customer.page.getByText("not recorded").waitFor();
      await recorded.waitFor({ state: "detached" });
      // From here on it is music: what went before is none of the hold's business.
      const begun = await received(customer.page);
      const droppedBefore = dropped(begun.port);
      const enough = async () => (await received(customer.page)).packets - begun.packets >= HOLD_PACKETS;
      await until("so much music was received", enough, HOLD_MS_MAX);

      const listening = hear(customer.page, BEFORE_MS + AFTER_MS);
      await pause(BEFORE_MS);
      const since = Date.now();
      await agent.page.getByTestId("hold").click();
      await customer.page.getByTestId("held").waitFor({ state: "detached" });
      await recorded.waitFor();
      const atCustomer = await listening;
      const wav = writeWav(join(folder, "heard.wav"), atCustomer.samples, atCustomer.rate);
      const { windows } = await trace(voices.agent, wav, 0, WINDOW_MS);
      const startOf = (n: number): number => atCustomer.at + n * WINDOW_MS - since;
      const first = windows.findIndex((value, n) => value >= VOICE_MIN && startOf(n) > -WINDOW_MS);
      const music = windows.slice(0, Math.max(first - 1, 1));
      expect(Math.max(...music), "music, and no agent, before he is back").toBeLessThan(VOICE_MIN);
      expect(Math.min(...music), "and no silence").toBeGreaterThan(0);
      expect(first, "the agent is heard").toBeGreaterThan(0);
      const spoken = windows.slice(first);
      expect(spoken.filter((value) => value >= VOICE_MIN).length / spoken.length).toBeGreaterThan(0.8);
      const ended = await received(customer.page);
      const count = ended.packets - begun.packets;
      const lost = ended.lost - begun.lost;
      // What waited for a browser that did not fetch it was sent.
      const unfetched = dropped(ended.port) - droppedBefore;
      console.log(
        `hold of ${count} packets: the agent is heard ${startOf(first).toFixed()} ms after his press; lost ${lost}, of ` +
          `them ${unfetched} in front of the browser; discarded ${ended.discarded - begun.discarded}`,
      );
      expect([ended.streams, ended.port], "all of it in one stream, at one socket").toEqual([1, begun.port]);
      expect(lost - unfetched, "nothing was left out on the way, and no number").toBeLessThanOrEqual(LOST_MAX);
    },
    HOLD_MS_MAX + 120_000,
  );
});
