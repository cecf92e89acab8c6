// A call that lives through reloads of either page, a change of address and the loss of signalling: the sound is back
// soon, it is the same call, and its one recording has no shift. Both voices follow the wall clock, so whatever is heard
// or stored says when it was said.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import en from "../shared/i18n/en.json";
import { person, type Person } from "./harness/chromium.ts";
import { firstSound, installClockedMicrophone, installFirstSound } from "./harness/clocked.ts";
import { hear, type Heard } from "./harness/ear.ts";
import { installDetour, tcpProxy, udpProxy, type TcpProxy, type UdpProxy } from "./harness/network.ts";
import { artifacts, long } from "./harness/paths.ts";
import { keepWhatTheySaw, online, signIn } from "./harness/people.ts";
import { account, rest, serve, type Server } from "./harness/server.ts";
import { chirp, decode, trace, writeWav } from "./harness/sound.ts";
import { pause, until } from "./harness/wait.ts";

/** Least correlation of a window that counts as the voice. */
const VOICE_MIN = 0.7;
/** Windows in which a voice is looked for, milliseconds. */
const WINDOW_MS = 250;
/** How long is listened to around an event, and how much of it before the event, milliseconds. */
const LISTEN_MS = 8_000;
const BEFORE_MS = 1_500;
/** The jitter buffer settles before anything is judged, milliseconds. */
const SETTLE_MS = 3_000;
/** How far a stored voice may be from the clock it was said by, milliseconds. */
const SHIFT_MS_MAX = 20;
/** Correlation from which a window of the recording says exactly where it is. */
const EXACT_MIN = 0.85;
/** How long signalling is away, milliseconds. */
const CUT_MS = 5_000;
/** How often each thing happens. */
const TIMES = long ? 5 : 1;
/**
 * Longest times until the sound is back both ways, milliseconds: of any turn, and of the median of the long run. A page
 * that is loaded anew must be fetched, run, find its call and connect, on what the other browser and this test leave of
 * two cores: one turn alone gets more than twice the median for that. A changed address shows by the browser's next check
 * of the way, which is 2.5 s away at most, however fast the machine is; the other half second is for the sound to be full
 * again. One turn alone gets two seconds more.
 */
const RELOADED = { any: 5_000, median: 2_000 };
const MOVED = { any: 5_000, median: 3_000 };

interface Call {
  callId: string;
  status: string;
  endReason?: string;
  reconnecting?: string[];
}

interface Side {
  name: "customer" | "agent";
  person: Person;
  voice: string;
  network: UdpProxy;
}

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Says how long the sound was away, and judges each turn; the median where there were turns enough. */
function judge(what: string, backs: number[], limit: { any: number; median: number }): void {
  console.log(`${what}: sound back both ways, median of ${backs.length}: ${median(backs).toFixed()} ms`);
  expect(Math.max(...backs), `${what}: the sound is back each time`).toBeLessThanOrEqual(limit.any);
  if (long) expect(median(backs), `${what}: the sound is back soon`).toBeLessThanOrEqual(limit.median);
}

describe("continuity: a call that nothing ends but a hang-up", () => {
  const folder = artifacts("continuity");
  let server: Server;
  let signalling: TcpProxy;
  let customer: Side;
  let agent: Side;
  let callId = "";

  beforeAll(async () => {
    signalling = await tcpProxy();
    const origin = `127.0.0.1:${String(signalling.port)}`;
    server = await serve("continuity", {
      env: { HELPLINE_PUBLIC_URL: `http://${origin}`, HELPLINE_PUBLIC_SIGNALING_URL: `ws://${origin}/ws` },
    });
    const [host, port] = server.http.split(":");
    signalling.to = { host: host!, port: Number(port) };
    const media = Number(server.media[0]!.split(":").at(-1));
    const side = async (name: Side["name"], direction: "up" | "down"): Promise<Side> => {
      const voice = chirp(direction, join(folder, `${name}.wav`));
      const [one, network] = [await person({ ear: true }), await udpProxy(media)];
      await one.page.addInitScript(installClockedMicrophone, readFileSync(voice).toString("base64"));
      await one.page.addInitScript(installDetour, network.port);
      await one.page.addInitScript(installFirstSound);
      one.page.on("dialog", (dialog) => void dialog.accept());
      return { name, person: one, voice, network };
    };
    customer = await side("customer", "up");
    agent = await side("agent", "down");
  });

  afterAll(async () => {
    for (const one of [customer, agent]) {
      await one?.person.close();
      one?.network.close();
    }
    signalling?.close();
    await server?.stop();
  });

  keepWhatTheySaw(folder, () => ({ customer: customer?.person, agent: agent?.person }));

  const call = () => rest<Call>(server, "GET", `/api/support/call/${callId}`);
  const told = async (kind: string) => {
    const path = `/api/support/call/${callId}/events`;
    const { events } = await rest<{ events: { kind: string }[] }>(server, "GET", path);
    return events.filter((event) => event.kind === kind).length;
  };

  /** How often a line of the call has gone and come back so far. */
  const lines = async () => ({ away: await told("leg.away"), back: await told("leg.back") });

  /** Windows of `whose` voice in what somebody heard. */
  const voiceIn = async (heard: Heard, whose: Side, name: string): Promise<number[]> => {
    const wav = writeWav(join(folder, `${name}.wav`), heard.samples, heard.rate);
    return (await trace(whose.voice, wav, 0, WINDOW_MS)).windows;
  };

  /** Milliseconds from `since` until the voice was back, and for a second at least; 0 when it was never lost. */
  const backAfter = (heard: Heard, windows: number[], since: number): number => {
    const startOf = (n: number): number => heard.at + n * WINDOW_MS - since;
    const lost = windows.findIndex((value, n) => value < VOICE_MIN && startOf(n) + WINDOW_MS > 0);
    if (lost < 0) return 0;
    const stays = (_: number, n: number): boolean => {
      const next = windows.slice(n, n + 1000 / WINDOW_MS);
      return n > lost && next.length === 1000 / WINDOW_MS && next.every((value) => value >= VOICE_MIN);
    };
    const back = windows.findIndex(stays);
    expect(back, "the voice came back while it was listened for").toBeGreaterThan(0);
    return startOf(back);
  };

  it("connects through the proxies, and both hear each other", async () => {
    await signIn(agent.person.page, server, account(server, "agent"));
    await online(agent.person.page);
    await customer.person.page.goto(`${server.url}/demo`);
    await customer.person.page.getByTestId("launcher").click();
    await customer.person.page.getByTestId("call-us").click();
    await customer.person.page.getByTestId("call-now").click();
    await agent.person.page.getByTestId("offer-accept").click();
    callId = await until("the call is answered", async () => {
      const { calls } = await rest<{ calls: Call[] }>(server, "GET", "/api/support/calls");
      return calls.find((one) => one.status === "answered")?.callId;
    });
    await pause(SETTLE_MS);
    for (const [listener, speaker] of [
      [customer, agent],
      [agent, customer],
    ] as const) {
      const windows = await voiceIn(await hear(listener.person.page, 2_000), speaker, `before-${listener.name}`);
      expect(median(windows), `${listener.name} hears`).toBeGreaterThanOrEqual(VOICE_MIN);
    }
  });

  /** Loads the page of `side` anew; milliseconds until each of the two heard the other again. */
  async function reload(
    side: Side,
    other: Side,
    turn: number,
  ): Promise<{ own: number; others: number; music: number }> {
    const listening = hear(other.person.page, LISTEN_MS);
    await pause(BEFORE_MS);
    const since = Date.now();
    await side.person.page.reload({ waitUntil: "commit" });
    const first = await until("the new page plays sound", () => side.person.page.evaluate(firstSound));
    const heard = await listening;
    const windows = await voiceIn(heard, side, `reload-${side.name}-${String(turn)}`);
    const others = backAfter(heard, windows, since);
    expect(others, "a page that is gone is not heard").toBeGreaterThan(0);
    const gap = windows.filter((_, n) => {
      const start = heard.at + n * WINDOW_MS - since;
      return start > 0 && start < others;
    });
    const music = gap.filter((value) => value > 0 && value < VOICE_MIN).length * WINDOW_MS;
    await pause(SETTLE_MS);
    return { own: first - since, others, music };
  }

  it.each(["customer", "agent"] as const)("goes on when the %s's page is loaded anew", async (name) => {
    const [side, other] = name === "customer" ? [customer, agent] : [agent, customer];
    const backs: number[] = [];
    const before = await lines();
    for (let turn = 0; turn < TIMES; turn++) {
      const { own, others, music } = await reload(side, other, turn);
      console.log(`reload of ${name}: hears after ${own} ms, is heard after ${others.toFixed()} ms, music ${music} ms`);
      backs.push(Math.max(own, others));
      expect(music, "the other side hears music meanwhile").toBeGreaterThan(0);
      expect(await call()).toMatchObject({ status: "answered", reconnecting: [] });
    }
    judge(`reload of ${name}`, backs, RELOADED);
    const after = await lines();
    expect(after.away - before.away, "each page that went was missed").toBeGreaterThanOrEqual(TIMES);
    expect(after.back - before.back, "and came back").toBe(after.away - before.away);
  });

  it.each(["customer", "agent"] as const)("goes on when the %s's address changes", async (name) => {
    const [side, other] = name === "customer" ? [customer, agent] : [agent, customer];
    const before = await told("leg.migrated");
    const backs: number[] = [];
    for (let turn = 0; turn < TIMES; turn++) {
      const listening = [hear(side.person.page, LISTEN_MS), hear(other.person.page, LISTEN_MS)] as const;
      await pause(BEFORE_MS);
      const since = Date.now();
      side.network.rebind();
      const [own, others] = await Promise.all(listening);
      const back = [
        backAfter(own, await voiceIn(own, other, `moved-hears-${name}-${String(turn)}`), since),
        backAfter(others, await voiceIn(others, side, `moved-heard-${name}-${String(turn)}`), since),
      ] as const;
      console.log(`${name} moves: hears after ${back[0].toFixed()} ms, is heard after ${back[1].toFixed()} ms`);
      backs.push(Math.max(...back));
    }
    judge(`${name} moves`, backs, MOVED);
    // A restart of ICE that follows opens a port of its own.
    expect((await told("leg.migrated")) - before, "the server saw each move").toBeGreaterThanOrEqual(TIMES);
    expect((await call()).status).toBe("answered");
  });

  it.each(["customer", "agent"] as const)(
    "goes on when the %s leaves a network: ICE restarts, the leg stays",
    async (name) => {
      const [side, other] = name === "customer" ? [customer, agent] : [agent, customer];
      const peers = () =>
        side.person.page.evaluate(() => (window as unknown as { __ear: { peers: unknown[] } }).__ear.peers.length);
      const before = await peers();
      const listening = [hear(side.person.page, LISTEN_MS), hear(other.person.page, LISTEN_MS)] as const;
      await pause(BEFORE_MS);
      const since = Date.now();
      side.network.block();
      const [own, others] = await Promise.all(listening);
      const back = [
        backAfter(own, await voiceIn(own, other, `left-hears-${name}`), since),
        backAfter(others, await voiceIn(others, side, `left-heard-${name}`), since),
      ] as const;
      console.log(`${name} leaves: hears after ${back[0].toFixed()} ms, is heard after ${back[1].toFixed()} ms`);
      expect(Math.min(...back), "the old way is dead").toBeGreaterThan(0);
      expect(await peers(), "the same connection").toBe(before);
      expect((await call()).status).toBe("answered");
    },
  );

  it("goes on without a gap while signalling is away, and finds it again", async () => {
    const before = await until("both are there", async () => {
      const now = await lines();
      return now.away === now.back && now;
    });
    const listening = [hear(customer.person.page, LISTEN_MS), hear(agent.person.page, LISTEN_MS)] as const;
    await pause(BEFORE_MS);
    signalling.cut();
    const since = Date.now();
    const hint = agent.person.page.getByText(en.console["hint.signal_lost"]);
    await hint.waitFor();
    await pause(CUT_MS - (Date.now() - since));
    signalling.mend();
    const [atCustomer, atAgent] = await Promise.all(listening);
    for (const [heard, speaker] of [
      [atCustomer, agent],
      [atAgent, customer],
    ] as const) {
      const windows = await voiceIn(heard, speaker, `cut-${speaker.name}`);
      expect(Math.min(...windows), `${speaker.name} is heard all the time`).toBeGreaterThanOrEqual(VOICE_MIN);
    }
    await hint.waitFor({ state: "detached", timeout: 30_000 });
    // A page that was loaded anew shows the call as a bar.
    await customer.person.page.getByTestId("call-timer").click();
    await agent.person.page.getByTestId("hold").click();
    await customer.person.page.getByTestId("held").waitFor();
    await agent.person.page.getByTestId("hold").click();
    await customer.person.page.getByTestId("held").waitFor({ state: "detached" });
    expect(await lines(), "media noticed nothing").toEqual(before);
  });

  // Minutes of sound are searched for second by second.
  it("is one call with one recording, in which no voice is shifted", { timeout: 600_000 }, async () => {
    await pause(SETTLE_MS);
    await customer.person.page.getByTestId("hangup").first().click();
    await customer.person.page.getByTestId("ended").waitFor();
    // The page says so at once, the desk when it has heard.
    await until("the desk has ended the call", async () => (await call()).status === "completed");
    const { calls } = await rest<{ calls: Call[] }>(server, "GET", "/api/support/calls");
    expect(calls.map((one) => one.callId)).toEqual([callId]);
    const recordings = await until(
      "the recording is stored",
      async () => {
        const path = `/api/support/call/${callId}/recordings`;
        const found = await rest<{ recordings: { recordingId: string; state: string }[] }>(server, "GET", path);
        return found.recordings.some((one) => one.state === "stored") && found.recordings;
      },
      60_000,
    );
    expect(recordings).toHaveLength(1);
    const audio = await fetch(`http://${server.http}/api/support/recordings/${recordings[0]!.recordingId}/audio`, {
      headers: { authorization: `Bearer ${server.serviceKey}` },
    });
    const file = join(folder, "call.opus");
    writeFileSync(file, Buffer.from(await audio.arrayBuffer()));
    const wav = decode(file, join(folder, "call.wav"));
    const clocks = await Promise.all(
      [customer, agent].map(async (side, channel) => {
        const { windows, places } = await trace(side.voice, wav, channel, 1000);
        // Where the clock stood at the beginning of the recording, by each second that says so; in the loop of 10 s.
        const told = places.map((place, n) => (windows[n]! >= EXACT_MIN ? place - n : undefined));
        expect(told.filter(Number.isFinite).length, `${side.name} is in most of it`).toBeGreaterThan(told.length / 2);
        return told;
      }),
    );
    /** Milliseconds by which `a` is ahead of `b`, the shorter way round the loop. */
    const ahead = (a: number, b: number): number => (((((a - b) % 10) + 15) % 10) - 5) * 1000;
    for (const [n, side] of [customer, agent].entries()) {
      const own = clocks[n]!.filter((clock) => clock !== undefined);
      const shifts = own.map((clock) => ahead(clock, own[0]!));
      const most = (Math.max(...shifts) - Math.min(...shifts)) / 2;
      console.log(
        `recording of the ${side.name}: ${own.length} seconds, none is off by more than ${most.toFixed(1)} ms`,
      );
      expect(most, `${side.name} is never shifted`).toBeLessThanOrEqual(SHIFT_MS_MAX);
    }
    const between = clocks[0]!.flatMap((one, n) => {
      const other = clocks[1]![n];
      return one === undefined || other === undefined ? [] : [Math.abs(ahead(one, other))];
    });
    console.log(`recording: the two sides are never more than ${Math.max(...between).toFixed(1)} ms apart`);
    expect(Math.max(...between), "both sides are told by one clock").toBeLessThanOrEqual(SHIFT_MS_MAX);
  });
});

if (!long) console.log("an agent who does not come back: left out, it takes a minute and runs with --long");

describe.skipIf(!long)("continuity: an agent who does not come back", () => {
  const folder = artifacts("agent-gone");
  const voices = { customer: join(folder, "customer.wav"), agent: join(folder, "agent.wav") };
  let server: Server;
  let customer: Person;
  let agent: Person;

  beforeAll(async () => {
    chirp("up", voices.customer);
    chirp("down", voices.agent);
    server = await serve("agent-gone");
    agent = await person({ wav: voices.agent, ear: true });
    customer = await person({ wav: voices.customer, ear: true });
  });

  afterAll(async () => {
    await customer?.close();
    await server?.stop();
  });

  it("leaves the customer first in line after 20 s, with music on the connection he has", async () => {
    await signIn(agent.page, server, account(server, "agent"));
    await online(agent.page);
    await customer.page.goto(`${server.url}/demo`);
    await customer.page.getByTestId("launcher").click();
    await customer.page.getByTestId("call-us").click();
    await customer.page.getByTestId("call-now").click();
    await agent.page.getByTestId("offer-accept").click();
    const calls = async () => (await rest<{ calls: Call[] }>(server, "GET", "/api/support/calls")).calls;
    await until("the call is answered", async () => (await calls())[0]?.status === "answered");
    await pause(SETTLE_MS);

    await agent.close();
    const since = Date.now();
    await customer.page.getByTestId("agent_away").waitFor();
    const music = async (name: string) => {
      const heard = await hear(customer.page, 2_000);
      const wav = writeWav(join(folder, `${name}.wav`), heard.samples, heard.rate);
      const { windows } = await trace(voices.agent, wav, 0, WINDOW_MS);
      expect(Math.min(...windows), `${name}: no silence`).toBeGreaterThan(0);
      expect(Math.max(...windows), `${name}: nobody speaks`).toBeLessThan(VOICE_MIN);
    };
    await music("waiting-for-the-agent");
    await until("the call is back in the line", async () => (await calls())[0]?.status === "queued", 40_000);
    console.log(`the agent is waited for: back in the line after ${Date.now() - since} ms`);
    await customer.page.getByTestId("queue-position").getByText("1").waitFor();
    await music("back-in-the-line");
    const peers = () =>
      customer.page.evaluate(() => (window as unknown as { __ear: { peers: unknown[] } }).__ear.peers.length);
    expect(await peers(), "it is the connection of before").toBe(1);
  });
});
