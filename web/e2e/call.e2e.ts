// The main job: a customer calls, an agent answers, both hear each other, the recording is whole, QA listens.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { person, type Person } from "./harness/chromium.ts";
import { hear } from "./harness/ear.ts";
import { artifacts } from "./harness/paths.ts";
import { keepWhatTheySaw, online, signIn } from "./harness/people.ts";
import { account, rest, serve, type Server } from "./harness/server.ts";
import { chirp, compare, decode, writeWav } from "./harness/sound.ts";
import { pause, until } from "./harness/wait.ts";

/** Least correlation, as the median of the windows, that counts as heard. */
const HEARD_MIN = 0.9;
/** How long each side listens and the call goes on, milliseconds. */
const LISTEN_MS = 8_000;
/** The first seconds of a connection are the browser's own jitter buffer settling. */
const SETTLE_MS = 3_000;
/** Height of a stroke that shows no sound, units of the line's picture. */
const SILENT_STROKE = 4;
/** Where a jump to four fifths of the recording lands at least, seconds: it is listened to for longer than this. */
const JUMP_TO_S = 7;
/** The recording's length against the answered time, milliseconds. */
const LENGTH_TOLERANCE_MS = 100;

interface Call {
  callId: string;
  status: string;
  answeredAt?: string;
  endedAt?: string;
}
interface Quality {
  heard: { part: string; mos: (number | null)[] }[];
}
interface Recording {
  recordingId: string;
  state: string;
  durationSeconds?: number;
}

describe("a call in two real browsers", () => {
  const folder = artifacts("call");
  const up = join(folder, "customer.wav");
  const down = join(folder, "agent.wav");
  let server: Server;
  let customer: Person;
  let agent: Person;
  let qa: Person;
  let callId = "";

  beforeAll(async () => {
    chirp("up", up);
    chirp("down", down);
    server = await serve("call");
    [agent, customer] = await Promise.all([person({ wav: down, ear: true }), person({ wav: up, ear: true })]);
  });

  afterAll(async () => {
    await customer?.close();
    await agent?.close();
    await qa?.close();
    await server?.stop();
  });

  keepWhatTheySaw(folder, () => ({ customer, agent, qa }));

  const staffBusy = async () => {
    const { staff } = await rest<{ staff: { email: string; currentCallCount: number }[] }>(
      server,
      "GET",
      "/api/support/staff",
    );
    return staff.find((one) => one.email === account(server, "agent").email)?.currentCallCount;
  };

  it("rings at the desk once the agent is online", async () => {
    await signIn(agent.page, server, account(server, "agent"));
    await online(agent.page);

    await customer.page.goto(`${server.url}/demo`);
    await customer.page.getByTestId("launcher").click();
    await customer.page.getByTestId("call-us").click();
    await customer.page.getByTestId("call-now").click();
    await agent.page.getByTestId("offer").waitFor();
    const list = await rest<{ calls: Call[] }>(server, "GET", "/api/support/calls");
    expect(list.calls.map((call) => call.status)).toEqual(["ringing"]);
    callId = list.calls[0]!.callId;
  });

  it("connects on acceptance, and each side hears the other", async () => {
    await agent.page.getByTestId("offer-accept").click();
    const state = async () => (await rest<Call>(server, "GET", `/api/support/call/${callId}`)).status;
    await until("the call is answered", async () => (await state()) === "answered");
    expect(await staffBusy()).toBe(1);
    await pause(SETTLE_MS);
    const [atCustomer, atAgent] = await Promise.all([hear(customer.page, LISTEN_MS), hear(agent.page, LISTEN_MS)]);
    const customerHeard = writeWav(join(folder, "heard-by-customer.wav"), atCustomer.samples, atCustomer.rate);
    const agentHeard = writeWav(join(folder, "heard-by-agent.wav"), atAgent.samples, atAgent.rate);
    expect(compare(up, agentHeard, 0, 1).median, "the agent hears the customer").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(compare(down, customerHeard, 0, 1).median, "the customer hears the agent").toBeGreaterThanOrEqual(HEARD_MIN);
  });

  it("shows the customer the agent's voice as a line", async () => {
    const line = customer.page.locator(".stage-line path");
    await until("the line is open", async () => strokes((await line.getAttribute("d")) ?? "") > 0);
  });

  it("is told by both clients what they heard, apart from what the server measured", async () => {
    const told = await until("both have told", async () => {
      const { heard } = await rest<Quality>(server, "GET", `/api/support/call/${callId}/quality`);
      return heard.length === 2 && heard;
    });
    expect(told.map((track) => track.part)).toEqual(["customer", "agent"]);
    for (const { part, mos } of told) expect(mos.filter((one) => one !== null).length, part).toBeGreaterThanOrEqual(10);
  });

  it("ends by the customer, frees the agent, and has gone through every state", async () => {
    await customer.page.getByTestId("hangup").first().click();
    await customer.page.getByTestId("ended").waitFor();
    await agent.page.getByTestId("wrapup-done").click();
    await until("the agent is free", async () => (await staffBusy()) === 0);
    const call = await rest<Call>(server, "GET", `/api/support/call/${callId}`);
    expect(call.status).toBe("completed");
    const { events } = await rest<{ events: { kind: string }[] }>(server, "GET", `/api/support/call/${callId}/events`);
    const told = events.map((event) => event.kind);
    const path = ["call.queued", "call.ringing", "call.accepted", "call.answered", "call.completed"];
    expect(
      path.filter((kind) => told.includes(kind)),
      told.join(" "),
    ).toEqual(path);
  });

  it("leaves one recording with the customer left and the agent right", async () => {
    const stored = await until(
      "the recording is stored",
      async () => {
        const path = `/api/support/call/${callId}/recordings`;
        const { recordings } = await rest<{ recordings: Recording[] }>(server, "GET", path);
        return recordings.find((one) => one.state === "stored");
      },
      60_000,
    );
    const file = join(folder, "call.opus");
    const audio = await fetch(`http://${server.http}/api/support/recordings/${stored.recordingId}/audio`, {
      headers: { authorization: `Bearer ${server.serviceKey}` },
    });
    expect(audio.status).toBe(200);
    writeFileSync(file, Buffer.from(await audio.arrayBuffer()));
    const info = execFileSync("opusinfo", [file]).toString();
    expect(info).not.toMatch(/warning|error/i);
    execFileSync("oggz-validate", [file]);
    const wav = decode(file, join(folder, "call.wav"));
    expect(compare(up, wav, 0, 1).median, "left is the customer").toBeGreaterThanOrEqual(HEARD_MIN);
    expect(compare(down, wav, 1, 1).median, "right is the agent").toBeGreaterThanOrEqual(HEARD_MIN);
    const call = await rest<Call>(server, "GET", `/api/support/call/${callId}`);
    const answered = Date.parse(call.endedAt!) - Date.parse(call.answeredAt!);
    expect(Math.abs(stored.durationSeconds! * 1000 - answered)).toBeLessThanOrEqual(LENGTH_TOLERANCE_MS);
  });

  it("plays and seeks in the QA console", async () => {
    qa = await person({});
    await signIn(qa.page, server, account(server, "supervisor"), "/qa");
    await qa.page.locator(`[data-testid=qa-row][data-call-id="${callId}"] a`).click();
    await qa.page.getByTestId("qa-wave").first().waitFor();
    await qa.page.getByTestId("qa-play").click();
    await until("it plays", async () => (await position(qa)) > 1);
    // Stopped, so that it gets nowhere by itself.
    await qa.page.getByTestId("qa-play").click();
    await qa.page.locator('[data-testid="qa-player"][data-state="paused"]').waitFor();
    expect(await position(qa)).toBeLessThan(JUMP_TO_S);
    const track = await qa.page.getByTestId("qa-seek").boundingBox();
    await qa.page.mouse.click(track!.x + track!.width * 0.8, track!.y + track!.height / 2);
    const jumped = await until("it has jumped ahead", async () => {
      const now = await position(qa);
      return now >= JUMP_TO_S && now;
    });
    await qa.page.getByTestId("qa-play").click();
    await until("it plays on from there", async () => (await position(qa)) > jumped);
    expect(qa.log.filter((line) => line.startsWith("pageerror"))).toEqual([]);
  });
});

/** How many strokes of a line are taller than silence. */
const strokes = (d: string): number =>
  [...d.matchAll(/ ([\d.]+)V([\d.]+)/g)].filter(([, from, to]) => Number(to) - Number(from) > SILENT_STROKE).length;

/** Seconds that the player shows as played. */
async function position(qa: Person): Promise<number> {
  const text = (await qa.page.getByTestId("qa-position").textContent()) ?? "";
  const [, minutes, seconds] = /(\d+):(\d\d)/.exec(text) ?? [];
  return Number(minutes) * 60 + Number(seconds);
}
