// Which browsers send lost audio again when they are asked, which ask themselves, and how the two must agree on it. Part
// of `--long` only: what it finds belongs to the browsers and not to us, and stands in docs/LOSS.md.
import { join as path } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { person, type Person } from "./harness/chromium.ts";
import { firefoxPerson, type FirefoxPerson } from "./harness/firefox.ts";
import { netlab } from "./harness/netlab.ts";
import { artifacts, long } from "./harness/paths.ts";
import { serve, type Server } from "./harness/server.ts";
import { chirp } from "./harness/sound.ts";
import { join, leave, metric, ring, sent, type Page, type Terms } from "./harness/talk.ts";
import { pause } from "./harness/wait.ts";

/** How long each direction loses packets, milliseconds: some 500 packets of 20 ms. */
const LOSSY_MS = 10_000;
/** How long the last ones may still be asked for; the server counts each second. */
const AFTER_MS = 2_000;
/** Share of the packets that the link loses, and the seed of its map. */
const SHARE = 0.05;
const SEED = 7;
/** Least share of the lost packets that must come after all where both sides agreed: what is sent again is lost too. */
const REPAIRED_MIN = 0.8;

if (!long) console.log("nack: left out, it runs with --long (or --only nack)");

/** Of one direction: lost on the way, sent again, came after all, and what the server counted as repaired. */
interface Way {
  packets: number;
  lost: number;
  again: number;
  repaired: number;
  counted: number;
}

describe.skipIf(!long)("nack: browsers that are asked for lost audio", () => {
  const folder = artifacts("nack");
  const wav = path(folder, "voice.wav");
  let server: Server;
  let chromium: Person;
  let other: Person;
  let firefox: FirefoxPerson | undefined;

  beforeAll(async () => {
    chirp("up", wav);
    server = await serve("nack");
    [chromium, other] = await Promise.all([person({ wav, ear: true }), person({ wav, ear: true })]);
    for (const one of [chromium, other]) await one.page.goto(`${server.url}/demo`);
    console.log(`Chromium ${chromium.context.browser()?.version() ?? "of unknown version"}`);
  });

  afterAll(async () => {
    await chromium?.close();
    await other?.close();
    await firefox?.close();
    await server?.stop();
  });

  /** A call of `page` over a link that loses packets in one direction, then in the other. */
  async function trial(name: string, page: Page, terms: Terms): Promise<{ up: Way; down: Way }> {
    const link = await netlab(server.media[0]!, SEED);
    const repaired = (by: string) => metric(server, "helpline_rtp_packets_repaired_total", { by });
    try {
      const call = await ring(server);
      await Promise.all([
        join(page, call.customer, { ...terms, via: link.listen }),
        join(other.page as unknown as Page, call.agent, {}),
      ]);
      const lossy = async (way: "up" | "down", by: string): Promise<Way> => {
        await pause(AFTER_MS);
        const before = await repaired(by);
        await link.say(`${way} loss ${SHARE}`);
        await pause(LOSSY_MS);
        const { rtp: packets, lost, again, repaired: came } = (await link.counts())[way];
        await link.say(way);
        await pause(AFTER_MS);
        return { packets, lost, again, repaired: came, counted: (await repaired(by)) - before };
      };
      const found = { up: await lossy("up", "rtx"), down: await lossy("down", "resent") };
      const { nackCount, retransmittedPacketsSent } = await sent(page);
      const own = `own statistics: ${nackCount} NACKs, ${retransmittedPacketsSent} sent again`;
      console.log(`${name}: up ${JSON.stringify(found.up)}, down ${JSON.stringify(found.down)}; ${own}`);
      expect(Math.min(found.up.lost, found.down.lost), "something was lost either way").toBeGreaterThan(0);
      return found;
    } finally {
      await Promise.all([leave(page), leave(other.page as unknown as Page)]);
      link.stop();
    }
  }

  const enough = (way: Way) => way.repaired / way.lost;

  it("Chromium: not without an agreement", async () => {
    const { up, down } = await trial("Chromium, no nack", chromium.page as unknown as Page, {});
    expect([up.again, down.again]).toEqual([0, 0]);
  });

  it("Chromium: with nack in its own description", async () => {
    const { up } = await trial("Chromium, nack set locally", chromium.page as unknown as Page, { nack: "local" });
    expect(enough(up)).toBeGreaterThanOrEqual(REPAIRED_MIN);
  });

  it("Chromium: with nack in the answer alone, which is how our client does it", async () => {
    const { up } = await trial("Chromium, nack answered", chromium.page as unknown as Page, { nack: "answer" });
    expect(enough(up)).toBeGreaterThanOrEqual(REPAIRED_MIN);
  });

  it("Firefox: the same three", async () => {
    firefox = await firefoxPerson(wav);
    console.log(firefox.version);
    await firefox.page.goto(`${server.url}/demo`);
    const page = firefox.page as unknown as Page;
    const none = await trial("Firefox, no nack", page, {});
    expect([none.up.again, none.down.again]).toEqual([0, 0]);
    for (const nack of ["local", "answer"] as const) {
      const { up } = await trial(`Firefox, nack by ${nack}`, page, { nack });
      expect(enough(up)).toBeGreaterThanOrEqual(REPAIRED_MIN);
    }
  });
});
