// Invented calls, people and numbers for page tests and pictures.

import type { CallEvent } from "../../shared/gen/CallEvent.ts";
import type { CallRow } from "../../shared/gen/CallRow.ts";
import type { CallStarted } from "../../shared/gen/CallStarted.ts";
import type { CallView } from "../../shared/gen/CallView.ts";
import type { AvailableStaff } from "../../shared/gen/AvailableStaff.ts";
import type { ConsultState } from "../../shared/gen/ConsultState.ts";
import type { LegGrant } from "../../shared/gen/LegGrant.ts";
import type { EndToEnd } from "../../shared/gen/EndToEnd.ts";
import type { HeardTrack } from "../../shared/gen/HeardTrack.ts";
import type { LegQuality } from "../../shared/gen/LegQuality.ts";
import type { LiveCall } from "../../shared/gen/LiveCall.ts";
import type { LiveCalls } from "../../shared/gen/LiveCalls.ts";
import type { Me } from "../../shared/gen/Me.ts";
import type { Offer } from "../../shared/gen/Offer.ts";
import type { QualityTrack } from "../../shared/gen/QualityTrack.ts";
import type { QueueSnapshot } from "../../shared/gen/QueueSnapshot.ts";
import type { RelayAllocation } from "../../shared/gen/RelayAllocation.ts";
import type { RelayState } from "../../shared/gen/RelayState.ts";
import type { RecordedVoice } from "../../shared/gen/RecordedVoice.ts";
import type { Recording } from "../../shared/gen/Recording.ts";
import type { VoiceWaveform } from "../../shared/gen/VoiceWaveform.ts";
import type { Waveform } from "../../shared/gen/Waveform.ts";
import { silence } from "./wav.ts";

export const CALL = "4f1c2a90-6b1e-4d0a-9c7e-2f7a6a1b0c11";
export const OFFER = "0b7d53aa-3f52-4a9e-8f0a-1c9c7d2f9e01";
export const LEG = "77c1d0de-51b5-4b8d-a2c4-9a86d1f4b301";
export const RECORDING = "a35c7d10-9f66-4b38-8d51-5d6a3f2b7e21";
export const STAFF = "c0ffee00-1111-4222-8333-444455556666";

/** `seconds` from now, negative for the past. */
export const at = (seconds: number): string => new Date(Date.now() + seconds * 1000).toISOString();

export const call = (status: CallView["status"], more: Partial<CallView> = {}): CallView => ({
  callId: CALL,
  status,
  queue: "Cards",
  customerName: "Amina Wanjiru",
  customerEmail: "amina.wanjiru@example.com",
  recorded: false,
  muted: [],
  createdAt: at(-390),
  enqueuedAt: at(-386),
  ...more,
});

export const answered = (): CallView =>
  call("answered", { agentName: "Joyce Atieno", agentId: STAFF, recorded: true, answeredAt: at(-252) });

export const started = (socketUrl: string): CallStarted => ({
  callId: CALL,
  status: "queued",
  position: 3,
  estimatedWaitSeconds: 200,
  token: "ticket",
  signalingUrl: socketUrl,
  iceServers: [],
  serverTime: at(0),
});

export const grant = (part: LegGrant["part"]): LegGrant => ({
  callId: CALL,
  legId: LEG,
  grant: "secret",
  part,
  iceServers: [],
  expiresAt: at(60),
});

const quality = (part: LegQuality["part"], mos: number): LegQuality => ({
  part,
  up: true,
  loss: mos > 4 ? 0.002 : 0.06,
  jitterMs: mos > 4 ? 6 : 41,
  rttMs: mos > 4 ? 46 : 180,
  mos,
  mosDown: mos,
  mosEndToEnd: mos,
  level: 64,
  speaking: false,
  flags: [],
});

export const heard = (customer: number, agent: number): { callId: string; legs: LegQuality[] } => ({
  callId: CALL,
  legs: [quality("customer", customer), quality("agent", agent)],
});

export const me = (presence: Me["presence"]): Me => ({
  staffId: STAFF,
  staffName: "Joyce Atieno",
  email: "joyce.atieno@example.com",
  role: "supervisor",
  permissions: [
    "contact.reassign",
    "recording.play",
    "qa.review",
    "call.monitor",
    "call.whisper",
    "call.barge",
    "call.takeover",
  ],
  presence,
  sessionEndsAt: at(8 * 3600),
});

export const offer = (): Offer => ({
  offerId: OFFER,
  kind: "call",
  callId: CALL,
  customerName: "Otieno Odhiambo",
  queue: "Loans",
  enqueuedAt: at(-64),
  offeredAt: at(-6),
  expiresAt: at(14),
});

/** Qualities of several legs, of which one speaks. */
export const heardOf = (
  parts: LegQuality["part"][],
  speaker: LegQuality["part"],
): { callId: string; legs: LegQuality[] } => ({
  callId: CALL,
  legs: parts.map((part) => ({ ...quality(part, 4.3), speaking: part === speaker, level: part === speaker ? 96 : 18 })),
});

export const DAVID = "d0d0ca11-2222-4333-8444-555566667777";

/** The call while its agent asks David. */
export const consulted = (state: ConsultState): CallView => ({
  ...answered(),
  consult: { staffId: DAVID, staffName: "David Kimani", state, since: at(state === "ringing" ? -6 : -41) },
});

export const HALIMA = "00000000-0000-4000-8000-000000000201";

/** The call of somebody else who asks this desk's agent. */
export const asked = (state: ConsultState): CallView => ({
  ...answered(),
  agentName: "Halima Noor",
  agentId: HALIMA,
  consult: { staffId: STAFF, staffName: "Joyce Atieno", state, since: at(-24) },
});

export const consultOffer = (): Offer => ({
  ...offer(),
  callId: CALL,
  kind: "consult",
  fromName: "Halima Noor",
  customerName: "Amina Wanjiru",
  queue: "Cards",
});

const colleague = (n: number, name: string, role: AvailableStaff["role"], free: boolean): AvailableStaff => ({
  staffId: n === 0 ? DAVID : `00000000-0000-4000-8000-00000000020${n}`,
  name,
  role,
  status: "online",
  free,
});

export const available = (): AvailableStaff[] => [
  colleague(1, "Halima Noor", "agent", false),
  colleague(2, "Peter Mutua", "agent", true),
  colleague(0, "David Kimani", "agent", true),
  colleague(3, "Esther Nyambura", "supervisor", true),
  colleague(4, "Samuel Koech", "agent", false),
  colleague(5, "Wambui Ndegwa", "team_lead", true),
];

const live = (n: number, status: LiveCall["status"], more: Partial<LiveCall> = {}): LiveCall => ({
  callId: liveId(n),
  customerName: PEOPLE[n]!,
  agentName: AGENTS[1 + (n % (AGENTS.length - 1))]!,
  agentId: `00000000-0000-4000-8000-00000000030${n}`,
  queue: QUEUES[n % QUEUES.length]!,
  status,
  createdAt: at(-500 + n * 61),
  enqueuedAt: at(-496 + n * 61),
  answeredAt: at(-440 + n * 58),
  muted: [],
  supervisors: [],
  recorded: true,
  legs: heardOf(["customer", "agent"], n % 2 === 0 ? "customer" : "agent").legs,
  ...more,
});

export const liveId = (n: number): string => `00000000-0000-4000-8000-00000000010${n}`;

const weak = (part: LegQuality["part"], mos: number, flags: string[]): LegQuality => ({ ...quality(part, mos), flags });

/** Calls of every kind, as a supervisor's list has them. */
export const liveCalls = (): LiveCalls => ({
  calls: [
    live(0, "answered"),
    live(1, "answered", { heldSince: at(-48) }),
    live(2, "answered", {
      legs: [
        { ...weak("customer", 2.4, ["dead_microphone", "high_loss"]), path: "turn-tls" },
        { ...quality("agent", 4.3), path: "direct" },
      ],
      supervisors: [{ staffId: DAVID, staffName: "Esther Nyambura", mode: "monitor", since: at(-95) }],
    }),
    live(3, "answered", {
      consult: { staffId: DAVID, staffName: "David Kimani", state: "talking", since: at(-31) },
      legs: heardOf(["customer", "agent", "partner"], "partner").legs,
    }),
    live(4, "answered", { muted: ["customer"], legs: [weak("customer", 3.6, ["high_rtt"]), quality("agent", 4.3)] }),
    live(5, "connecting", { answeredAt: null, legs: [] }),
    live(6, "queued", { answeredAt: null, agentName: null, agentId: null, legs: [], recorded: false }),
  ],
  serverTime: at(0),
});

const allocation = (n: number, more: Partial<RelayAllocation>): RelayAllocation => ({
  id: `0-${n}-1`,
  legId: `00000000-0000-4000-8000-00000000040${n}`,
  callId: liveId(n),
  part: "customer",
  name: PEOPLE[n]!,
  via: "udp",
  flow: "9f2c4e61a0b7d853",
  ageSeconds: 1260 - n * 187,
  expiresInSeconds: 560,
  permissions: 1,
  channels: 1,
  packetsUp: 63_120 - n * 9_350,
  packetsDown: 62_870 - n * 9_290,
  bytesUp: 5_400_000,
  bytesDown: 5_390_000,
  dropped: 0,
  ...more,
});

/** The relay while some use it, one of them badly. */
export const relay = (more: Partial<RelayState> = {}): RelayState => ({
  nodeId: "node-1",
  on: true,
  draining: false,
  allocations: [
    allocation(0, {}),
    allocation(1, { via: "tls" }),
    allocation(2, { part: "agent", name: "David Kimani", via: "tcp", dropped: 12 }),
    allocation(3, { via: "tls", dropped: 2_410 }),
    allocation(4, { part: "partner", name: "Halima Noor" }),
    allocation(5, {
      callId: null,
      part: null,
      name: null,
      via: "tls",
      packetsUp: 260,
      packetsDown: 255,
      ageSeconds: 6,
    }),
  ],
  total: 6,
  serverTime: at(0),
  ...more,
});

const waiting = (n: number, customerName: string, queue: string, seconds: number) => ({
  callId: `00000000-0000-4000-8000-00000000000${n}`,
  customerName,
  queue,
  status: "queued" as const,
  enqueuedAt: at(-seconds),
  position: n,
});

export const queue = (): QueueSnapshot => ({
  waiting: [
    waiting(1, "Otieno Odhiambo", "Loans", 278),
    waiting(2, "Grace Mutiso", "Cards", 171),
    waiting(3, "Kiprono Chebet", "Accounts", 64),
    waiting(4, "Zawadi Achieng", "Cards", 22),
  ],
  agentsIdle: 2,
  agentsBusy: 5,
  queueTimeoutSeconds: 300,
  serverTime: at(0),
});

const PEOPLE = [
  "Amina Wanjiru", "Grace Mutiso", "Patrick Omondi", "Kiprono Chebet", "Salma Njoroge", "Elijah Kiptoo",
  "Zawadi Achieng", "Fatuma Hassan", "Josphat Maina", "Lilian Auma", "Hassan Noor", "Mercy Wekesa",
  "Beatrice Ochieng", "Tom Lagat", "Rehema Mwakio",
]; // prettier-ignore
const AGENTS = ["Joyce Atieno", "Halima Noor", "David Kimani", "Peter Mutua", "Samuel Koech"];
const QUEUES = ["Cards", "Loans", "Accounts", "Mobile app"];
const SCORES = [2.7, 4.3, 4.1, 4.4, 2.9, 4.2, 4.3, 4.0, 4.3, 4.4, 3.6, 4.3, 4.2, 4.4, 4.1];

export const rows = (): CallRow[] =>
  PEOPLE.map((customerName, n): CallRow => {
    const left = n === 6;
    const failed = n === 4;
    const base: CallRow = {
      callId: n === 0 ? CALL : `00000000-0000-4000-8000-0000000001${String(n).padStart(2, "0")}`,
      status: left ? "abandoned" : failed ? "failed" : "completed",
      endReason: left ? "customer_hangup" : failed ? "media_lost" : "agent_hangup",
      customerName,
      queue: QUEUES[n % QUEUES.length]!,
      createdAt: at(-600 - n * 780),
      waitSeconds: 12 + ((n * 37) % 140),
    };
    return left
      ? base
      : {
          ...base,
          agentName: AGENTS[n % AGENTS.length]!,
          talkSeconds: 120 + ((n * 97) % 600),
          mosWorst: SCORES[n]!,
          mosCustomer: SCORES[n]!,
          mosAgent: Math.min(4.4, SCORES[n]! + 0.3),
          recordingId: RECORDING,
        };
  });

/** Length of the reviewed call, seconds. */
export const LENGTH = 495;
/** The seconds in which its line was bad. */
const BAD = { from: 318, to: 342 };

/** Chance with a fixed start, so that pictures stay alike. */
export function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function lane(points: number, seed: number, quietFrom: number, quietTo: number): number[] {
  const next = chance(seed);
  const peaks: number[] = [];
  let loud = 0;
  let left = 0;
  for (let n = 0; n < points; n++) {
    if (left-- <= 0) {
      loud = loud > 0 ? 0 : 0.35 + next() * 0.65;
      left = (loud > 0 ? 14 : 8) + Math.floor(next() * 34);
    }
    const second = (n / points) * LENGTH;
    const quiet = second > quietFrom && second < quietTo;
    const top = quiet ? 1 : Math.round(loud * (0.35 + 0.65 * next()) * 112) + 1;
    peaks.push(-Math.round(top * (0.8 + 0.2 * next())), top);
  }
  return peaks;
}

export const waveform = (points: number): Waveform => ({
  durationMs: LENGTH * 1000,
  fromMs: 0,
  toMs: LENGTH * 1000,
  customer: lane(points, 7, BAD.from + 14, BAD.from + 18),
  agent: lane(points, 99, BAD.from + 2, BAD.to + 6),
});

export function track(part: "customer" | "agent"): QualityTrack {
  const next = chance(part === "customer" ? 3 : 5);
  const seconds = Array.from({ length: LENGTH }, (_, n) => {
    const bad = part === "customer" && n >= BAD.from && n < BAD.to;
    return bad
      ? { mos: 2.3 + next() * 0.5, loss: 0.04 + next() * 0.05, jitter: 38 + next() * 14, rtt: 120 }
      : { mos: 4.25 + next() * 0.1, loss: next() * 0.003, jitter: 5 + next() * 3, rtt: 44 };
  });
  return {
    legId: LEG,
    part,
    uplink: true,
    startMs: 0,
    mos: seconds.map((one) => one.mos),
    loss: seconds.map((one) => one.loss),
    residualLoss: seconds.map((one) => one.loss / 2),
    jitterMs: seconds.map((one) => one.jitter),
    rttMs: seconds.map((one) => one.rtt),
    level: seconds.map(() => 60),
    mosMean: part === "customer" ? 4.1 : 4.3,
    mosWorstMinute: part === "customer" ? 3.3 : 4.2,
    mosLow: part === "customer" ? 3.5 : 4.2,
  };
}

/** What was sent to `part`: better than what it sent itself. */
export const trackTo = (part: "customer" | "agent"): QualityTrack => ({
  ...track(part),
  uplink: false,
  mosMean: part === "agent" ? 3.9 : 4.3,
  mosWorstMinute: part === "agent" ? 2.9 : 4.2,
  mosLow: part === "agent" ? 2.6 : 4.2,
});

/** How each heard the other one: the agent heard badly for a minute. */
export function endToEnd(): EndToEnd[] {
  const legs = { speakerLegId: LEG, listenerLegId: LEG };
  return [
    { ...legs, speaker: "customer", listener: "agent", mos: 3.6, mosWorstMinute: 2.2, seconds: 212 },
    { ...legs, speaker: "agent", listener: "customer", mos: 4.2, mosWorstMinute: 4, seconds: 188 },
  ];
}

/** What the client of `part` says that it heard: nothing of its first ten seconds. */
export function heardTrack(part: "customer" | "agent"): HeardTrack {
  const { mos, loss, jitterMs, rttMs } = track(part === "customer" ? "agent" : "customer");
  const told = (values: number[]): (number | null)[] => values.map((value, n) => (n < 10 ? null : value));
  return { part, mos: told(mos), loss: told(loss), jitterMs: told(jitterMs), rttMs: told(rttMs) };
}

/** Start of the reviewed recording. */
const START = Date.now() - 3600_000;
const from = (seconds: number): string => new Date(START + seconds * 1000).toISOString();

export const reviewed = (): CallView =>
  call("completed", {
    agentName: "Joyce Atieno",
    recorded: true,
    createdAt: from(-136),
    enqueuedAt: from(-134),
    answeredAt: from(0),
    endedAt: from(LENGTH),
    endReason: "customer_hangup",
    lines: [
      { part: "customer", path: "turn-tls" },
      { part: "agent", path: "direct" },
    ],
  });

/** The history of a call that was answered at `start`, in the order and with the facts that the server writes. */
export function events(start = START): CallEvent[] {
  const agent = { agent: "Joyce Atieno" };
  const customerLeg = { part: "customer" };
  const list: [kind: string, seconds: number, actor: string, data?: Record<string, unknown>][] = [
    ["call.initiated", -136, "customer", { queue: "Cards" }],
    ["call.queued", -134, "system:desk", { status: "queued" }],
    ["call.offered", -9, "system:router", agent],
    ["call.ringing", -9, "system:router", { status: "ringing" }],
    ["call.accepted", -3, "staff:Joyce Atieno", { status: "connecting" }],
    ["leg.up", -1, "system:media", customerLeg],
    ["leg.up", -1, "system:media", { part: "agent" }],
    ["call.answered", 0, "system:media", { status: "answered" }],
    ["quality.raised", BAD.from + 3, "system:media", { ...customerLeg, flag: "high_loss" }],
    ["leg.away", BAD.from + 14, "system:media", customerLeg],
    ["leg.back", BAD.from + 18, "system:media", customerLeg],
    ["quality.cleared", BAD.to + 6, "system:media", { ...customerLeg, flag: "high_loss" }],
    ["call.completed", LENGTH, "customer", { status: "completed", endReason: "customer_hangup" }],
    ["leg.down", LENGTH, "system:media", { ...customerLeg, cause: "hangup" }],
    ["recording.ended", LENGTH, "system:media", { reason: "call_ended" }],
    ["recording.stored", LENGTH + 2, "system:media", { durationMs: LENGTH * 1000, degraded: false }],
  ];
  // A bigint of the generated type is a number in JSON.
  return list.map(([kind, seconds, actor, data], n) => ({
    seq: (n + 1) as unknown as bigint,
    kind,
    at: new Date(start + seconds * 1000).toISOString(),
    actor,
    data: data ?? {},
  }));
}

export const recording = (state: Recording["state"] = "stored"): Recording => ({
  recordingId: RECORDING,
  callId: CALL,
  state,
  durationSeconds: LENGTH,
  sizeBytes: 3_140_000,
  sha256: "9f2c41d70be86a53c1e077b4d82f15aa30c6e94b5d18f7a2b036ec1442d9a0f5",
  layout: "two_channel",
  customerLeft: true,
  coverage: [0.993, 1],
  degraded: false,
  startedAt: from(0),
  audioUrl: `/api/support/recordings/${RECORDING}/audio`,
  waveformUrl: `/api/support/recordings/${RECORDING}/waveform`,
  voices: [],
});

/** Who was heard beside customer and agent in the reviewed call. */
export const voices = (): RecordedVoice[] =>
  (
    [
      ["partner", [[95_000, 171_000]], 0.994],
      [
        "supervisor",
        [
          [120_000, 150_000],
          [200_000, 228_000],
        ],
        1,
      ],
    ] as const
  ).map(([part, heard, coverage], place) => ({
    number: place + 1,
    legId: `00000000-0000-4000-8000-00000000000${place}`,
    part,
    sizeBytes: 410_000,
    sha256: "3b1d70be86a53c1e077b4d82f15aa30c6e94b5d18f7a2b036ec1442d9a0f59f2",
    coverage,
    heard: heard.map(([fromMs, toMs]) => ({ fromMs, toMs })),
    audioUrl: `/api/support/recordings/${RECORDING}/voices/${place + 1}/audio`,
    waveformUrl: `/api/support/recordings/${RECORDING}/voices/${place + 1}/waveform`,
  }));

/** The picture of one of them: silent but where he is heard. */
export function voiceWaveform(voice: RecordedVoice, points: number): VoiceWaveform {
  const all = lane(points, 11 * voice.number, 0, 0);
  const heard = (n: number): boolean =>
    voice.heard.some(
      ({ fromMs, toMs }) => (n / points) * LENGTH * 1000 >= fromMs && (n / points) * LENGTH * 1000 < toMs,
    );
  return {
    durationMs: LENGTH * 1000,
    fromMs: 0,
    toMs: LENGTH * 1000,
    peaks: all.map((value, at) => (heard(Math.floor(at / 2)) ? value : 0)),
  };
}

/** A silent sound file of the reviewed call's length. */
export const wav = (): Buffer => silence(LENGTH, 8000);
