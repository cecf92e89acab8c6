// Who hears whom: four people with a tone each, and in every state of the call which tones are at which ear and in which
// lane of the recording.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { person, type Person } from "./harness/chromium.ts";
import { hear, type Heard } from "./harness/ear.ts";
import { artifacts } from "./harness/paths.ts";
import { keepWhatTheySaw, online, signIn } from "./harness/people.ts";
import type { Recording } from "../shared/gen/Recording.ts";
import { rest, serve, type Server } from "./harness/server.ts";
import { decode, writeWav } from "./harness/sound.ts";
import { level, loudness, tone } from "./harness/tones.ts";
import { pause, until } from "./harness/wait.ts";

/** Everybody's tone, hertz: black keys, for the hold music plays on the white ones, and none a multiple of another. */
const TONES = { customer: 466, agent: 740, colleague: 1_109, supervisor: 1_661 };
type Name = keyof typeof TONES;
const NAMES = Object.keys(TONES) as Name[];

/** Least share of a tone, as the median of the seconds, that counts as heard. */
const HEARD_MIN = 0.3;
/** Greatest share in any second that counts as silence: -28 dB of the speaker, what a note of the music begins with. */
const SILENT_MAX = 0.04;
/** Least level of music in any second, full scale is 1: half of the quietest second of our own tune. */
const MUSIC_MIN = 0.02;
/** Greatest level of an ear that is to hear nothing at all, -60 dB: a silent packet decodes to next to nothing. */
const NOTHING_MAX = 0.001;
/** Least seconds of a step that must have been judged, at an ear and in a lane: what is empty is not silence. */
const EAR_SECONDS_MIN = 3;
const LANE_SECONDS_MIN = 2;
/** Who is to be heard at an ear: these; nobody, but music; nobody any more, for whoever has left the call. */
type Wanted = Name[] | "music" | "gone";
/** The lanes of the recording: both sides of the master, and the files beside it. */
const LANES = ["customers", "agents", "colleague", "supervisor"] as const;
type Lane = (typeof LANES)[number];
/** Whose voice is in a lane; a lane that is not named is silent. */
type Lanes = Partial<Record<Lane, Name>>;
const TALK: Lanes = { customers: "customer", agents: "agent" };
const CONFERENCE: Lanes = { ...TALK, colleague: "colleague" };
/** The recording's own start is known to so much, milliseconds; that much of a step's ends is not judged. */
const EDGE_MS = 500;
/** How long everybody listens, milliseconds. */
const LISTEN_MS = 6_000;
/** A change is heard once jitter buffers have played what was before it, milliseconds. */
const SETTLE_MS = 3_000;

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

describe("who-hears-whom", () => {
  const folder = artifacts("matrix");
  let server: Server;
  const people: Partial<Record<Name, Person>> = {};
  let callId = "";

  const page = (name: Name) => {
    const found = people[name];
    if (!found) throw new Error(`${name} is not here`);
    return found.page;
  };
  const shown = (name: Name, id: string) => page(name).getByTestId(id).first();
  const desk = (name: Name, state: string) =>
    page(name).locator(`[data-testid="call-state"][data-state="${state}"]`).waitFor();

  const accountOf = (role: string, which: number) => server.accounts.filter((one) => one.role === role)[which]!;

  /** What one ear hears; undefined without a sound, which is right for nobody but those who have left. */
  async function heardBy(name: Name, wanted: Wanted): Promise<Heard | undefined> {
    return hear(page(name), LISTEN_MS).catch((fault: unknown) => {
      if (wanted === "gone" && String(fault).includes("no live remote track")) return undefined;
      throw fault;
    });
  }

  /** What is wrong at one ear. */
  function wrongAt(ear: Name, wanted: Wanted, heard: Heard | undefined): string[] {
    if (!heard) return [];
    const { samples, rate } = heard;
    const wrong: string[] = [];
    const judge = (right: boolean, what: string, values: number[]): void => {
      if (!right || values.length < EAR_SECONDS_MIN)
        wrong.push(`${ear} ${what}: ${values.map((value) => value.toFixed(3)).join(" ")}`);
    };
    const voices = Array.isArray(wanted) ? wanted : [];
    for (const voice of NAMES) {
      const seconds = loudness(samples, rate, TONES[voice]);
      if (voices.includes(voice)) judge(median(seconds) >= HEARD_MIN, `misses ${voice}`, seconds);
      else judge(Math.max(...seconds) <= SILENT_MAX, `hears ${voice}`, seconds);
    }
    const levels = level(samples, rate);
    if (wanted === "music") judge(Math.min(...levels) >= MUSIC_MIN, "misses the music", levels);
    if (wanted === "gone") judge(Math.max(...levels) <= NOTHING_MAX, "hears something", levels);
    return wrong;
  }

  /** When what was to be heard, and in which file of the recording it is to be: nobody else's voice is in any. */
  const steps: { mode: string; fromMs: number; toMs: number; lanes: Lanes }[] = [];

  /** Everybody who is named hears exactly that, and the recording has each voice in its lane. */
  async function expectEars(mode: string, expected: Partial<Record<Name, Wanted>>, lanes: Lanes): Promise<void> {
    await pause(SETTLE_MS);
    const fromMs = Date.now();
    const ears = Object.entries(expected) as [Name, Wanted][];
    const heard = await Promise.all(ears.map(([ear, wanted]) => heardBy(ear, wanted)));
    steps.push({ mode, fromMs, toMs: Date.now(), lanes });
    expect(ears.flatMap(([ear, wanted], place) => wrongAt(ear, wanted, heard[place]))).toEqual([]);
  }

  /** The call as the supervisor's list has it. */
  const live = async () => {
    const { calls } = (await page("supervisor").evaluate("fetch('/api/support/calls/live').then((r) => r.json())")) as {
      calls: { callId: string; muted: string[]; supervisors: { mode: string }[] }[];
    };
    return calls.find((call) => call.callId === callId);
  };
  const supervises = (mode: string | undefined) =>
    until(`the supervisor is ${mode ?? "gone"}`, async () => {
      const call = await live();
      return call !== undefined && call.supervisors[0]?.mode === mode;
    });
  const muted = (part: string, on: boolean) =>
    until(`${part} is ${on ? "muted" : "heard"}`, async () => (await live())?.muted.includes(part) === on);

  /** The agent puts the customer on hold, or takes him back. */
  const hold = async (on: boolean) => {
    await shown("agent", "hold").click();
    await shown("agent", "held").waitFor({ state: on ? "visible" : "detached" });
  };

  beforeAll(async () => {
    for (const name of NAMES) {
      const { samples, rate } = tone(TONES[name]);
      const wav = writeWav(join(folder, `${name}.wav`), samples, rate);
      people[name] = await person({ wav, ear: true });
    }
    server = await serve("matrix");
  });

  afterAll(async () => {
    for (const each of Object.values(people)) await each.close();
    await server?.stop();
  });

  keepWhatTheySaw(folder, () => people);

  it("in talk customer and agent hear one another", async () => {
    await signIn(page("agent"), server, accountOf("agent", 0), "/agent");
    await online(page("agent"));
    await page("customer").goto(`${server.url}/demo`);
    await shown("customer", "launcher").click();
    await shown("customer", "call-us").click();
    await shown("customer", "call-now").click();
    await shown("agent", "offer-accept").click();
    await desk("agent", "talking");
    callId = (await page("agent").getByTestId("call-state").getAttribute("data-call-id")) ?? "";
    expect(callId).not.toBe("");
    await expectEars("talk", { customer: ["agent"], agent: ["customer"] }, TALK);
  });

  it("who listens hears both and nobody hears him", async () => {
    await signIn(page("supervisor"), server, accountOf("supervisor", 0), "/admin");
    await shown("supervisor", "row-monitor").click();
    await supervises("monitor");
    await expectEars("listen", { customer: ["agent"], agent: ["customer"], supervisor: ["customer", "agent"] }, TALK);
  });

  it("who whispers is heard by the agent alone", async () => {
    await shown("supervisor", "mode-whisper").click();
    await supervises("whisper");
    await page("supervisor").getByRole("img", { name: "Your microphone" }).waitFor();
    await expectEars(
      "whisper",
      { customer: ["agent"], agent: ["customer", "supervisor"], supervisor: ["customer", "agent"] },
      TALK,
    );
  });

  it("who whispers while the customer is on hold talks with the agent alone", async () => {
    await hold(true);
    await expectEars("whisper on hold", { customer: "music", agent: ["supervisor"], supervisor: ["agent"] }, {});
    await hold(false);
  });

  it("who joins is heard by all", async () => {
    await shown("supervisor", "mode-barge").click();
    await supervises("barge");
    await page("supervisor").getByRole("img", { name: "Your microphone" }).waitFor();
    await expectEars(
      "barge",
      {
        customer: ["agent", "supervisor"],
        agent: ["customer", "supervisor"],
        supervisor: ["customer", "agent"],
      },
      { ...TALK, supervisor: "supervisor" },
    );
  });

  it("who is muted at the server is heard by nobody", async () => {
    await shown("agent", "mute-customer").click();
    await expectEars(
      "customer muted",
      { customer: ["agent", "supervisor"], agent: ["supervisor"], supervisor: ["agent"] },
      { agents: "agent", supervisor: "supervisor" },
    );
    await shown("agent", "mute-customer").click();
    await page("agent").getByText("that voice is not recorded").waitFor({ state: "detached" });
  });

  it("an agent who is muted at the server is heard by nobody, and hears", async () => {
    await page("supervisor").locator(`[data-testid="live-row"][data-call-id="${callId}"] .row-link`).click();
    await shown("supervisor", "live-mute-agent").click();
    await muted("agent", true);
    await expectEars(
      "agent muted",
      { customer: ["supervisor"], agent: ["customer", "supervisor"], supervisor: ["customer"] },
      { customers: "customer", supervisor: "supervisor" },
    );
    await shown("supervisor", "live-mute-agent").click();
    await muted("agent", false);
  });

  it("who is on hold hears the music and no voice, and is not heard", async () => {
    await hold(true);
    await expectEars("hold", { customer: "music", agent: ["supervisor"], supervisor: ["agent"] }, {});
    await hold(false);
    await shown("supervisor", "supervise-leave").click();
    await supervises(undefined);
    await expectEars("talk again", { customer: ["agent"], agent: ["customer"], supervisor: "gone" }, TALK);
  });

  it("who consults talks apart from the customer", async () => {
    await signIn(page("colleague"), server, accountOf("agent", 1), "/agent");
    await online(page("colleague"));
    await shown("agent", "ask-open").click();
    await shown("agent", "ask-ring").click();
    await shown("colleague", "offer-accept").click();
    await page("agent").locator('[data-testid="consult"][data-state="talking"]').waitFor();
    await page("colleague").locator('[data-testid="call-state"][data-sound="up"]').waitFor();
    await expectEars("consult", { customer: "music", agent: ["colleague"], colleague: ["agent"] }, {});
  });

  it("who listens to a consultation hears both of it and nothing of the customer", async () => {
    await shown("supervisor", "drawer-monitor").click();
    await supervises("monitor");
    await expectEars(
      "consult listened to",
      { customer: "music", agent: ["colleague"], colleague: ["agent"], supervisor: ["agent", "colleague"] },
      {},
    );
    await shown("supervisor", "supervise-leave").click();
    await supervises(undefined);
  });

  it("in a conference all three hear one another", async () => {
    await shown("agent", "consult-merge").click();
    await page("colleague").locator('[data-testid="consult"][data-state="conference"]').waitFor();
    await expectEars(
      "conference",
      {
        customer: ["agent", "colleague"],
        agent: ["customer", "colleague"],
        colleague: ["customer", "agent"],
      },
      CONFERENCE,
    );
  });

  it("four who speak hear one another, each the three others", async () => {
    await shown("supervisor", "drawer-monitor").click();
    await supervises("monitor");
    await shown("supervisor", "mode-barge").click();
    await supervises("barge");
    await page("supervisor").getByRole("img", { name: "Your microphone" }).waitFor();
    await expectEars(
      "all four",
      {
        customer: ["agent", "colleague", "supervisor"],
        agent: ["customer", "colleague", "supervisor"],
        colleague: ["customer", "agent", "supervisor"],
        supervisor: ["customer", "agent", "colleague"],
      },
      { ...CONFERENCE, supervisor: "supervisor" },
    );
    await shown("supervisor", "supervise-leave").click();
    await supervises(undefined);
  });

  it("who got the call talks with the customer, and who gave it hears nothing", async () => {
    await shown("agent", "consult-complete").click();
    await page("colleague").getByText("is yours now").waitFor();
    await expectEars(
      "handed over",
      { customer: ["colleague"], agent: "gone", colleague: ["customer"] },
      { customers: "customer", agents: "colleague" },
    );
  });

  it("who takes the call over talks with the customer, and who had it hears nothing", async () => {
    await shown("supervisor", "takeover").click();
    await shown("supervisor", "takeover-reason").fill("the customer asked for me");
    await shown("supervisor", "takeover-submit").click();
    await desk("supervisor", "talking");
    await page("supervisor").locator('[data-testid="call-state"][data-sound="up"]').waitFor();
    await shown("colleague", "wrapup-done").waitFor();
    await expectEars(
      "taken over",
      { customer: ["supervisor"], agent: "gone", colleague: "gone", supervisor: ["customer"] },
      { customers: "customer", agents: "supervisor" },
    );
  });

  it("in every mode each lane of the recording holds whom it is to hold, and nobody else", async () => {
    await shown("supervisor", "hangup").click();
    await shown("customer", "ended").waitFor();
    const path = `/api/support/call/${callId}/recordings`;
    const stored = await until(
      "the recording is stored",
      async () => {
        const { recordings } = await rest<{ recordings: Recording[] }>(server, "GET", path);
        return recordings.length === 1 && recordings.find((one) => one.state === "stored");
      },
      60_000,
    );
    const sound = async (url: string, name: string): Promise<Int16Array[]> => {
      const audio = await fetch(`http://${server.http}${url}`, {
        headers: { authorization: `Bearer ${server.serviceKey}` },
      });
      expect(audio.status, url).toBe(200);
      const file = join(folder, `${name}.opus`);
      writeFileSync(file, Buffer.from(await audio.arrayBuffer()));
      return channels(decode(file, join(folder, `${name}.wav`)));
    };
    const [left, right] = await sound(stored.audioUrl, "call");
    // He joins twice, and each time with another leg.
    expect(stored.voices.map(({ part }) => part)).toEqual(["supervisor", "partner", "supervisor"]);
    const files = await Promise.all(stored.voices.map((voice) => sound(voice.audioUrl, `voice-${voice.number}`)));
    for (const [mono] of files) expect(Math.abs(mono!.length - left!.length), "as long as the master").toBeLessThan(48);
    const of = (part: string) => files.filter((_, n) => stored.voices[n]!.part === part).map(([mono]) => mono!);
    const lanes: Record<Lane, Int16Array[]> = {
      customers: [left!],
      agents: [right!],
      colleague: of("partner"),
      supervisor: of("supervisor"),
    };
    const wrong: string[] = [];
    const began = Date.parse(stored.startedAt!);
    for (const { mode, fromMs, toMs, lanes: wanted } of steps) {
      const cut = [fromMs + EDGE_MS, toMs - EDGE_MS].map((ms) => Math.round((ms - began) * 48));
      for (const lane of LANES)
        for (const name of NAMES) {
          const seconds = lanes[lane].map((samples) => loudness(samples.slice(cut[0], cut[1]), 48_000, TONES[name]));
          const shares = seconds.map((each) => each.map((share) => share.toFixed(3)).join(" ")).join(" | ");
          const whole = seconds.every((each) => each.length >= LANE_SECONDS_MIN);
          const right =
            wanted[lane] === name
              ? seconds.filter((each) => median(each) >= HEARD_MIN).length === 1
              : seconds.every((each) => each.every((share) => share <= SILENT_MAX));
          if (!right || !whole) wrong.push(`${mode}: ${name} in the ${lane} lane: ${shares}`);
        }
    }
    expect(steps.length, "every mode was judged").toBe(15);
    expect(wrong).toEqual([]);
  });
});

/** The channels of a WAV file of 16 bits. */
function channels(wav: string): Int16Array[] {
  const bytes = readFileSync(wav);
  const count = bytes.readUInt16LE(22);
  const data = bytes.indexOf("data") + 8;
  const frames = Math.floor((bytes.length - data) / (2 * count));
  const channel = (place: number) =>
    Int16Array.from({ length: frames }, (_, n) => bytes.readInt16LE(data + 2 * (count * n + place)));
  return Array.from({ length: count }, (_, place) => channel(place));
}
