// A TURN service of somebody else in place of our own relay: coturn with a shared secret. A customer who may use nothing
// but that calls, is heard and recorded, and what the service is reached with stands in no page. Part of `--long` only.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { able } from "./harness/able.ts";
import { person, type Person } from "./harness/chromium.ts";
import { coturn, missing, type Coturn } from "./harness/coturn.ts";
import { Desk, HEARD_MIN, inChromium } from "./harness/desk.ts";
import { long } from "./harness/paths.ts";
import { keepWhatTheySaw } from "./harness/people.ts";
import { installOnlyRelay } from "./harness/relay.ts";
import { rest } from "./harness/server.ts";

/** The secret of the test's service, long enough to be found nowhere by chance. */
const SECRET = "managed-relay-secret-of-this-test";
/** Datagrams of the call each way that must have gone through the service: some ten seconds of sound. */
const PACKETS_MIN = 300;

if (!long) console.log("managed relay: left out, it runs with --long (or --only managed-relay)");
const here = long && able("managed relay", missing());

/** How the page's connection goes, by its own statistics. */
interface Chosen {
  kind: string;
  way: string;
  url: string;
  sent: number;
  received: number;
  username: string;
  credential: string;
}

const chosen = (page: Person["page"]): Promise<Chosen> =>
  page.evaluate(async () => {
    const ear = (window as unknown as { __ear: { peers: RTCPeerConnection[] } }).__ear;
    const peer = ear.peers.filter((one) => one.connectionState === "connected").at(-1)!;
    const rows = await peer.getStats();
    const all = [...(rows.values() as Iterable<Record<string, unknown>>)];
    const transport = all.find((row) => row["type"] === "transport");
    const pair = rows.get(String(transport?.["selectedCandidatePairId"])) as Record<string, unknown>;
    const local = rows.get(String(pair["localCandidateId"])) as Record<string, unknown>;
    const [server] = peer.getConfiguration().iceServers ?? [];
    return {
      kind: String(local["candidateType"]),
      way: String(local["relayProtocol"]),
      url: String(local["url"]),
      sent: Number(pair["packetsSent"]),
      received: Number(pair["packetsReceived"]),
      username: String(server?.username),
      credential: String(server?.credential),
    };
  });

describe.skipIf(!here)("managed relay: a customer who may use nothing but somebody else's", () => {
  const desk = new Desk("managed-relay");
  let service: Coturn;
  let customer: Person | undefined;

  beforeAll(async () => {
    service = await coturn(SECRET);
    await desk.open({
      HELPLINE_TURN_MODE: "off",
      HELPLINE_TURN_EXTERNAL_URLS: service.urls.join(","),
      HELPLINE_TURN_EXTERNAL_SECRET: SECRET,
    });
  });

  afterAll(async () => {
    await desk.close();
    await service?.stop();
  });

  keepWhatTheySaw(desk.folder, () => ({ customer, agent: desk.agent }));

  afterEach(async () => {
    await customer?.close();
    customer = undefined;
  });

  it.each(["udp", "tcp"] as const)(
    "calls over it by %s, is heard and recorded; no page has what leads there",
    async (way) => {
      customer = await person({ wav: desk.up, ear: true });
      const { page } = customer;
      // Whatever makes up the pages, and what they ask for while they run.
      const pages: Promise<{ url: string; text: string }>[] = [];
      const answers: Promise<{ url: string; text: string }>[] = [];
      page.on("response", (response) => {
        const url = response.url();
        const read = response.text().then(
          (text) => ({ url, text }),
          () => ({ url, text: "" }),
        );
        (new URL(url).pathname.startsWith("/api/") ? answers : pages).push(read);
      });
      await page.addInitScript(installOnlyRelay, way);
      await page.goto(`${desk.server.url}/demo`);
      const side = inChromium(customer);
      const { id, tookMs } = await desk.connect(side);
      const heard = await desk.listen(side, way);
      const path = await chosen(page);
      const relay = await rest<{ on: boolean }>(desk.server, "GET", "/api/support/relay");
      const shown = await page.content();
      await desk.hangUp(side, id);
      const recorded = await desk.recorded(id, way);
      console.log(
        `${way}: answered after ${tookMs} ms over ${path.url}, ${path.sent} packets sent and ${path.received} received; agent ` +
          `hears ${heard.byAgent.toFixed(3)}, customer ${heard.byCustomer.toFixed(3)}; recorded ` +
          recorded.map((one) => one.toFixed(3)).join(" and "),
      );
      expect(relay.on, "our own relay is off").toBe(false);
      expect([path.kind, path.way]).toEqual(["relay", way]);
      expect(service.urls, "it is the service's").toContain(path.url);
      expect(Math.min(path.sent, path.received)).toBeGreaterThanOrEqual(PACKETS_MIN);
      expect(heard.byAgent, "the agent hears the customer").toBeGreaterThanOrEqual(HEARD_MIN);
      expect(heard.byCustomer, "the customer hears the agent").toBeGreaterThanOrEqual(HEARD_MIN);
      expect(Math.min(...recorded), "both sides are in the recording").toBeGreaterThanOrEqual(HEARD_MIN);

      // A credential has an end and is a leg's; the secret is nobody's.
      expect(Number(path.username.split(":")[0]) * 1000).toBeGreaterThan(Date.now());
      const files = await Promise.all(pages);
      expect(files.filter(({ text }) => text.length > 0).length, "the pages were read").toBeGreaterThan(2);
      for (const { url, text } of [...files, { url: "the page as it stands", text: shown }]) {
        for (const word of [SECRET, path.credential, path.username]) expect(text.includes(word), url).toBe(false);
      }
      const told = await Promise.all(answers);
      expect(told.filter(({ text }) => text.length > 0).length, "the answers were read").toBeGreaterThan(0);
      for (const { url, text } of told) expect(text.includes(SECRET), url).toBe(false);
    },
  );
});
