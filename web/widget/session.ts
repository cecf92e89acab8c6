// The customer's call: from the press on "Call us" to the end, outliving the element that shows it.
//
// A state machine without DOM; the browser is handed in as `SessionEnv`. One session per page, one call per browser.
//
// Invariants: the microphone is open only between the press on Call and the end of the call; a call that the customer
// has ended is never resumed.

import type { Api, Failure } from "../shared/api.ts";
import type { Clock } from "../shared/clock.ts";
import { Emitter } from "../shared/emitter.ts";
import type { CallChanged } from "../shared/gen/CallChanged.ts";
import type { CallQuality } from "../shared/gen/CallQuality.ts";
import type { CallStart } from "../shared/gen/CallStart.ts";
import type { CallStarted } from "../shared/gen/CallStarted.ts";
import type { CallView } from "../shared/gen/CallView.ts";
import type { LegGranted } from "../shared/gen/LegGranted.ts";
import type { QueuePosition } from "../shared/gen/QueuePosition.ts";
import type { Resume } from "../shared/gen/Resume.ts";
import type { SignalError } from "../shared/gen/SignalError.ts";
import type { Welcome } from "../shared/gen/Welcome.ts";
import { stop, type DeviceList, type Opened } from "../shared/devices.ts";
import { Leg, type Peer } from "../shared/leg.ts";
import { between, Monitor, read, type Reading, type Second, type Warning } from "../shared/quality.ts";
import { Signal, type Socket } from "../shared/signal.ts";

/** Version of the recording notice that is shown; the server stores it with the call. */
export const NOTICE_VERSION = "recording-1";

export type Phase =
  | { at: "home" }
  | { at: "checking"; microphone: "asking" | "open" }
  | { at: "starting" }
  /** A reload or a second tab picks the call up again. */
  | { at: "resuming" }
  | { at: "waiting"; call: CallView }
  | { at: "connecting"; call: CallView }
  | { at: "talking"; call: CallView }
  | { at: "ended"; how: Ending; agent: string | undefined; seconds: number; callId: string }
  | { at: "problem"; code: string }
  | { at: "elsewhere" };

export type Ending = "spoke" | "abandoned" | "busy" | "dropped";

/** What outlives a reload, in the tab's own storage; no name, no e-mail. */
export interface Kept {
  resume: Resume;
  url: string;
  call: CallView;
  /** Whether the customer had closed his microphone. */
  muted?: boolean;
}

export interface Customer {
  userId: string;
  email: string;
  name: string;
}

/** The lock that allows one call per browser. */
export interface CallLock {
  /** True when this tab now has the call; the lock is held until `release`. */
  acquire(): Promise<boolean>;
  release(): void;
  /** Asks the tab that has the call to hand it over; undefined when nobody answers. */
  takeOver(): Promise<Kept | undefined>;
  /** Called when another tab asks; the result is given to it. */
  onask: () => Kept | undefined;
}

export interface SessionEnv {
  clock: Clock;
  random(): number;
  api(): Api;
  customer(): Customer;
  connect(url: string): Socket;
  peer(config: RTCConfiguration): Peer;
  openMicrophone(deviceId?: string): Promise<Opened>;
  listDevices(): Promise<DeviceList>;
  lock: CallLock;
  keep: { read(): Kept | undefined; write(kept: Kept | undefined): void };
  /** Sound of the other side and of our own microphone. */
  sound: {
    listen(stream: MediaStream | undefined): void;
    play(track: MediaStreamTrack): void;
    silence(): void;
    /** True when the browser wants a press before it plays. */
    blocked(): boolean;
    unblock(): void;
    speaker(deviceId: string): void;
    /** Loudness now, 0 to 1. */
    mine(): number;
    tone(kind: "turn" | "end"): void;
  };
  report(event: "callstart" | "callend" | "failure", detail: Record<string, string>): void;
}

/** Seconds of speech into a muted microphone after which the customer is told. */
const MUTED_SPEECH_SECONDS = 1.5;
/** Loudness from which a muted customer is told so. */
const SPEECH_LEVEL = 0.5;

export class Session {
  phase: Phase = { at: "home" };
  muted = false;
  speakingWhileMuted = false;
  devices: DeviceList = { microphones: [], speakers: [] };
  microphoneId = "";
  speakerId = "";
  second: Second | undefined;
  /** The server's score of our line, 1 to 4.5; preferred while it comes. */
  serverScore: number | undefined;
  warnings: ReadonlySet<Warning> = new Set();
  /** Server's clock minus ours, milliseconds. */
  clockOffset = 0;
  readonly changed = new Emitter();
  readonly signal: Signal;
  leg: Leg;

  #stream: MediaStream | undefined;
  #url = "";
  #ticket: string | undefined;
  #cancelTick: () => void = () => {};
  #reading: Reading | undefined;
  #monitor = new Monitor();
  #mutedSpeech = 0;
  #generation = 0;

  constructor(private readonly env: SessionEnv) {
    this.signal = new Signal({
      url: () => this.#url,
      connect: (url) => env.connect(url),
      clock: env.clock,
      random: () => env.random(),
      token: () => Promise.resolve(this.#ticket),
      remember: (resume) => this.#keep(resume),
    });
    this.signal.onwelcome = (welcome) => this.#welcome(welcome);
    this.signal.onmessage = (type, data) => this.#message(type, data);
    this.signal.changed.subscribe(() => this.#signalChanged());
    this.leg = this.#newLeg();
    env.lock.onask = () => this.#handOver();
  }

  /** The call that is running, from the press on Call now to its end. */
  get call(): CallView | undefined {
    return "call" in this.phase ? this.phase.call : undefined;
  }

  get live(): boolean {
    return ["starting", "resuming", "waiting", "connecting", "talking"].includes(this.phase.at);
  }

  /** Somebody of the house has muted us: nobody hears us until he ends it. */
  get silenced(): boolean {
    return this.call?.mutedByOthers?.includes("customer") ?? false;
  }

  get now(): number {
    return this.env.clock.now() + this.clockOffset;
  }

  /** Loudness of our microphone, 0 to 1. */
  level = (): number => (this.#stream ? this.env.sound.mine() : 0);

  /** "Call us": opens the microphone and shows that it works. */
  async check(): Promise<void> {
    if (this.live) return;
    const generation = ++this.#generation;
    this.#to({ at: "checking", microphone: "asking" });
    const opened = await this.env.openMicrophone(this.microphoneId || undefined);
    if (generation !== this.#generation) {
      if (opened.ok) stop(opened.stream);
      return;
    }
    if (!opened.ok) return this.#problem(opened.code);
    await this.#useStream(opened.stream);
    if (generation === this.#generation) this.#to({ at: "checking", microphone: "open" });
  }

  /** "Call now". */
  async start(): Promise<void> {
    if (this.phase.at !== "checking" || !this.#stream) return;
    const generation = ++this.#generation;
    this.#to({ at: "starting" });
    const free = await this.env.lock.acquire();
    if (generation !== this.#generation) {
      if (!this.live) this.env.lock.release();
      return;
    }
    if (!free) return this.#release({ at: "elsewhere" });
    const { userId, email, name } = this.env.customer();
    const body: CallStart = {
      userId,
      customerEmail: email,
      customerName: name,
      callType: "voice",
      consentVersion: NOTICE_VERSION,
    };
    const reply = await this.env.api().post<CallStarted>("/api/support/call/start", body);
    if (generation !== this.#generation) {
      if (reply.ok) this.#post(reply.value.callId, "hangup", {});
      return;
    }
    if (!reply.ok) return this.#problem(failureCode(reply));
    const started = reply.value;
    this.clockOffset = Date.parse(started.serverTime) - this.env.clock.now();
    this.#url = started.signalingUrl;
    this.#ticket = started.token;
    this.env.report("callstart", { callId: started.callId });
    this.#show(viewOf(started, name));
    if (!this.live) return;
    this.signal.open();
    this.#tick();
  }

  /** Back from the check, or away from an end or a problem. */
  home(): void {
    if (this.live) return;
    this.#generation++;
    this.#release({ at: "home" });
  }

  hangUp(): void {
    if (!this.live) return;
    const call = this.call ?? this.env.keep.read()?.call;
    this.#hangUp(call);
    this.#ended(call, "spoke", "customer");
  }

  #hangUp(call: CallView | undefined): void {
    if (call && !this.signal.send("call.hangup", { callId: call.callId })) this.#post(call.callId, "hangup", {});
  }

  #post(callId: string | undefined, what: string, data: object): void {
    void this.env.api().post(`/api/support/call/${callId}/${what}`, data);
  }

  mute(muted: boolean): void {
    this.muted = muted;
    this.#mutedSpeech = 0;
    this.speakingWhileMuted = false;
    for (const track of this.#stream?.getAudioTracks() ?? []) track.enabled = !muted;
    this.#to(this.phase);
  }

  async chooseMicrophone(id: string): Promise<void> {
    this.microphoneId = id;
    if (this.#stream) await this.#reopen(id);
    this.changed.emit();
  }

  /** Another microphone; a call that has ended meanwhile needs none. */
  async #reopen(id?: string): Promise<void> {
    const opened = await this.env.openMicrophone(id);
    if (!opened.ok) return;
    if (this.#stream) await this.#useStream(opened.stream);
    else stop(opened.stream);
  }

  chooseSpeaker(id: string): void {
    this.speakerId = id;
    this.env.sound.speaker(id);
    this.changed.emit();
  }

  testSound(): void {
    this.env.sound.tone("turn");
  }

  hearAudio(): void {
    this.env.sound.unblock();
    this.changed.emit();
  }

  /** A device was plugged in or pulled out. */
  async devicesChanged(): Promise<void> {
    if (!this.#stream) return;
    this.devices = await this.env.listDevices();
    const track = this.#stream?.getAudioTracks()[0];
    if (track?.readyState === "ended") {
      // The chosen microphone is gone: whatever the system now prefers takes over.
      this.microphoneId = "";
      await this.#reopen();
    }
    this.changed.emit();
  }

  /** Goes on with a call of before a reload. */
  async resume(): Promise<void> {
    const kept = this.env.keep.read();
    if (!kept || this.phase.at !== "home") return;
    if (!(await this.env.lock.acquire())) return this.#to({ at: "elsewhere" });
    await this.#continue(kept);
  }

  /** "Continue here": takes the call from the other tab. */
  async takeOver(): Promise<void> {
    const kept = await this.env.lock.takeOver();
    if (!kept || !(await this.env.lock.acquire())) return this.#to({ at: "home" });
    await this.#continue(kept);
  }

  online(): void {
    this.signal.retryNow();
  }

  offline(): void {
    this.signal.drop();
  }

  networkChanged(): void {
    this.online();
    this.leg.networkChanged();
  }

  async #continue(kept: Kept): Promise<void> {
    const generation = ++this.#generation;
    this.#to({ at: "resuming" });
    const opened = await this.env.openMicrophone(this.microphoneId || undefined);
    if (generation !== this.#generation) {
      if (opened.ok) stop(opened.stream);
      return;
    }
    if (!opened.ok) {
      // Nothing is kept to come back to, so nobody shall wait for us.
      this.#hangUp(kept.call);
      return this.#problem(opened.code);
    }
    // A microphone that he had closed is not opened by loading the page anew.
    this.muted = !!kept.muted;
    await this.#useStream(opened.stream);
    if (generation !== this.#generation) return;
    this.#url = kept.url;
    this.#ticket = undefined;
    this.#show(kept.call);
    this.signal.open(kept.resume);
    this.#tick();
  }

  #handOver(): Kept | undefined {
    const kept = this.env.keep.read();
    if (!this.live || !kept) return undefined;
    this.#generation++;
    this.#release({ at: "elsewhere" });
    return kept;
  }

  #newLeg(): Leg {
    const leg = new Leg({
      peer: (config) => this.env.peer(config),
      clock: this.env.clock,
      request: (type, data) => this.signal.request(type, data),
      send: (type, data) => this.signal.send(type, data),
      sound: this.env.sound,
    });
    leg.changed.subscribe(() => {
      if (leg !== this.leg) return;
      if (leg.state.at === "failed" && this.live) {
        this.#hangUp(this.call);
        return this.#problem("ice_failed");
      }
      this.changed.emit();
    });
    return leg;
  }

  async #useStream(stream: MediaStream): Promise<void> {
    const old = this.#stream;
    this.#stream = stream;
    if (old && old !== stream) stop(old);
    const track = stream.getAudioTracks()[0];
    if (track) {
      track.enabled = !this.muted;
      this.microphoneId = track.getSettings?.().deviceId ?? this.microphoneId;
      track.onended = () => void this.devicesChanged();
      this.leg.setTrack(track);
    }
    this.env.sound.listen(stream);
    this.devices = await this.env.listDevices();
  }

  #welcome(welcome: Welcome): void {
    this.clockOffset = this.signal.clockOffset;
    if (!this.live) return;
    if (welcome.snapshot) {
      const call = welcome.snapshot.call;
      if (!call) return this.#ended(this.call, this.phase.at === "talking" ? "dropped" : "busy", "unknown");
      this.#show(call);
    } else this.#to(this.phase);
    const { status, answeredAt } = this.call ?? {};
    const soundWanted = status === "connecting" || answeredAt;
    // A fresh page has no connection of its own yet; a page that only lost its signalling keeps the one it has.
    if (this.leg.state.at === "idle" && soundWanted && this.call) {
      this.signal.send("leg.renew", { callId: this.call.callId });
    } else this.leg.signalling();
  }

  #signalChanged(): void {
    const state = this.signal.state;
    if (state.at === "closed" && this.live) {
      if (state.code === "replaced") return this.#release({ at: "elsewhere" });
      // Sound that still flows is worth more than a view that says it cannot be.
      if (state.code !== "left" && this.leg.state.at !== "up") this.#problem(state.code);
    }
    this.changed.emit();
  }

  #message(type: string, data: unknown): void {
    if (!this.live) return;
    if (type === "leg.grant") this.leg.granted((data as LegGranted).grant);
    else if (type === "queue.position") this.#position(data as QueuePosition);
    else if (type === "call.quality") this.#quality(data as CallQuality);
    else if (type === "call.rejoin" && this.call) this.signal.send("leg.renew", { callId: this.call.callId });
    else if (type === "snapshot") this.#welcome({ snapshot: data } as unknown as Welcome);
    else if (type === "error") this.env.report("failure", { code: (data as SignalError).code });
    else if (type.startsWith("call.")) {
      const call = (data as Partial<CallChanged>).call;
      if (call && (!this.call || call.callId === this.call.callId)) this.#show(call);
    }
  }

  #position(position: QueuePosition): void {
    if (this.phase.at !== "waiting" || position.callId !== this.phase.call.callId) return;
    const { position: place, estimatedWaitSeconds } = position;
    this.#to({ at: "waiting", call: { ...this.phase.call, position: place, estimatedWaitSeconds } });
  }

  #quality(quality: CallQuality): void {
    const mine = quality.legs.find((leg) => leg.part === "customer");
    this.serverScore = mine ? Math.min(mine.mos, mine.mosDown ?? mine.mos) : undefined;
    this.changed.emit();
  }

  /** Shows a call as the server says it is. */
  #show(call: CallView): void {
    switch (call.status) {
      case "initiated":
      case "queued":
      case "ringing":
        // Back in the line: a connection that is well stays, for the music.
        if (this.phase.at !== "waiting" && this.leg.state.at !== "up") this.#restartLeg();
        this.#to({ at: "waiting", call });
        break;
      case "connecting":
        if (this.phase.at === "waiting") this.env.sound.tone("turn");
        this.#to({ at: "connecting", call });
        break;
      case "answered":
        this.#to({ at: "talking", call });
        break;
      case "completed":
        this.#ended(call, DROPPED.test(call.endReason ?? "") ? "dropped" : "spoke", "server");
        break;
      case "abandoned":
        this.#ended(call, call.endReason === "queue_timeout" ? "busy" : "abandoned", "server");
        break;
      case "failed":
        this.#ended(call, "dropped", "server");
        break;
    }
  }

  #restartLeg(): void {
    this.leg.close();
    this.leg = this.#newLeg();
    const track = this.#stream?.getAudioTracks()[0];
    if (track) this.leg.setTrack(track);
  }

  #ended(call: CallView | undefined, how: Ending, reason: string): void {
    const since = call?.answeredAt ? Date.parse(call.answeredAt) : undefined;
    const until = call?.endedAt ? Date.parse(call.endedAt) : this.now;
    const seconds = since === undefined ? 0 : Math.max(0, (until - since) / 1000);
    const callId = call?.callId ?? "";
    const agent = call?.agentName ?? undefined;
    this.#generation++;
    if (since !== undefined) this.env.sound.tone("end");
    this.#release({
      at: "ended",
      how: since === undefined && how === "spoke" ? "abandoned" : how,
      agent,
      seconds,
      callId,
    });
    if (callId) this.env.report("callend", { callId, reason: call?.endReason ?? reason });
  }

  #problem(code: string): void {
    this.#generation++;
    this.#release({ at: "problem", code });
    this.env.report("failure", { code });
  }

  /** Frees microphone, connection and lock, then shows `phase`. */
  #release(phase: Phase): void {
    this.phase = phase;
    this.#cancelTick();
    this.signal.close();
    this.env.keep.write(undefined);
    this.leg.close();
    this.leg = this.#newLeg();
    this.env.sound.listen(undefined);
    if (this.#stream) stop(this.#stream);
    this.#stream = undefined;
    this.muted = this.speakingWhileMuted = false;
    this.second = this.serverScore = this.#reading = undefined;
    this.warnings = new Set();
    this.#monitor = new Monitor();
    this.env.lock.release();
    this.changed.emit();
  }

  #keep(resume: Resume | undefined): void {
    const call = this.call;
    if (!resume || !call) return;
    // Only what the page needs to draw itself again.
    this.env.keep.write({
      resume,
      url: this.#url,
      call: { ...call, customerEmail: undefined, customerName: "" },
      muted: this.muted,
    });
  }

  /** Once a second during a call: quality, dead line, speech into a muted microphone. */
  #tick(): void {
    this.#cancelTick();
    this.#cancelTick = this.env.clock.after(1000, () => {
      if (!this.live) return;
      this.#tick();
      void this.#measure();
    });
  }

  async #measure(): Promise<void> {
    if (this.muted) {
      this.#mutedSpeech = this.level() > SPEECH_LEVEL ? this.#mutedSpeech + 1 : 0;
      this.speakingWhileMuted = this.#mutedSpeech >= MUTED_SPEECH_SECONDS;
    }
    const report = this.leg.state.at === "up" ? await this.leg.stats() : undefined;
    if (!report || !this.live) return;
    const now = this.env.clock.now();
    const reading = read(report.values() as Iterable<Record<string, unknown>>, now);
    if (this.#reading) {
      this.second = between(this.#reading, reading);
      this.warnings = this.#monitor.push(this.second, now);
      this.leg.flowing(this.second.flowing);
      const seconds = this.#monitor.heard();
      if (seconds) this.#post(this.call?.callId, "quality", { seconds });
    }
    this.#reading = reading;
    this.changed.emit();
  }

  #to(phase: Phase): void {
    const { muted } = this;
    this.phase = phase;
    // Silence on purpose is no dead microphone. A server that says nothing about our switch knows nothing of it.
    if (phase.at === "talking" && (phase.call.mutedSelf?.includes("customer") ?? muted) !== muted)
      this.#post(phase.call.callId, muted ? "mute" : "unmute", { part: "customer" });
    this.#keep(this.signal.resume);
    this.changed.emit();
  }
}

/** End reasons that were nobody's wish. */
const DROPPED = /lost|timeout|media|error|failed/;

const failureCode = (failure: Failure): string => (failure.code === "unreachable" ? "ws_unreachable" : failure.code);

/** The call as the reply to `call/start` tells it, until the first message brings more. */
function viewOf(started: CallStarted, customerName: string): CallView {
  return {
    callId: started.callId,
    status: started.status,
    queue: "",
    customerName,
    recorded: false,
    muted: [],
    createdAt: started.serverTime,
    enqueuedAt: started.serverTime,
    position: started.position ?? null,
    estimatedWaitSeconds: started.estimatedWaitSeconds ?? null,
  };
}
