// A customer in the other browser: the call of `call.e2e.ts` between Firefox and Chromium, whose offers differ in payload
// types, header extensions and candidates. Slow to start and in need of a sound server, so part of `--long` only.
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { person, type Person } from "./harness/chromium.ts";
import { codecOf, hear } from "./harness/ear.ts";
import { firefoxPerson, type FirefoxPerson } from "./harness/firefox.ts";
import { artifacts, long } from "./harness/paths.ts";
import { keepWhatTheySaw, online, signIn } from "./harness/people.ts";
import { account, rest, serve, type Server } from "./harness/server.ts";
import { chirp, compare, writeWav } from "./harness/sound.ts";
import { pause, until } from "./harness/wait.ts";

/** Least correlation, as the median of the windows, that counts as heard. */
const HEARD_MIN = 0.9;
/** How long each side listens, milliseconds. */
const LISTEN_MS = 8_000;
/** The first seconds of a connection are the browser's own jitter buffer settling. */
const SETTLE_MS = 3_000;

if (!long) console.log("firefox: left out, it runs with --long (or --only firefox)");

describe.skipIf(!long)("firefox: a customer in Firefox, an agent in Chromium", () => {
  const folder = artifacts("firefox");
  const up = join(folder, "customer.wav");
  const down = join(folder, "agent.wav");
  let server: Server;
  let customer: FirefoxPerson;
  let agent: Person;
  let callId = "";

  beforeAll(async () => {
    chirp("up", up);
    chirp("down", down);
    server = await serve("firefox");
    [agent, customer] = await Promise.all([person({ wav: down, ear: true }), firefoxPerson(up)]);
  });

  afterAll(async () => {
    await customer?.close();
    await agent?.close();
    await server?.stop();
  });

  keepWhatTheySaw(folder, () => ({ customer, agent }));

  const status = async () => (await rest<{ status: string }>(server, "GET", `/api/support/call/${callId}`)).status;

  it("rings at the desk", async () => {
    await signIn(agent.page, server, account(server, "agent"));
    await online(agent.page);

    await customer.page.goto(`${server.url}/demo`);
    for (const name of ["launcher", "call-us", "call-now"]) await customer.press(name);
    await agent.page.getByTestId("offer").waitFor();
    const { calls } = await rest<{ calls: { callId: string }[] }>(server, "GET", "/api/support/calls");
    expect(calls).toHaveLength(1);
    callId = calls[0]!.callId;
  });

  it("is answered, and each side hears the other", async () => {
    await agent.page.getByTestId("offer-accept").click();
    const accepted = Date.now();
    await until("the call is answered", async () => (await status()) === "answered");
    const answeredMs = Date.now() - accepted;
    await pause(SETTLE_MS);
    const [atCustomer, atAgent] = await Promise.all([hear(customer.page, LISTEN_MS), hear(agent.page, LISTEN_MS)]);
    const customerHeard = writeWav(join(folder, "heard-by-customer.wav"), atCustomer.samples, atCustomer.rate);
    const agentHeard = writeWav(join(folder, "heard-by-agent.wav"), atAgent.samples, atAgent.rate);
    const byAgent = compare(up, agentHeard, 0, 1);
    const byCustomer = compare(down, customerHeard, 0, 1);
    const [ours, theirs] = await Promise.all([codecOf(customer.page), codecOf(agent.page)]);
    console.log(
      `${customer.version}: answered after ${answeredMs} ms; agent hears ${byAgent.median.toFixed(3)}, ` +
        `customer hears ${byCustomer.median.toFixed(3)}; ${ours.mimeType} as ${ours.payloadType} in Firefox ` +
        `and as ${theirs.payloadType} in Chromium`,
    );
    expect(byAgent.median, "the agent hears the customer").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(byCustomer.median, "the customer hears the agent").toBeGreaterThanOrEqual(HEARD_MIN);
    expect([byAgent.silent, byCustomer.silent], "silent seconds").toEqual([0, 0]);
    // The two number the codec differently, so a payload type that is passed on unchanged would have been silence.
    expect(ours.payloadType).not.toBe(theirs.payloadType);
  });

  it("ends by the customer and has gone through every state", async () => {
    await customer.press("hangup");
    await customer.see("ended");
    await agent.page.getByTestId("wrapup-done").click();
    await until("the call is completed", async () => (await status()) === "completed");
    const { events } = await rest<{ events: { kind: string }[] }>(server, "GET", `/api/support/call/${callId}/events`);
    const told = events.map((event) => event.kind);
    const path = ["call.queued", "call.ringing", "call.accepted", "call.answered", "call.completed"];
    expect(
      path.filter((kind) => told.includes(kind)),
      told.join(" "),
    ).toEqual(path);
    expect(customer.log.filter((line) => line.startsWith("pageerror"))).toEqual([]);
  });
});
