// What people beside the agent do with a running call, in real browsers: a supervisor listens and whispers, a colleague
// is asked, joins and gets the call, the supervisor takes it over.
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { person, type Person } from "./harness/chromium.ts";
import { hear } from "./harness/ear.ts";
import { artifacts } from "./harness/paths.ts";
import { keepWhatTheySaw, online, signIn } from "./harness/people.ts";
import { rest, serve, type Server } from "./harness/server.ts";
import { chirp, compare, writeWav } from "./harness/sound.ts";
import { pause, until } from "./harness/wait.ts";

/** Least correlation, as the median of the windows, that counts as heard. */
const HEARD_MIN = 0.9;
/** The same where two known sounds are heard at once. */
const MIXED_MIN = 0.4;
/** How long somebody listens, milliseconds. */
const LISTEN_MS = 6_000;
/** The first seconds of a connection are the browser's own jitter buffer settling. */
const SETTLE_MS = 3_000;

interface Live {
  calls: { callId: string; agentName?: string; supervisors: { mode: string }[]; consult?: { state: string } }[];
}

describe("control of a call in real browsers", () => {
  const folder = artifacts("control");
  const up = join(folder, "customer.wav");
  const down = join(folder, "staff.wav");
  let server: Server;
  const people: Record<string, Person> = {};
  let callId = "";

  const one = (name: string): Person => {
    const found = people[name];
    if (!found) throw new Error(`${name} is not here`);
    return found;
  };
  const page = (name: string) => one(name).page;
  const shown = (name: string, id: string) => page(name).getByTestId(id).first();
  const desk = (name: string, state: string) =>
    page(name).locator(`[data-testid="call-state"][data-state="${state}"]`).waitFor();
  const sound = (name: string) => page(name).locator('[data-testid="call-state"][data-sound="up"]').waitFor();

  /** The call as the supervisor's list has it; a program's key may not see that. */
  const live = async () => {
    const { calls } = (await page("supervisor").evaluate(
      "fetch('/api/support/calls/live').then((r) => r.json())",
    )) as Live;
    return calls.find((call) => call.callId === callId);
  };

  /** How much of a known sound somebody hears. */
  async function heard(name: string, source: string): Promise<number> {
    const { samples, rate } = await hear(page(name), LISTEN_MS);
    return compare(source, writeWav(join(folder, `heard-by-${name}.wav`), samples, rate), 0, 1).median;
  }

  beforeAll(async () => {
    chirp("up", up);
    chirp("down", down);
    server = await serve("control");
    people["customer"] = await person({ wav: up, ear: true });
    for (const name of ["agent", "colleague", "supervisor"]) people[name] = await person({ wav: down, ear: true });
  });

  afterAll(async () => {
    for (const [, each] of Object.entries(people)) await each.close();
    await server?.stop();
  });

  keepWhatTheySaw(folder, () => people);

  it("begins with a call in talk", async () => {
    const [first] = server.accounts.filter(({ role }) => role === "agent");
    await signIn(page("agent"), server, first!, "/agent");
    await online(page("agent"));
    await page("customer").goto(`${server.url}/demo`);
    await shown("customer", "launcher").click();
    await shown("customer", "call-us").click();
    await shown("customer", "call-now").click();
    await shown("agent", "offer-accept").click();
    await desk("agent", "talking");
    callId = (await page("agent").getByTestId("call-state").getAttribute("data-call-id")) ?? "";
    expect(callId).not.toBe("");
  });

  it("is listened to without a microphone, and whispered into with one", async () => {
    const boss = server.accounts.find(({ role }) => role === "supervisor");
    await signIn(page("supervisor"), server, boss!, "/admin");
    await shown("supervisor", "row-monitor").click();
    await page("supervisor").getByRole("img", { name: "Sound of the call" }).waitFor();
    await until("the server knows", async () => (await live())?.supervisors[0]?.mode === "monitor");
    await pause(SETTLE_MS);
    // Both at once, so that neither is the whole of it.
    expect(await heard("supervisor", up), "the supervisor hears the customer").toBeGreaterThanOrEqual(MIXED_MIN);
    await shown("supervisor", "mode-whisper").click();
    await page("supervisor").getByRole("img", { name: "Your microphone" }).waitFor();
    await page("supervisor").getByRole("img", { name: "Sound of the call" }).waitFor();
    await until("the server knows", async () => (await live())?.supervisors[0]?.mode === "whisper");
    await shown("supervisor", "supervise-leave").click();
    await until("nobody supervises", async () => (await live())?.supervisors.length === 0);
  });

  it("has its customer muted and heard again", async () => {
    await shown("agent", "mute-customer").click();
    await page("agent").getByText("that voice is not recorded").waitFor();
    await shown("agent", "mute-customer").click();
    await page("agent").getByText("that voice is not recorded").waitFor({ state: "detached" });
  });

  it("is asked about: a colleague is rung, talks apart, and joins", async () => {
    const [, second] = server.accounts.filter(({ role }) => role === "agent");
    await signIn(page("colleague"), server, second!, "/agent");
    await online(page("colleague"));
    await shown("agent", "ask-open").click();
    await shown("agent", "ask-ring").click();
    await page("agent").locator('[data-testid="consult"][data-state="ringing"]').waitFor();
    await page("colleague").getByText("asks you about").first().waitFor();
    await shown("colleague", "offer-accept").click();
    await page("agent").locator('[data-testid="consult"][data-state="talking"]').waitFor();
    await sound("colleague");
    await pause(SETTLE_MS);
    expect(await heard("colleague", down), "the colleague hears the agent").toBeGreaterThanOrEqual(HEARD_MIN);
    await shown("agent", "consult-merge").click();
    await page("colleague").locator('[data-testid="consult"][data-state="conference"]').waitFor();
    expect((await live())?.consult?.state).toBe("conference");
  });

  it("is passed on: the colleague goes on with the sound he has, the agent writes up", async () => {
    await shown("agent", "consult-complete").click();
    await shown("agent", "wrapup-done").waitFor();
    await page("colleague").getByText("is yours now").waitFor();
    await shown("colleague", "hold").waitFor();
    await pause(SETTLE_MS);
    expect(await heard("customer", down), "the customer hears the colleague").toBeGreaterThanOrEqual(HEARD_MIN);
    await shown("agent", "wrapup-done").click();
  });

  it("is taken over with a reason, and the supervisor's desk has it", async () => {
    await page("supervisor").goto(`${server.url}/admin?call=${callId}`);
    await shown("supervisor", "takeover").click();
    await shown("supervisor", "takeover-reason").fill("the customer asked for me");
    await shown("supervisor", "takeover-submit").click();
    await desk("supervisor", "talking");
    await sound("supervisor");
    await shown("colleague", "wrapup-done").waitFor();
    await pause(SETTLE_MS);
    expect(await heard("customer", down), "the customer hears the supervisor").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(await heard("supervisor", up), "the supervisor hears the customer").toBeGreaterThanOrEqual(HEARD_MIN);
  });

  it("ends, and its history tells all of it", async () => {
    await shown("supervisor", "hangup").click();
    await shown("customer", "ended").waitFor();
    const { events } = await rest<{ events: { kind: string }[] }>(server, "GET", `/api/support/call/${callId}/events`);
    const told = new Set(events.map((event) => event.kind));
    const expected = [
      "call.muted",
      "call.unmuted",
      "call.consult_started",
      "call.consult_answered",
      "call.consult_merged",
      "call.owner_changed",
      "call.taken_over",
      "call.completed",
    ];
    expect(expected.filter((kind) => !told.has(kind))).toEqual([]);
    for (const [name, each] of Object.entries(people))
      expect(
        each.log.filter((line) => line.startsWith("pageerror")),
        name,
      ).toEqual([]);
  });
});
