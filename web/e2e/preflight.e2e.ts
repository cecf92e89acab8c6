// A visitor with a link tests his line in a real browser: he hears himself, and support gets the report.
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PreflightLink } from "../shared/gen/PreflightLink.ts";
import type { PreflightPage } from "../shared/gen/PreflightPage.ts";
import { person, type Person } from "./harness/chromium.ts";
import { hear } from "./harness/ear.ts";
import { firefoxPerson, type FirefoxPerson } from "./harness/firefox.ts";
import { artifacts, long } from "./harness/paths.ts";
import { keepWhatTheySaw, signIn } from "./harness/people.ts";
import { allocations, relaySettings } from "./harness/relay.ts";
import { account, rest, serve, type Server } from "./harness/server.ts";
import { chirp, compare, writeWav } from "./harness/sound.ts";
import { until } from "./harness/wait.ts";

/** Least correlation, as the median of the seconds, that counts as heard. */
const HEARD_MIN = 0.9;
/** How much of the five seconds is listened to, milliseconds. */
const LISTEN_MS = 4_400;
/** A browser with this uses no UDP of its own. */
const NO_UDP = "--webrtc-ip-handling-policy=disable_non_proxied_udp";

/** Every step of the test, in their order. */
const STEPS = ["secure_context", "microphone", "level", "server", "socket", "network", "relay", "connection", "echo"];

/** What the visitor reads of the ways to the relay. */
const waysOf = (visitor: Person): Promise<string[]> => visitor.page.locator("[data-way]").allTextContents();

/** In what state every connection is that the page has made. */
const peersOf = (visitor: Person): Promise<string[]> =>
  visitor.page.evaluate(() =>
    (window as unknown as { __ear: { peers: RTCPeerConnection[] } }).__ear.peers.map((peer) => peer.signalingState),
  );

describe("a line test", () => {
  const folder = artifacts("preflight");
  const up = join(folder, "visitor.wav");
  let server: Server;
  let visitor: Person;
  let link: PreflightLink;
  let token = "";
  let code = "";

  beforeAll(async () => {
    chirp("up", up);
    const { env, spki } = relaySettings(folder);
    server = await serve("preflight", { env });
    visitor = await person({ wav: up, ear: true, args: [`--ignore-certificate-errors-spki-list=${spki}`] });
  });

  afterAll(async () => {
    await visitor?.close();
    await server?.stop();
  });

  keepWhatTheySaw(folder, () => ({ visitor }));

  /** A request of the agent. */
  const asAgent = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const answer = await fetch(`http://${server.http}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    expect(answer.ok, `${method} ${path}: ${answer.status}`).toBe(true);
    return (await answer.json()) as T;
  };

  it("is opened by a link that an agent hands out, and leaves no token in the address", async () => {
    const { staff } = await rest<{ staff: { id: string; email: string }[] }>(server, "GET", "/api/support/staff");
    const { id } = staff.find((one) => one.email === account(server, "agent").email)!;
    const path = `/api/support/staff/${id}/sessions`;
    token = (await rest<{ token: string }>(server, "POST", path, {})).token;
    link = await asAgent<PreflightLink>("POST", "/api/support/preflight/link", { note: "Amina, second floor" });
    await visitor.page.goto(server.url + link.path);
    await visitor.page.getByTestId("start").waitFor();
    expect(new URL(visitor.page.url()).hash).toBe("");
  });

  it("plays the visitor his own voice for five seconds", async () => {
    await visitor.page.getByTestId("start").click();
    await visitor.page.locator('[data-testid="echo"][data-result="running"]').waitFor();
    expect(
      (await peersOf(visitor)).filter((state) => state !== "closed"),
      "nothing is left of the probes",
    ).toEqual(["stable"]);
    const { samples, rate } = await hear(visitor.page, LISTEN_MS);
    const heard = writeWav(join(folder, "echo.wav"), samples, rate);
    await visitor.page.getByTestId("verdict").waitFor();
    const verdict = compare(up, heard);
    console.log(`the echo, second by second: ${verdict.windows.map((w) => w.toFixed(2)).join(" ")}`);
    expect(verdict.median).toBeGreaterThanOrEqual(HEARD_MIN);
    expect(verdict.silent).toBe(0);
  });

  it("says that all is well, with every step and figure", async () => {
    const steps = await visitor.page
      .locator("[data-result]")
      .evaluateAll((all) => all.map((one) => `${one.getAttribute("data-testid")} ${one.getAttribute("data-result")}`));
    expect(steps).toEqual(STEPS.map((step) => `${step} ok`));
    expect(await visitor.page.getByTestId("verdict").getAttribute("data-verdict")).toBe("ok");
    expect(await waysOf(visitor)).toEqual(["UDP works", "TCP works", "TLS works"]);
    await until("the relay has nothing of the test", async () => (await allocations(server)).length === 0);
  });

  it("sends its report, which the agent finds by the code that is read out", async () => {
    await visitor.page.getByTestId("send").click();
    code = (await visitor.page.getByTestId("code").textContent())!.trim();
    expect(code).toMatch(/^[A-HJ-NP-Z2-9]{3} [A-HJ-NP-Z2-9]{3}$/);
    const path = `/api/support/preflight?code=${encodeURIComponent(code)}`;
    // What the media server measured comes with the end of the leg.
    const found = await until("both reports", async () => {
      const { preflights } = await asAgent<PreflightPage>("GET", path);
      return preflights.find((one) => one.line && one.report);
    });
    expect(found).toMatchObject({ via: "link", who: "Amina, second floor", verdict: "ok" });
    const { figures, browser } = found.report!;
    console.log(`figures: ${JSON.stringify(figures)}; media: ${JSON.stringify(found.line)}`);
    expect(browser).toMatch(/^Chromium \d+ \(Linux\)$/);
    expect(figures.mos).toBeGreaterThan(4);
    expect(figures.loss).toBeLessThan(0.02);
    expect(figures.path).toBe("udp");
    expect(figures.relay).toEqual({ udp: "ok", tcp: "ok", tls: "ok" });
    expect(figures.totalMs).toBeGreaterThan(0);
    expect(figures.signallingMs! + figures.iceMs! + figures.dtlsMs!).toBeGreaterThanOrEqual(figures.totalMs! - 3);
    // 50 packets a second, five seconds and what the handshake left of a sixth.
    expect(found.line!.packetsReceived).toBeGreaterThanOrEqual(240);
    expect(found.line!.level).toBeGreaterThan(0);
    expect(visitor.log.filter((line) => line.startsWith("pageerror"))).toEqual([]);
  });

  it("is shown to the agent at the console, with the figures of both sides", async () => {
    const agent = await person({});
    try {
      await signIn(agent.page, server, account(server, "agent"), "/admin/tests");
      await agent.page.getByTestId("tests-code").fill(code.toLowerCase());
      await agent.page.getByRole("link", { name: `Line test ${code}` }).click();
      const shown = agent.page.getByTestId("tests-drawer");
      for (const words of ["Amina, second floor", "Ready", "Relay", "Your voice comes back"]) {
        await shown.getByText(words, { exact: true }).waitFor();
      }
      expect(await shown.locator("[data-way]").allTextContents()).toEqual(["UDP works", "TCP works", "TLS works"]);
      // Scores of the browser and of the server, neither of them a dash.
      const scores = await shown.locator("tbody tr").first().locator("td").allTextContents();
      expect(scores.length, "of both sides").toBe(2);
      expect(Math.min(...scores.map(Number)), scores.join(" and ")).toBeGreaterThan(4);
      expect(agent.log.filter((line) => line.startsWith("pageerror"))).toEqual([]);
    } finally {
      await agent.close();
    }
  });
});

// A browser that its administrator forbids UDP: what a closed office looks like from inside.
describe("a line test where UDP is closed", () => {
  const folder = artifacts("preflight-closed");
  let server: Server;
  let visitor: Person;

  beforeAll(async () => {
    chirp("up", join(folder, "visitor.wav"));
    server = await serve("preflight-closed");
    visitor = await person({ wav: join(folder, "visitor.wav"), ear: true, args: [NO_UDP] });
  });

  afterAll(async () => {
    await visitor?.close();
    await server?.stop();
  });

  keepWhatTheySaw(folder, () => ({ visitor }));

  it("says which way to the relay works, which does not and which is not offered, and what to open", async () => {
    const { page } = visitor;
    await page.goto(`${server.url}/preflight`);
    await page.getByTestId("start").click();
    await page.getByTestId("verdict").waitFor();
    expect(await waysOf(visitor)).toEqual(["UDP fails", "TCP works", "TLS not offered"]);
    const row = page.getByTestId("relay");
    expect(await row.getAttribute("data-result")).toBe("warn");
    const text = (await row.textContent()) ?? "";
    expect(text).toContain("ask your network team to open UDP");
    const [address] = server.stun;
    expect(text).toMatch(new RegExp(`UDP [^ ]+:${address!.slice(address!.lastIndexOf(":") + 1)}`));
    await page.getByTestId("send").click();
    const code = ((await page.getByTestId("code").textContent()) ?? "").trim();
    const path = `/api/support/preflight?code=${encodeURIComponent(code)}`;
    const { preflights } = await rest<PreflightPage>(server, "GET", path);
    const { figures, steps } = preflights[0]!.report!;
    console.log(`UDP closed: ${JSON.stringify(figures)}`);
    expect(figures.relay).toEqual({ udp: "failed", tcp: "ok", tls: "not_offered" });
    expect(steps.find(({ step }) => step === "relay")).toMatchObject({ result: "warn", code: "relay_over_tcp" });
    expect(JSON.stringify(preflights[0]!.report), "no address in the report").not.toMatch(/\d+\.\d+\.\d+\.\d+/);
  });
});

if (!long) console.log("a line test in Firefox: left out, it runs with --long");

// Other statistics, other candidates, another order of states.
describe.skipIf(!long)("a line test in Firefox", () => {
  const folder = artifacts("preflight-firefox");
  const up = join(folder, "visitor.wav");
  let server: Server;
  let visitor: FirefoxPerson;

  beforeAll(async () => {
    chirp("up", up);
    server = await serve("preflight-firefox");
    visitor = await firefoxPerson(up);
  });

  afterAll(async () => {
    await visitor?.close();
    await server?.stop();
  });

  it("goes through every step, is heard and measured", async () => {
    await visitor.page.goto(`${server.url}/preflight`);
    await visitor.press("start");
    await visitor.page.locator('[data-testid="echo"][data-result="running"]').wait();
    const { samples, rate } = await hear(visitor.page, LISTEN_MS);
    await visitor.see("verdict");
    const steps = await visitor.page.$$eval("[data-result]", (all) =>
      all.map((one) => `${one.getAttribute("data-testid")} ${one.getAttribute("data-result")}`),
    );
    const verdict = compare(up, writeWav(join(folder, "echo.wav"), samples, rate));
    console.log(`steps: ${steps.join(", ")}; the echo: ${verdict.windows.map((w) => w.toFixed(2)).join(" ")}`);
    await visitor.press("send");
    await visitor.see("sent");
    const code = await visitor.page.$eval('[data-testid="code"]', (one) => one.textContent ?? "");
    const path = `/api/support/preflight?code=${encodeURIComponent(code)}`;
    const { preflights } = await rest<PreflightPage>(server, "GET", path);
    const { figures, browser } = preflights[0]!.report!;
    console.log(`figures: ${JSON.stringify(figures)}`);
    expect(steps.map((step) => step.split(" ")[0])).toEqual(STEPS);
    expect(steps.filter((step) => step.endsWith(" failed"))).toEqual([]);
    expect(verdict.median).toBeGreaterThanOrEqual(HEARD_MIN);
    expect(browser).toMatch(/^Firefox \d+ \(Linux\)$/);
    expect(figures.path).toBe("udp");
    expect(figures.mos).toBeGreaterThan(4);
    // Firefox counts whole milliseconds, and loopback has none.
    expect(figures.rttMs).toBeGreaterThanOrEqual(0);
  });
});
